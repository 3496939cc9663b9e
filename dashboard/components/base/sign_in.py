"""Who may use the app: everybody on this machine, or the members whom an OpenID provider vouches for.

With a section ``[auth]`` in Streamlit's secrets.toml visitors sign in through Streamlit's own ``st.login``. A provider
such as Google lets everybody in who has an account there, so the members are named beside it:

    [members]
    emails = ["ada@example.org"]
    domains = ["clinic.example.org"]

The provider has to say that a visitor's address is his (``email_verified``): in some, whoever runs another company's
accounts there can give them any address. One that never says so is taken at its word with ``trust_unverified = true``.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard.components.base.text import plain


def admit() -> None:
    """Let a visitor who may use the app go on; others see why not, and the script ends here."""
    settings = _settings()
    if "auth" not in settings:
        if not is_loopback(st.get_option("server.address")):
            _refuse(
                "This app would be open to everybody who reaches this machine, and it can start jobs. Start it with "
                "--server.address 127.0.0.1, or set up sign-in: the README says how under *For a team*."
            )
        host = st.context.headers.get("Host")
        if host is not None and not is_loopback(urlsplit(f"//{host}").hostname):
            # Started with other settings than ours, it may have no server.allowedHosts.
            _refuse(plain(f"This app was asked for as {host}. On this machine open it as http://localhost."))
        return
    if not st.user.is_logged_in:
        _ask()
    reason = refusal(st.user.to_dict(), settings.get("members", {}))
    if reason:
        st.button("Sign out", on_click=st.logout)
        _refuse(plain(reason))
    context = get_script_run_ctx()
    if context is not None:
        _ADMITTED.add(context.session_id)
    with st.sidebar:
        st.caption(f"Signed in as {plain(st.user.email)}")
        st.button("Sign out", on_click=st.logout)


_ADMITTED: set[str] = set()
"""Sessions of visitors who may use the app, so that the server takes their files and nobody else's."""


def is_admitted(session: str) -> bool:
    """May the visitor of that session of Streamlit's use the app?"""
    return session in _ADMITTED


def has_sign_in() -> bool:
    """Are visitors asked who they are?"""
    return bool(st.secrets.load_if_toml_exists()) and "auth" in st.secrets


def _settings() -> Mapping[str, Any]:
    if st.secrets.load_if_toml_exists():
        return st.secrets
    broken = [path for path in st.get_option("secrets.files") if Path(path).exists()]
    if broken:  # it may have meant to keep people out
        _refuse(plain(f"{' and '.join(broken)} cannot be read: mend the TOML, and start the app again."))
    return {}


def refusal(user: Mapping[str, Any], members: Mapping[str, Any]) -> str:
    """Why a visitor who is signed in may not use the app; empty where he may.

    Args:
        user: claims of the provider's identity token.
        members: ``emails`` and ``domains`` of those who may, and ``trust_unverified``.
    """
    emails, domains = ({str(each).casefold() for each in members.get(kind, [])} for kind in ("emails", "domains"))
    if not emails | domains:
        return "Nobody is a member yet: name emails or domains under [members] in secrets.toml and start the app again."
    email = str(user.get("email") or "").casefold()
    name, at, domain = email.rpartition("@")
    verified = user.get("email_verified", members.get("trust_unverified") is True)
    if not (name and at) or str(verified).casefold() != "true":  # some providers send the word
        return (
            "The provider names no verified e-mail address of yours, which is what members are known by: it has to "
            "send email_verified = true. If it never sends that, and nobody can take another's address there, whoever "
            "runs this app can set trust_unverified = true under [members] in secrets.toml."
        )
    if email in emails or domain in domains:
        return ""
    return f"{email} is not a member here: ask whoever runs this app to add you under [members] in secrets.toml."


def is_loopback(address: str | None) -> bool:
    """Is a server at this address reached from its own machine alone? Without an address it listens everywhere."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address or "0.0.0.0").is_loopback  # noqa: S104  # that is what Streamlit does
    except ValueError:
        return False


def _ask() -> NoReturn:
    st.title("AutoSAM")
    st.write("Sign in to see runs and scans.")
    st.button("Sign in", on_click=st.login, type="primary")
    st.stop()


def _refuse(reason: str) -> NoReturn:
    st.error(reason, icon=":material/lock:")
    st.stop()
