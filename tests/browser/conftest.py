"""Chromium, and a page in it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

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
