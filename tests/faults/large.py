"""What grows with the number of cases and runs: ``python tests/faults/large.py --cases 2000 --runs 200``.

Tiny scans, so that what is counted is the book-keeping: time and the driver's memory of a preparation, anew and where
all is found; a data set of so many cases in a loader; and the record of so many runs. Prints a table and writes
nothing; the figures that matter are in docs/reliability.md. Linux, since it looks into /proc.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("platform", "models", "tests")]

import torch  # noqa: E402
from resident import resident_mb  # noqa: E402
from synthetic_scans import write_btcv  # noqa: E402

from autosam_platform.data.patches import PatchDataset  # noqa: E402
from autosam_platform.data.prepared import PreparedDataset  # noqa: E402
from autosam_platform.measure import machine  # noqa: E402
from autosam_platform.tracking.writing import list_runs, open_run  # noqa: E402
from autosam_platform.workspace import Workspace  # noqa: E402

_POINTS = 200  # of each curve of a run
_DRAWN = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=200)
    asked = parser.parse_args()
    print(machine(torch.device("cpu")), flush=True)
    with tempfile.TemporaryDirectory(prefix="large-") as temporary:
        folder = Path(temporary)
        _cases(folder, asked.cases)
        _loader(folder)
        _runs(folder, asked.runs)


def _say(what: str, value: float, unit: str) -> None:
    print(f"{what:62} {value:10.1f} {unit}", flush=True)


def _cases(folder: Path, count: int) -> None:
    scans = write_btcv(folder / "raw", count)
    split = {"rule": "in_order", "parts": [{"split": "train", "cases": count}]}
    described = {"extends": "btcv", "name": "large", "title": "large", "spacing_xyz": [2.0, 2.0, 3.0], "split": split}
    (folder / "large.yaml").write_text(json.dumps(described))
    command = [sys.executable, str(ROOT / "jobs" / "prepare.py"), "--dataset.name", str(folder / "large.yaml")]
    command += ["--dataset.root", str(scans)]
    environment = os.environ | {"AUTOSAM_WORKSPACE": str(folder / "workspace")}
    for what in ("prepared", "found again"):
        seconds, peak = _measured(command, environment, folder / f"{what}.log")
        _say(f"{count} cases {what}", seconds, "s")
        _say("the driver's memory at most", peak, "MB")


def _measured(command: list[str], environment: dict[str, str], log: Path) -> tuple[float, float]:
    """Seconds that a command takes, and its own resident memory at most, in MB."""
    started, peak = time.perf_counter(), 0.0
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        while process.poll() is None:
            peak = max(peak, resident_mb(process.pid))
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(log.read_text()[-3000:])
    return time.perf_counter() - started, peak


def _loader(folder: Path) -> None:
    (manifest,) = (folder / "workspace" / "prepared").glob("*/dataset-*.json")
    _say("the list of the cases on disk", manifest.stat().st_size / 1e6, "MB")
    before, started = resident_mb(os.getpid()), time.perf_counter()
    dataset = PatchDataset(PreparedDataset.load(manifest), (16, 16, 16), 1, seed=0)
    _say("a loader's data set opened", time.perf_counter() - started, "s")
    started = time.perf_counter()
    places = range(0, len(dataset), max(1, len(dataset) // _DRAWN))
    for place in places:
        dataset[place]
    _say(f"a patch, mean of {len(places)} cases", (time.perf_counter() - started) / len(places) * 1e3, "ms")
    _say("what the loader's memory grew by", resident_mb(os.getpid()) - before, "MB")


def _runs(folder: Path, count: int) -> None:
    workspace = Workspace(folder / "record")
    tags = {"role": "teacher", "model": "autosam_demo", "dataset": "large", "name": "run"}
    open_run(workspace, "first", tags=tags, params={}).finish()  # makes the database
    started = time.perf_counter()
    for number in range(count):
        run = open_run(workspace, f"run-{number:08x}", tags=tags, params={"training.seed": number})
        run.log_curve([{"step": step, "train/loss": 1.0, "train/learning_rate": 0.1} for step in range(_POINTS)])
        run.finish()
    seconds = time.perf_counter() - started
    _say(f"{count} runs of {2 * _POINTS} points written", seconds, "s")
    _say("points a second", count * 2 * _POINTS / seconds, "")
    started = time.perf_counter()
    assert len(list_runs(workspace)) == count + 1
    _say(f"{count} runs listed", time.perf_counter() - started, "s")


if __name__ == "__main__":
    main()
