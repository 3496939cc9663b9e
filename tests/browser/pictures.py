"""Take the pictures of docs/dashboard.md: ``python tests/browser/pictures.py WORKSPACE [NAME…]``, such as ``run``.

The workspace is one that ``make demo``, ``jobs/prepare.py`` (for the page Data), ``jobs/distill_student.py``,
``jobs/sweep.py``, Export on a run's page and a prediction by that bundle have left. For the page of the cluster start
one before: ``ray start --head``. Look at the pictures before they are committed.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("platform", "models", "tests")]

from browser_app import App, served  # noqa: E402
from chromium import started_chromium  # noqa: E402
from playwright.sync_api import Page  # noqa: E402

from autosam_platform.tracking.writing import RunSummary, list_runs  # noqa: E402
from autosam_platform.workspace import Workspace  # noqa: E402

PLACE = ROOT / "docs" / "dashboard"
WIDTH, LONGEST = 1280, 1600
_PATIENCE = 180_000  # milliseconds: a machine may be busy


def main() -> None:
    workspace = Path(sys.argv[1]).resolve()
    runs = [run for run in list_runs(Workspace(workspace)) if run.mean_dice is not None]
    teacher = next(run for run in runs if run.role == "teacher")
    students = [run.run_id for run in runs if run.role == "student"][:2]
    case = sorted((workspace / "runs" / teacher.run_id / "evaluation" / "cases").glob("*.json"))[0].stem
    PLACE.mkdir(exist_ok=True)
    with served(workspace) as app, started_chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=1)
        asked = sys.argv[2:]
        for name, address in _addresses(app, teacher, students, case):
            if not asked or name in asked:
                _take(page, name, address)
        for place in Workspace(workspace).bundles[:1]:
            if not asked or "predict" in asked:
                _take(page, "predict", app("predict", run=f"bundle: {place.name}", **_newest_prediction(workspace)))
            if not asked or "bundle" in asked:
                _take_bundle(page, app("run", run=place.stem))


def _addresses(app: App, teacher: RunSummary, students: list[str], case: str) -> list[tuple[str, str]]:
    return [
        ("runs", app()),
        ("run", app("run", run=teacher.run_id)),
        ("compare", app("compare", runs=",".join([teacher.run_id, *students]))),
        ("data", app("data")),
        ("viewer", app("viewer", run=teacher.run_id, case=case)),
        ("sweeps", app("sweeps")),
        ("studies", app("studies")),
        ("launch", app("launch", job="distill_student")),
        ("cluster", app("cluster")),
    ]


def _newest_prediction(workspace: Path) -> dict[str, str]:
    made = sorted((workspace / "predicting").glob("*.json"), key=lambda each: each.stat().st_mtime)
    return {"prediction": made[-1].stem} if made else {}


def _take(page: Page, name: str, address: str) -> None:
    """The whole page, if it is not too long."""
    _open(page, address)
    height = page.get_by_test_id("stMain").evaluate("element => element.scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": min(height, LONGEST)})
    page.wait_for_timeout(1500)
    page.screenshot(path=PLACE / f"{name}.png")
    print(PLACE / f"{name}.png", flush=True)


def _take_bundle(page: Page, address: str) -> None:
    """What a run's page says of its bundle: one part of a long page."""
    _open(page, address)
    page.get_by_role("tab", name="Settings").click()
    page.get_by_text("What this bundle says of itself").click()
    page.wait_for_timeout(1500)
    page.set_viewport_size({"width": WIDTH, "height": 6000})
    page.wait_for_timeout(1500)
    top, bottom = (page.get_by_role("heading", name=each).bounding_box() for each in ("Bundle", "Lineage"))
    assert top is not None and bottom is not None
    clip = {"x": 0, "y": top["y"] - 20, "width": WIDTH, "height": bottom["y"] - top["y"]}
    page.screenshot(path=PLACE / "bundle.png", clip=clip)
    print(PLACE / "bundle.png", flush=True)


def _open(page: Page, address: str) -> None:
    page.set_viewport_size({"width": WIDTH, "height": 900})
    page.goto(address)
    idle = page.get_by_test_id("stApp").and_(page.locator("[data-test-script-state=notRunning]"))
    idle.wait_for(timeout=_PATIENCE)
    page.wait_for_timeout(3000)  # charts and canvases draw after the script


if __name__ == "__main__":
    main()
