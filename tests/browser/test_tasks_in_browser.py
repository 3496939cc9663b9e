"""What people come for, in at most so many clicks from the page where they are; and a link shows what they see.

A setting changed and sent again is in ``test_launch_in_browser``, since it needs a cluster.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from browser_app import App, served
from clicks import Clicks
from example_cases import FIRST, TAGS, write_cases, write_scores
from patience import HANG_S
from playwright.sync_api import Browser, Page, expect
from small_models import write_model
from synthetic_scans import write_btcv

from autosam_platform.data.description import load_description
from autosam_platform.tracking.writing import open_run
from autosam_platform.workspace import Workspace

GOING = "going-0000000c"
_NOBODY = {"RAY_ADDRESS": "http://127.0.0.1:9"}  # the discard port: predictions are made by this machine


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluated runs, of which one can predict, and one that goes on; a scan."""
    root = tmp_path_factory.mktemp("tasks")
    write_cases(root)
    write_scores(root)
    write_model(root / "runs" / FIRST / "model", load_description("btcv"), (2.0, 2.0, 3.0))
    going = root / "runs" / GOING
    going.mkdir()
    going.joinpath("config.yaml").write_text(yaml.safe_dump({"name": "going", "training": {"epochs": 6}}))
    told = {"done": 30, "total": 60, "epoch": 3, "epochs": 6, "loss": 0.5, "learning_rate": 1e-3, "seconds_left": 90.0}
    going.joinpath("progress.json").write_text(json.dumps({"progress": told}))
    run = open_run(Workspace(root), GOING, tags=TAGS | {"name": "going"}, params={})
    run.log_curve({"step": step, "train/loss": 1 / step, "train/epoch": 1 + step // 10} for step in range(1, 31))
    write_btcv(root / "raw", 1)
    return root


@pytest.fixture(scope="module")
def app(root: Path) -> Iterator[App]:
    with served(root, environment=_NOBODY) as started:
        yield started


def test_whether_my_run_goes_well_is_1_click_away(page: Page, app: App) -> None:
    page.goto(app())
    clicks = Clicks(page)
    clicks.name_in(page.get_by_test_id("stDataFrame").first)  # the newest run is the first
    expect(page.get_by_role("heading", name=GOING, exact=True)).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()  # its loss
    expect(page.get_by_test_id("stMain")).to_contain_text("epoch 3")
    assert clicks.count == 1


def test_the_worst_case_and_why_is_2_clicks_away_and_a_link_shows_it(page: Page, app: App, browser: Browser) -> None:
    page.goto(app(search=FIRST))
    clicks = Clicks(page)
    expect(page.get_by_text("1 of 3 runs")).to_be_visible()
    clicks.name_in(page.get_by_test_id("stDataFrame").first)
    expect(page.get_by_role("heading", name=FIRST, exact=True)).to_be_visible()
    clicks.name_in(page.get_by_test_id("stDataFrame").first)  # worst first; it opens at its worst organ
    expect(page.get_by_test_id("slice-axial")).to_have_text("Axial 3/4")
    expect(page.get_by_test_id("dice-axial")).to_have_text("Dice 0.00 %")
    assert clicks.count == 2
    page.wait_for_url(re.compile(r"[?&]z=3(&|$)"))
    other = browser.new_context().new_page()  # of somebody who was sent the address
    other.goto(page.url)
    expect(other.get_by_test_id("slice-axial")).to_have_text("Axial 3/4")
    expect(other.get_by_test_id("dice-axial")).to_have_text("Dice 0.00 %")
    other.context.close()


def test_which_of_two_models_is_better_for_an_organ_is_3_clicks_away(page: Page, app: App) -> None:
    page.goto(app(search="000000", role="teacher"))
    clicks = Clicks(page)
    table = page.get_by_test_id("stDataFrame").first
    expect(page.get_by_text("3 of 3 runs")).to_be_visible()
    for row in (1, 2):  # the newest is not evaluated yet
        clicks.tick(table, row)
        expect(page.get_by_role("button", name=f"Compare {row} run")).to_be_visible()
    clicks.button("Compare 2 runs")
    expect(page.get_by_text("1 cases in common")).to_be_visible()
    expect(page.locator("h3", has_text=re.compile(" − "))).to_be_visible()
    expect(page.locator("svg.main-svg").filter(has_text="liver").first).to_be_visible()  # points better, per organ
    assert clicks.count == 3


def test_a_scan_is_segmented_and_saved_with_3_clicks(page: Page, app: App, root: Path) -> None:
    page.goto(app("predict"))
    clicks = Clicks(page)
    with page.expect_file_chooser() as chooser:
        clicks.on(page.get_by_test_id("stFileUploader").locator("button"))
    chooser.value.set_files(root / "raw" / "imagesTr" / "img0001.nii.gz")
    predict = page.get_by_role("button", name="Predict", exact=True)
    expect(predict).to_be_enabled()
    clicks.on(predict)
    saving = page.get_by_role("button", name="Download the label map")
    expect(saving).to_be_visible(timeout=HANG_S * 1000)
    with page.expect_download() as download:
        clicks.on(saving)
    assert download.value.suggested_filename.endswith(".nii.gz")
    assert clicks.count == 3
