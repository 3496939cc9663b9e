"""A person fills in the form of a tiny job, sends it to a real cluster, and sees it finish; and a copy of a run."""

import json
from pathlib import Path

import pytest
from browser_app import served
from clicks import Clicks, settle
from patience import HANG_S
from playwright.sync_api import Page, expect
from synthetic_scans import write_btcv

from autosam_platform.tracking.writing import open_run
from autosam_platform.workspace import Workspace
from dashboard.components.jobs import ray_jobs

RUN = "demo-0000000a"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """In a workspace: two tiny scans and a recipe that prepares them."""
    scans = write_btcv(tmp_path / "raw", 2)
    description = {"extends": "btcv", "name": "tiny", "title": "tiny", "spacing_xyz": [2.0, 2.0, 3.0]}
    split = {"rule": "in_order", "parts": [{"split": "train", "cases": 1}, {"split": "test", "cases": 1}]}
    (scans / "tiny.yaml").write_text(json.dumps(description | {"split": split}))  # JSON is YAML
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps({"name": "tiny", "dataset": {"name": str(scans / "tiny.yaml")}}))
    return file


def test_a_tiny_job_is_launched_and_seen_to_finish(page: Page, recipe: Path, ray_dashboard: str) -> None:
    workspace = recipe.parent
    environment = {"RAY_ADDRESS": ray_dashboard, "RAY_AUTH_MODE": "disabled"}
    with served(workspace, environment=environment) as address:
        page.goto(address("launch", job="prepare"))
        page.get_by_role("textbox", name="or a recipe's file").fill(str(recipe))
        page.keyboard.press("Tab")
        expect(page.get_by_role("combobox", name="Name")).to_have_value(str(workspace / "raw" / "tiny.yaml"))
        settle(page)
        page.get_by_role("textbox", name="Root").fill(str(workspace / "raw"))
        page.get_by_role("button", name="Check these settings").click()
        command = f" jobs/prepare.py --recipe {recipe} --dataset.root {workspace / 'raw'}"
        expect(page.get_by_text(command)).to_be_visible(timeout=HANG_S * 1000)
        settle(page)
        page.get_by_role("button", name="Send to the cluster").click()
        expect(page.get_by_text("Running entrypoint for job")).to_be_visible(timeout=HANG_S * 1000)
        expect(page.get_by_text("SUCCEEDED · prepare")).to_be_visible(timeout=HANG_S * 1000)
        (prepared,) = (workspace / "prepared").glob("tiny-*")
        expect(page.get_by_text(f"Result: {prepared}")).to_be_visible()
        assert "submitted=raysubmit" in page.url


def test_the_next_run_with_one_setting_changed_is_3_clicks_away(page: Page, tmp_path: Path, ray_dashboard: str) -> None:
    (tmp_path / "runs" / RUN).mkdir(parents=True)
    config = {"name": "demo", "model": {"name": "autosam_demo", "patch_DHW": [32, 64, 64]}}
    (tmp_path / "runs" / RUN / "config.yaml").write_text(json.dumps(config))
    tags = {"name": "demo", "role": "teacher", "model": "autosam_demo", "dataset": "phantom"}
    open_run(Workspace(tmp_path), RUN, tags=tags, params={}).finish()
    with served(tmp_path, environment={"RAY_ADDRESS": ray_dashboard, "RAY_AUTH_MODE": "disabled"}) as address:
        page.goto(address())
        clicks = Clicks(page)
        clicks.name_in(page.get_by_test_id("stDataFrame").first)
        clicks.button("Launch a copy")
        page.get_by_role("spinbutton", name="Epochs", exact=True).fill("7")
        clicks.button("Send to the cluster")
        expect(page.get_by_text("Running entrypoint for job")).to_be_visible(timeout=HANG_S * 1000)
        assert clicks.count == 3
        (job,) = [each for each in ray_jobs.submitted(ray_dashboard) if "--training.epochs" in each.command]
        assert job.kind == "train_teacher" and job.words[job.words.index("--training.epochs") + 1] == "7"
        expect(page.get_by_role("button", name="Send to the cluster")).to_be_in_viewport()  # with queue and log
        ray_jobs.stop(ray_dashboard, job.job_id)
        expect(page.get_by_text("STOPPED · train_teacher")).to_be_visible(timeout=HANG_S * 1000)
