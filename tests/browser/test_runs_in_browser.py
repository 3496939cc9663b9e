"""What only a browser shows of the pages of runs: a zoom that stays, a point that opens its case, a link's filters."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from browser_app import served
from example_runs import CASE, DONE, GOING, UNTESTED, write_workspace
from playwright.sync_api import Locator, Page, expect

from autosam_platform.tracking.writing import open_run
from autosam_platform.workspace import Workspace

_STEPS = "g[aria-label^='X-axis'] .role-axis-label text"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write_workspace(folder)
    return folder


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[Callable[..., str]]:
    with served(root) as link:
        yield link


def _record(root: Path, steps: range) -> None:
    points = [({"train/loss": 1 / step, "train/epoch": step // 100}, step) for step in steps]
    open_run(Workspace(root), GOING, tags={}, params={}).log_many(points)


def _shown_steps(chart: Locator) -> list[int]:
    """The steps that the axis names, from the first to the last."""
    texts = chart.locator(_STEPS).evaluate_all(
        "labels => labels.filter(label => label.getAttribute('opacity') !== '0').map(label => label.textContent)"
    )
    return sorted(int(text.replace(",", "")) for text in texts)


def _settled(page: Page, chart: Locator, wanted: Callable[[list[int]], bool]) -> list[int]:
    """The steps that the axis names once they are as wanted; a busy machine draws late."""
    for _ in range(60):
        if (steps := _shown_steps(chart)) and wanted(steps):
            return steps
        page.wait_for_timeout(500)
    raise AssertionError(steps)


def test_a_zoom_stays_while_the_record_grows(page: Page, root: Path, address: Callable[..., str]) -> None:
    _record(root, range(1, 200))
    page.goto(address("run", run=GOING))  # of a run that goes on the tab Training is open
    chart = page.get_by_test_id("stVegaLiteChart").first
    expect(chart.locator(_STEPS).first).to_be_visible()
    whole = _shown_steps(chart)
    chart.locator("svg").hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Control")
    zoomed = _settled(page, chart, lambda steps: whole[0] < steps[0] < steps[-1] < whole[-1])

    _record(root, range(200, 401))
    expect(page.get_by_text("epoch 4")).to_be_visible()
    page.wait_for_timeout(1000)  # a zoom that is lost is lost with the points, or soon after
    assert _shown_steps(chart) == zoomed

    chart.locator("svg").dblclick()
    _settled(page, chart, lambda steps: steps[-1] > whole[-1])  # the new steps had been there all the time


def test_a_point_of_a_box_opens_its_case(page: Page, address: Callable[..., str]) -> None:
    page.goto(address("run", run=DONE))
    page.locator(".boxlayer .point").first.click(force=True)  # its box lies over it, and both are the plot's to tell
    expect(page.get_by_test_id("slice-axial")).to_be_visible()
    told = dict(parse_qsl(urlsplit(page.url).query))
    assert (told["run"], told["case"]) == (DONE, CASE)


def test_filters_stand_in_the_address(page: Page, address: Callable[..., str]) -> None:
    page.goto(address())
    expect(page.get_by_text("3 of 3 runs")).to_be_visible()
    page.get_by_role("textbox", name="Search").fill(UNTESTED)
    page.get_by_role("textbox", name="Search").press("Enter")
    expect(page.get_by_text("1 of 3 runs")).to_be_visible()
    expect(page).to_have_url(re.compile(f"search={UNTESTED}"))
    page.goto(address(role="teacher"))
    expect(page.get_by_text("2 of 3 runs")).to_be_visible()
