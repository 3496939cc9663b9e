"""Chromium: the system's, else Playwright's own, which is downloaded where it is missing."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
_QUIET += " --disable-component-update --disable-sync"


class NoChromiumError(Exception):
    """There is none and none can be downloaded; the message says what to do."""


@contextmanager
def started_chromium() -> Iterator[Browser]:
    """A browser without a window.

    Raises:
        NoChromiumError: see there.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_found(playwright), args=_QUIET.split())
        yield browser
        browser.close()


def _found(playwright: Playwright) -> str:
    installed = next((path for path in map(shutil.which, _NAMES) if path), None)
    own = playwright.chromium.executable_path
    if installed is None and not Path(own).exists():
        with suppress(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], timeout=300)
    if installed is None and not Path(own).exists():
        raise NoChromiumError(
            "THE DASHBOARD WAS NOT LOOKED AT IN A BROWSER: there is no Chromium here and none can be downloaded. "
            "Install it (Debian: apt install chromium) and run this again."
        )
    return installed or own
