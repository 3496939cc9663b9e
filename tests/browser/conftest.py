"""The app as a person has it: served by Streamlit, looked at in Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

ROOT = Path(__file__).parents[2]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
_QUIET += " --disable-component-update --disable-sync"


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    started = playwright.chromium.launch(executable_path=_chromium(playwright), args=_QUIET.split())
    yield started
    started.close()


def _chromium(playwright: Playwright) -> str:
    """The system's Chromium, else Playwright's own, which is downloaded where it is missing."""
    installed = next((path for path in map(shutil.which, _NAMES) if path), None)
    own = playwright.chromium.executable_path
    if installed is None and not Path(own).exists():
        with suppress(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], timeout=300)
    if installed is None and not Path(own).exists():
        pytest.skip(
            "THE DASHBOARD WAS NOT LOOKED AT IN A BROWSER: there is no Chromium here and none can be downloaded. "
            "Install it (Debian: apt install chromium) and run the tests again."
        )
    return installed or own


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of 1280 × 800 pixels; what its scripts could not do fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    opened, failures = context.new_page(), []
    opened.set_default_timeout(30_000)
    opened.on("pageerror", lambda error: failures.append(str(error)))
    yield opened
    context.close()
    assert not failures, failures


@contextmanager
def served(workspace: Path, **environment: str) -> Iterator[Callable[..., str]]:
    """Serve the app on a port of its own; gives a function from a page and its parameters to an address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "app.py"), f"--server.port={port}"]
    settings = {**os.environ, "AUTOSAM_WORKSPACE": str(workspace), **environment}
    server = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.DEVNULL)
    try:
        _wait_for(server, f"http://127.0.0.1:{port}/_stcore/health")
        yield lambda name="", **address: f"http://127.0.0.1:{port}/{name}?{urlencode(address)}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(server: subprocess.Popen[bytes], address: str) -> None:
    for _ in range(300):
        assert server.poll() is None, "the app's server ended by itself"
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):  # our own address
            return
        time.sleep(0.2)
    pytest.fail(f"{address} did not answer within a minute")
