"""An OpenID provider on this machine: whoever is sent to it is signed in at once as ``email``."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlparse

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "autosam"


class IdentityProvider(ThreadingHTTPServer):
    """Knows one person at a time; remembers the nonce of the last visitor, which his token must repeat."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.email = ""
        self.nonce = ""
        self.key = RSAKey.generate_key(2048, parameters={"kid": "1", "alg": "RS256", "use": "sig"})

    def token(self) -> str:
        """The identity token of the person who is signed in."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": self.email, "nonce": self.nonce}
        claims |= {"email": self.email, "email_verified": True}
        return jwt.encode({"alg": "RS256", "kid": "1"}, claims | {"iat": now, "exp": now + 600}, self.key)


class _Handler(BaseHTTPRequestHandler):
    server: IdentityProvider

    def do_GET(self) -> None:
        address, issuer = urlparse(self.path), self.server.issuer
        if address.path == "/.well-known/openid-configuration":
            places = {name: f"{issuer}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
            self._answer({"issuer": issuer, "id_token_signing_alg_values_supported": ["RS256"], **places})
        elif address.path == "/jwks_uri":
            self._answer({"keys": [self.server.key.as_dict(private=False)]})
        elif address.path == "/authorization_endpoint":
            asked = {name: values[0] for name, values in parse_qs(address.query).items()}
            self.server.nonce = asked["nonce"]
            self.send_response(302)
            back = urlencode({"code": "1", "state": asked["state"]})
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": self.server.token()})

    def _answer(self, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """Runs while the context is open."""
    provider = IdentityProvider()
    thread = threading.Thread(target=provider.serve_forever, daemon=True)
    thread.start()
    yield provider
    provider.shutdown()
    provider.server_close()
