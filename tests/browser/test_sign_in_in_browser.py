"""Signing in for real: the browser goes to an OpenID provider and comes back as somebody."""

from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from browser_app import free_port, served
from identity_provider import CLIENT, identity_provider
from playwright.sync_api import Page, expect


def test_a_stranger_is_refused_and_a_member_let_in(page: Page, tmp_path: Path) -> None:
    port, secrets = free_port(), tmp_path / "secrets.toml"
    with identity_provider() as provider:
        secrets.write_text(
            f"[auth]\nredirect_uri = 'http://127.0.0.1:{port}/oauth2callback'\ncookie_secret = '{'x' * 32}'\n"
            f"client_id = '{CLIENT}'\nclient_secret = 'y'\n"
            f"server_metadata_url = '{provider.issuer}/.well-known/openid-configuration'\n"
            "[members]\nemails = ['ada@example.org']\n"
        )
        with served(tmp_path, f"--secrets.files={secrets}", port=port) as address:
            page.goto(address())
            expect(page.get_by_role("button", name="Sign in")).to_be_visible()
            with pytest.raises(HTTPError, match="403"):
                urlopen(Request(address("_stcore/upload_file/any/file"), b"a scan", method="PUT"), timeout=20)
            provider.email = "eve@elsewhere.org"
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_text("eve@elsewhere.org is not a member here")).to_be_visible()
            expect(page.get_by_role("heading", name="Runs")).to_have_count(0)
            page.get_by_role("button", name="Sign out").click()
            provider.email = "ada@example.org"
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", name="Runs")).to_be_visible()
