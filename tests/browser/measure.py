"""How fast the app is in Chromium, and what its server holds: ``python tests/browser/measure.py``.

Prints a table and writes nothing; the figures that matter are in docs/benchmarks.md. Everything is made for it in a
temporary folder: a record of 1,000 runs, a CT of 512 × 512 × 150 voxels, and 50 cases of 256 × 256 × 100.
"""

import csv
import json
import sys
import tempfile
import time
from dataclasses import asdict, fields
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("platform", "models", "tests")]

import nibabel as nib  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from browser_app import App, served  # noqa: E402
from chromium import started_chromium  # noqa: E402
from playwright.sync_api import Page  # noqa: E402
from resident import resident_mb  # noqa: E402

from autosam_platform.evaluation.table import Row  # noqa: E402
from autosam_platform.measure import machine  # noqa: E402
from autosam_platform.tracking.writing import open_run  # noqa: E402
from autosam_platform.workspace import Workspace  # noqa: E402

RUNS, CASES = 1000, 50
LARGE, SMALL = (512, 512, 150), (256, 256, 100)
RUN = "measured-00000001"
TAGS = {"role": "teacher", "model": "autosam_demo", "dataset": "phantom"}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="autosam-") as temporary, started_chromium() as browser:
        few, many = Path(temporary) / "few", Path(temporary) / "many"
        _write_cases(few, "large", LARGE, 2)
        _write_cases(few, "small", SMALL, CASES)
        open_run(Workspace(few), RUN, tags=TAGS | {"name": "measured"}, params={}).finish()
        _write_runs(many)
        print(machine(torch.device("cpu")), flush=True)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        bare = Path(temporary) / "bare.py"
        bare.write_text('import streamlit\n\nstreamlit.dataframe({"one": [1]})\n')
        with served(few, script=bare) as app:
            _say("Streamlit itself: first page of an app of one table, s", _seconds(page, app(), "stDataFrame"))
            _say("Streamlit itself: again, s", _seconds(page, app(), "stDataFrame"))
        with served(few) as app:
            _say("first page of a server that has just started, s", _seconds(page, app(), "stDataFrame"))
            _say("512 × 512 × 150 opened: the server's first case, s", _opened(page, app, "large-00"))
            _say("512 × 512 × 150 opened: the next case, s", _opened(page, app, "large-01"))
            _say("512 × 512 × 150 opened: again, from the server's memory, s", _opened(page, app, "large-01"))
            _say("the browser itself: two frames in which nothing is drawn, ms", _drawn(page, _NOTHING))
            _say("from the wheel to the slice, median of 100, ms", _drawn(page, _WHEEL))
            _say("from Ctrl and the wheel to the zoomed planes, median of 100, ms", _drawn(page, _ZOOM))
            _say("from a drag with the middle button to the moved planes, ms", _drawn(page, _PAN, button=1))
            _say("from a drag to the turned organs in 3D, ms", _drawn(page, _TURN, "3d", button=0))
            _memory(page, app)
        with served(many) as app:
            _say(f"table of {RUNS} runs, first page of a new server, s", _seconds(page, app(), "stDataFrame"))
            _say(f"table of {RUNS} runs, again, s", _seconds(page, app(), "stDataFrame"))


def _say(what: str, value: float) -> None:
    print(f"{what:70} {value:8.2f}", flush=True)


def _seconds(page: Page, address: str, shown: str) -> float:
    page.goto("about:blank")
    started = time.perf_counter()
    page.goto(address)
    page.get_by_test_id(shown).first.wait_for(state="visible", timeout=60_000)
    return time.perf_counter() - started


def _opened(page: Page, app: App, case: str) -> float:
    """From the address to the slices, with everything on the way: page, NIfTI, encoding, transfer, decoding."""
    page.goto("about:blank")
    started = time.perf_counter()
    page.goto(app("viewer", run=RUN, case=case))
    page.get_by_test_id("viewer-status").wait_for(state="attached", timeout=60_000)
    page.get_by_test_id("viewer-status").wait_for(state="hidden", timeout=60_000)
    return time.perf_counter() - started


_NOTHING = 'new Event("nothing")'
_WHEEL = 'new WheelEvent("wheel", {deltaY: step % 20 < 10 ? 100 : -100, bubbles: true})'
_ZOOM = 'new WheelEvent("wheel", {deltaY: step % 20 < 10 ? -100 : 100, ctrlKey: true, offsetX: 9, bubbles: true})'
_PAN = 'new PointerEvent("pointermove", {buttons: 4, clientX: step % 20, clientY: step % 20, bubbles: true})'
_TURN = 'new PointerEvent("pointermove", {buttons: 1, clientX: step % 20, clientY: step % 20, bubbles: true})'


def _drawn(page: Page, event: str, on: str = "axial", button: int | None = None) -> float:
    """Milliseconds from an event on a canvas to the first frame after what it changes was drawn, median of 100.

    Args:
        event: how step ``step``'s is made, in JavaScript.
        button: the mouse's that is held down meanwhile.
    """
    steps = page.get_by_test_id(on).evaluate(
        """async (canvas, button) => {
            const frame = () => new Promise((done) => requestAnimationFrame(done));
            const found = [];
            canvas.setPointerCapture = () => null; // there is no pointer
            const press = (kind) => button !== null && canvas.dispatchEvent(new PointerEvent(kind, { button }));
            press("pointerdown");
            for (let step = 0; step < 100; step++) {
                await frame();
                const began = performance.now();
                canvas.dispatchEvent(EVENT);
                await frame();
                await frame();
                found.push(performance.now() - began);
            }
            press("pointerup");
            return found;
        }""".replace("EVENT", event),
        button,
    )
    return median(steps)


def _memory(page: Page, app: App) -> None:
    """Of the server, as cases are opened one after the other in one window."""
    times = []
    for number in range(CASES):
        times.append(_opened(page, app, f"small-{number:02}"))
        if number + 1 in (1, 5, 10, 20, 30, 40, 50):
            _say(f"server's memory after {number + 1} cases of 256 × 256 × 100, MB", resident_mb(app.pid))
    _say("256 × 256 × 100 opened, median, s", median(times))


def _write_runs(root: Path) -> None:
    for number in range(RUNS):
        run = open_run(Workspace(root), f"run-{number:08x}", tags=TAGS | {"name": "run"}, params={})
        run.log({f"test/dice/organ{index}": 0.5 for index in range(49)} | {"test/mean_dice": number / RUNS}, 0)
        run.finish()


def _write_cases(root: Path, name: str, shape_xyz: tuple[int, int, int], count: int) -> None:
    """Evaluated cases of a body with noise, in which an ellipsoid is the liver."""
    noise = np.random.default_rng(0).normal(0, 20, shape_xyz).astype(np.float32)
    x, y, z = np.ogrid[tuple(slice(-1, 1, complex(0, size)) for size in shape_xyz)]
    body, liver = x**2 + y**2 / 0.6 + 0 * z < 0.8, (x - 0.3) ** 2 + y**2 + z**2 < 0.1
    labels = (liver * 6).astype(np.uint8)
    ct = np.where(body, np.where(liver, 110, 40) + noise, -1000 + noise / 4).round().astype(np.int16)
    for number in range(count):
        _write_case(root, f"{name}-{number:02}", ct + np.int16(number), labels)


def _write_case(root: Path, case: str, ct: np.ndarray, labels: np.ndarray) -> None:
    folder = root / "runs" / RUN
    files = {part: root / "datasets" / part / f"{case}.nii.gz" for part in ("image", "label")}
    files["prediction"] = folder / "evaluation" / "predictions" / f"{case}.nii.gz"
    for part, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        array = ct if part == "image" else labels if part == "label" else np.roll(labels, 4, axis=0)
        nib.save(nib.Nifti1Image(array, np.diag([-0.8, -0.8, 2.0, 1.0])), path)
    row = Row(case, 6, "liver", 0.9, 0.9, 2.0, 3.0, 100.0, 100.0)
    record = {"case_id": case, "rows": [row.as_json()]} | {part: str(path) for part, path in files.items()}
    (folder / "evaluation" / "cases").mkdir(parents=True, exist_ok=True)
    (folder / "evaluation" / "cases" / f"{case}.json").write_text(json.dumps(record))
    (folder / "config.yaml").write_text("name: measured\n")
    with (folder / "evaluation" / "metrics.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(field.name for field in fields(Row))
        table.writerow(asdict(row).values())


if __name__ == "__main__":
    main()
