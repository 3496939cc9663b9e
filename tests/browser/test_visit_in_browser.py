"""One visit, page by page as a person makes it: from the list of runs to the worst case, and two runs compared."""

from collections.abc import Iterator

import pytest
from browser_app import App, served
from clicks import Clicks
from example_cases import CASE, FIRST, SECOND, write_cases, write_scores
from playwright.sync_api import Page, expect


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    root = tmp_path_factory.mktemp("visited")
    write_cases(root)
    write_scores(root)
    with served(root) as started:
        yield started


def test_from_the_runs_to_the_worst_case_and_a_comparison(page: Page, app: App) -> None:
    page.goto(app(search=FIRST))
    clicks = Clicks(page)
    expect(page.get_by_text("1 of 2 runs")).to_be_visible()
    clicks.name_in(page.get_by_test_id("stDataFrame"))
    expect(page.get_by_role("heading", name=FIRST, exact=True)).to_be_visible()
    clicks.name_in(page.get_by_test_id("stDataFrame").first)  # worst first, which opens at its worst organ: the liver
    expect(page.get_by_test_id("slice-axial")).to_have_text("Axial 3/4")
    expect(page.get_by_test_id("dice-axial")).to_have_text("Dice 0.00 %")
    page.get_by_test_id("isolate-6").click()
    expect(page.get_by_test_id("dice-axial")).to_have_text("Dice 54.55 %")
    page.get_by_test_id("axial").hover()
    page.mouse.wheel(0, 100)
    expect(page.get_by_test_id("slice-axial")).to_have_text("Axial 2/4")
    expect(page.get_by_test_id("dice-axial")).to_have_text("Dice 100.00 %")
    page.get_by_test_id("axial").hover()
    page.mouse.wheel(0, -100)
    expect(page.get_by_test_id("slice-axial")).to_have_text("Axial 3/4")
    expect(page.get_by_test_id("dice-axial")).to_have_text("Dice 54.55 %")
    page.get_by_test_id("organ-6").click()
    expect(page.get_by_test_id("dice-axial")).to_have_text("Dice 60.00 %")
    assert f"case={CASE}" in page.url

    page.get_by_role("link", name="Compare").click()
    chooser = page.get_by_role("combobox", name="Runs")
    for run_id in (FIRST, SECOND):
        chooser.fill(run_id)
        page.get_by_role("option", name=run_id).click()
    expect(page.get_by_text("1 cases in common")).to_be_visible()
    # The list of runs stays open for a third one, and while it is, roles of what lies behind it are hidden.
    expect(page.locator("h3", has_text=f"{SECOND} − {FIRST}")).to_be_visible()
