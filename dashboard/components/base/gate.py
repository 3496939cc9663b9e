"""Who may talk to the app's server at all: asked before a page is drawn, a socket is opened or a file is taken.

``sign_in.admit`` asks visitors who they are, which it can only once they have a page. What must not even get that far
is refused here, by the names that a browser sends along.
"""

from typing import Any
from urllib.parse import urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from dashboard.components.base.sign_in import has_sign_in, is_admitted, is_loopback

_UPLOADS = "_stcore/upload_file/"
_FRAMES = {"Content-Security-Policy": "frame-ancestors 'self'", "X-Frame-Options": "SAMEORIGIN"}


def require_closed() -> None:
    """Refuse to start a server that everybody who reaches this machine could use.

    Raises:
        SystemExit: it would listen beyond this machine, and nobody is asked who he is.
    """
    address = st.get_option("server.address")
    if not has_sign_in() and not is_loopback(address):
        raise SystemExit(
            f"Not started: at {address or 'all addresses'} this app would be open to everybody who reaches this "
            "machine, and it can start jobs. Start it with --server.address 127.0.0.1, or set up sign-in: the README "
            "says how under 'For a team'."
        )


class Gate:
    """ASGI middleware: no page of another origin, no frame of somebody else's, no upload before sign-in.

    Streamlit compares the names of hosts and not their ports, so that a page of any other program on this machine would
    pass for ours. Behind a proxy with sign-in the origin is the proxy's, and Streamlit's own check stands.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = _refused(scope)
        if reason and scope["type"] == "websocket":
            await WebSocketClose(1008, reason)(scope, receive, send)
        elif reason:
            await PlainTextResponse(reason, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, _unframed(send))


def _refused(scope: Scope) -> str:
    """Why this request is not answered; empty where it is."""
    headers = Headers(scope=scope)
    if not has_sign_in():
        origin, host = headers.get("origin"), headers.get("host", "")
        if origin is not None and urlsplit(origin).netloc.casefold() != host.casefold():
            return f"A page of {origin} may not talk to this app, which is {host}."
        return ""
    _, found, upload = str(scope["path"]).partition(_UPLOADS)
    if found and scope.get("method") not in ("GET", "OPTIONS") and not is_admitted(upload.split("/")[0]):
        return "Sign in before you upload a file."
    return ""


def _unframed(send: Send) -> Send:
    """Pages of others may not hold ours in a frame, under which a visitor would click what he does not see."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Any = MutableHeaders(scope=message)
            for name, value in _FRAMES.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
