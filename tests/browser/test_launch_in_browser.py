"""A person fills in the form of a tiny job, sends it to a real cluster, and sees it finish."""

import json
from pathlib import Path

import pytest
from browser_app import served
from playwright.sync_api import Page, expect
from synthetic_scans import write_btcv


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
        page.get_by_role("textbox", name="Root").fill(str(workspace / "raw"))
        page.get_by_role("button", name="Check these settings").click()
        command = f" jobs/prepare.py --recipe {recipe} --dataset.root {workspace / 'raw'}"
        expect(page.get_by_text(command)).to_be_visible(timeout=60_000)
        page.get_by_role("button", name="Send to the cluster").click()
        expect(page.get_by_text("Running entrypoint for job")).to_be_visible(timeout=120_000)
        expect(page.get_by_text("SUCCEEDED · prepare")).to_be_visible(timeout=300_000)  # a minute on a quiet machine
        (prepared,) = (workspace / "prepared").glob("tiny-*")
        expect(page.get_by_text(f"Result: {prepared}")).to_be_visible()
        assert "submitted=raysubmit" in page.url
