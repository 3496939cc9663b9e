"""Who is let in: everybody on this machine where no sign-in is set up, else members alone."""

from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from example_runs import APP
from patience import HANG_S
from streamlit.testing.v1 import AppTest

from dashboard.components.base.sign_in import is_loopback, refusal

AUTH = {"redirect_uri": "http://127.0.0.1:8501/oauth2callback", "cookie_secret": "x", "client_id": "app"}
MEMBERS = {"emails": ["Ada@example.org"], "domains": ["clinic.example.org"]}
TRUSTING = MEMBERS | {"trust_unverified": True}


def _opened(secrets: dict[str, Any], user: dict[str, Any]) -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=HANG_S)
    for name, section in secrets.items():
        app.secrets[name] = section
    app.user = user
    app.run()
    assert not app.exception
    return app


def _verified(email: str) -> dict[str, Any]:
    return {"email": email, "email_verified": True}


def _shown(app: AppTest) -> list[str]:
    return [each.value for each in app.title]


@pytest.mark.usefixtures("unchanged")
def test_without_sign_in_this_machine_is_let_in() -> None:
    assert _shown(_opened({}, {})) == ["Runs"]


@pytest.mark.usefixtures("unchanged")
def test_without_sign_in_no_other_machine_is() -> None:
    before = st.get_option("server.address")
    try:
        st.config.set_option("server.address", "0.0.0.0")
        app = _opened({}, {})
    finally:
        st.config.set_option("server.address", before)
    assert not _shown(app) and "open to everybody" in app.error[0].value


@pytest.mark.usefixtures("unchanged")
def test_a_visitor_is_asked_to_sign_in_and_sees_nothing_else() -> None:
    app = _opened({"auth": AUTH, "members": MEMBERS}, {"is_logged_in": False})
    assert _shown(app) == ["AutoSAM"] and [each.label for each in app.button] == ["Sign in"]
    assert not app.dataframe


@pytest.mark.usefixtures("unchanged")
def test_a_stranger_is_refused_and_sees_nothing_else() -> None:
    app = _opened({"auth": AUTH, "members": MEMBERS}, {"is_logged_in": True} | _verified("eve@elsewhere.org"))
    assert "is not a member here" in app.error[0].value
    assert not _shown(app) and not app.dataframe


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("email", ["ada@example.org", "Bob@Clinic.example.org"])
def test_a_member_is_let_in_by_address_or_domain(email: str) -> None:
    app = _opened({"auth": AUTH, "members": MEMBERS}, {"is_logged_in": True} | _verified(email))
    assert _shown(app) == ["Runs"]
    assert email in app.sidebar.caption[0].value.replace("\\", "")


@pytest.mark.parametrize(
    ("user", "members", "reason"),
    [
        ({"email": "ada@example.org"}, {}, "Nobody is a member yet"),
        ({}, MEMBERS, "no verified e-mail"),
        ({"email": "ada@example.org", "email_verified": False}, MEMBERS, "no verified e-mail"),
        ({"email": "ada@example.org", "email_verified": "false"}, MEMBERS, "no verified e-mail"),
        ({"email": "ada@example.org", "email_verified": None}, MEMBERS, "no verified e-mail"),
        ({"email": "eve@clinic.example.org"}, MEMBERS, "can set trust_unverified = true"),
        ({"email": "eve@clinic.example.org"}, MEMBERS | {"trust_unverified": "no"}, "no verified e-mail"),
        ({"email": "ada@example.org", "email_verified": False}, TRUSTING, "no verified e-mail"),
        (_verified("eve@notclinic.example.org"), MEMBERS, "not a member"),
        (_verified("clinic.example.org"), MEMBERS, "no verified e-mail"),
        (_verified("ada@example.org.evil.org"), MEMBERS, "not a member"),
    ],
)
def test_who_is_refused_is_told_why(user: dict[str, Any], members: dict[str, Any], reason: str) -> None:
    assert reason in refusal(user, members)


@pytest.mark.parametrize(
    ("claims", "members"), [({"email_verified": True}, MEMBERS), ({"email_verified": "true"}, MEMBERS), ({}, TRUSTING)]
)
def test_an_address_is_believed_if_it_is_verified_or_the_provider_is_trusted(
    claims: dict[str, Any], members: dict[str, Any]
) -> None:
    assert refusal({"email": "bob@clinic.example.org"} | claims, members) == ""


def test_a_settings_file_that_cannot_be_read_keeps_everybody_out(
    tmp_path: Any, unchanged: Any, page: Callable[..., AppTest]
) -> None:
    secrets = tmp_path / "secrets.toml"
    secrets.write_text("[auth\n")
    before = st.get_option("secrets.files")
    try:
        st.config.set_option("secrets.files", [str(secrets)])
        app = _opened({}, {})
    finally:
        st.config.set_option("secrets.files", before)
    assert not _shown(app) and "mend the TOML" in app.error[0].value


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), (None, False), ("host.org", False)],
)
def test_which_addresses_only_this_machine_reaches(address: str | None, here: bool) -> None:
    assert is_loopback(address) is here
