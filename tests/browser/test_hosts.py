"""Who the app's server talks to: by the names that a browser says it asked for, and came from."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_app import ROOT, App, free_port, served
from patience import HANG_S
from playwright.sync_api import Page, expect


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with served(tmp_path_factory.mktemp("workspace")) as app:
        yield app


def _status(app: App, host: str, origin: str) -> int:
    """Of the answer to a WebSocket's handshake, through which all of the app runs."""
    lines = [
        "GET /_stcore/stream HTTP/1.1",
        f"Host: {host}",
        f"Origin: {origin}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: streamlit",
    ]
    with socket.create_connection(("127.0.0.1", app.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.recv(100).split()[1])


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machines_own_names_are_let_in(server: App, name: str) -> None:
    assert _status(server, f"{name}:{server.port}", f"http://{name}:{server.port}") == 101


@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"])
def test_a_name_of_somebody_elses_that_leads_here_is_refused(server: App, name: str) -> None:
    """DNS rebinding: the browser takes the app for a part of the page that evil.example served."""
    assert _status(server, f"{name}:{server.port}", f"http://{name}:{server.port}") == 403


def test_a_page_of_somebody_elses_is_refused(server: App) -> None:
    assert _status(server, f"127.0.0.1:{server.port}", "http://evil.example") == 403


@pytest.mark.parametrize("origin", ["http://127.0.0.1:9", "http://localhost:{port}", "https://127.0.0.1", "null"])
def test_a_page_of_another_program_on_this_machine_is_refused(server: App, origin: str) -> None:
    """To Streamlit the name alone counts; to a browser name and port are one origin."""
    assert _status(server, f"127.0.0.1:{server.port}", origin.format(port=server.port)) == 403


def test_no_page_of_others_may_hold_ours_in_a_frame(server: App) -> None:
    with urllib.request.urlopen(server(), timeout=20) as answer:
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_open_to_others_without_sign_in_it_does_not_start(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "app.py"), f"--server.port={port}"]
    told = {**os.environ, "AUTOSAM_WORKSPACE": str(tmp_path)}
    ended = subprocess.run(
        [*command, "--server.address=0.0.0.0"], env=told, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S
    )
    assert ended.returncode != 0
    assert "Not started: at 0.0.0.0 this app would be open to everybody" in ended.stdout + ended.stderr
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0  # nobody listens


def test_with_settings_that_let_every_name_in_the_app_itself_refuses(page: Page, tmp_path: Path) -> None:
    """Started from another folder, a server does not read ours. A browser finds *.localhost at this machine."""
    with served(tmp_path, "--server.allowedHosts=*") as app:
        page.goto(f"http://evil.localhost:{app.port}")
        expect(page.get_by_text("This app was asked for as evil.localhost")).to_be_visible()
        expect(page.get_by_role("heading", name="Runs")).to_have_count(0)
