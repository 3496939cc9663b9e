"""Take the pictures of docs/dashboard.md: ``python tests/browser/pictures.py WORKSPACE [NAME…]``, such as ``run``.

To look at the pages otherwise: ``--dark --width 1920 --output FOLDER``.

The workspace is one that ``make demo``, ``jobs/prepare.py`` (for the page Data), ``jobs/distill_student.py``,
``jobs/sweep.py``, Export on a run's page and a prediction by that bundle have left. For the page of the cluster start
one before: ``ray start --head``. Pages show paths: clone into a folder whose name may be seen. Look at the pictures
before they are committed.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("platform", "models", "tests")]

from browser_app import App, served  # noqa: E402
from chromium import started_chromium  # noqa: E402
from clicks import settle  # noqa: E402
from playwright.sync_api import FloatRect, Locator, Page, expect  # noqa: E402

from autosam_platform.tracking.writing import list_runs  # noqa: E402
from autosam_platform.workspace import Workspace  # noqa: E402

HEIGHT, LONGEST = 900, 1600
expect.set_options(timeout=180_000)  # milliseconds: a machine may be busy


@dataclass(frozen=True)
class Camera:
    """A page of the browser, and where pictures of it go."""

    page: Page
    width: int
    place: Path

    def open(self, address: str) -> None:
        self.page.set_viewport_size({"width": self.width, "height": HEIGHT})
        self.page.goto(address)
        settle(self.page)
        self.page.wait_for_timeout(3000)  # charts and canvases draw after the script

    def take(self, name: str, address: str) -> None:
        """The whole page, if it is not too long; of the viewer, which fills any window, what a window shows."""
        self.open(address)
        height = self.page.get_by_test_id("stMain").evaluate("element => element.scrollHeight")
        self._save(name, HEIGHT if name == "viewer" else min(height, LONGEST))

    def take_bundle(self, address: str) -> None:
        """What a run's page says of its bundle: one part of a long page."""
        self.open(address)
        self.page.get_by_role("tab", name="Settings").click()
        self.page.get_by_text("What this bundle says of itself").click()
        self.page.wait_for_timeout(1500)
        headings = [self.page.get_by_role("heading", name=each) for each in ("Bundle", "Lineage")]
        self._save("bundle", 6000, *headings)

    def _save(self, name: str, height: int, *between: Locator) -> None:
        self.page.set_viewport_size({"width": self.width, "height": height})
        self.page.wait_for_timeout(1500)
        if between:
            top, bottom = (each.bounding_box() for each in between)
            assert top is not None and bottom is not None, "a heading is not to be seen"
            height = bottom["y"] - top["y"]
            clip: FloatRect | None = {"x": 0, "y": top["y"] - 20, "width": self.width, "height": height}
        else:
            clip = None
        path = self.place / f"{name}.png"
        self.page.screenshot(path=path, clip=clip)
        print(path, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("names", nargs="*", help="of pages; all if none is named")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "dashboard")
    asked = parser.parse_args()
    workspace = asked.workspace.resolve()
    asked.output.mkdir(parents=True, exist_ok=True)
    with served(workspace) as app, started_chromium() as browser:
        page = browser.new_page(device_scale_factor=1, color_scheme="dark" if asked.dark else "light")
        camera = Camera(page, asked.width, asked.output)
        addresses = dict(_addresses(app, workspace))
        if unknown := set(asked.names) - addresses.keys():
            parser.error(f"no page {', '.join(sorted(unknown))}; there are {', '.join(addresses)}")
        for name in asked.names or addresses:
            address = addresses[name]
            if name == "bundle":
                camera.take_bundle(address)
            else:
                camera.take(name, address)


def _addresses(app: App, workspace: Path) -> Iterator[tuple[str, str]]:
    runs = [run for run in list_runs(Workspace(workspace)) if run.mean_dice is not None]
    teacher = next(run for run in runs if run.role == "teacher").run_id
    students = [run.run_id for run in runs if run.role == "student"][:2]
    case = sorted((workspace / "runs" / teacher / "evaluation" / "cases").glob("*.json"))[0].stem
    yield "runs", app()
    yield "run", app("run", run=teacher)
    yield "compare", app("compare", runs=",".join([teacher, *students]))
    yield "data", app("data")
    yield "viewer", app("viewer", run=teacher, case=case)
    yield "sweeps", app("sweeps")
    yield "studies", app("studies")
    yield "launch", app("launch", job="distill_student")
    yield "cluster", app("cluster")
    for place in Workspace(workspace).bundles[:1]:
        yield "predict", app("predict", run=f"bundle: {place.name}", **_newest_prediction(workspace))
        yield "bundle", app("run", run=place.stem)


def _newest_prediction(workspace: Path) -> dict[str, str]:
    made = sorted((workspace / "predicting").glob("*.json"), key=lambda each: each.stat().st_mtime)
    return {"prediction": made[-1].stem} if made else {}


if __name__ == "__main__":
    main()
