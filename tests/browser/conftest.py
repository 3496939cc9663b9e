"""Chromium, and a page in it."""

from collections.abc import Iterator

import pytest
from chromium import NoChromiumError, started_chromium
from playwright.sync_api import Browser, Page, expect

_PATIENCE = 300_000
"""Milliseconds. The first page of a server brings its scripts, which takes over 5 seconds beside other tests."""

expect.set_options(timeout=_PATIENCE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        with started_chromium() as started:
            yield started
    except NoChromiumError as error:
        pytest.skip(str(error))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of 1280 × 800 pixels; what its scripts could not do fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    opened, failures = context.new_page(), []
    opened.set_default_timeout(_PATIENCE)
    opened.on("pageerror", lambda error: failures.append(str(error)))
    yield opened
    context.close()
    assert not failures, failures
