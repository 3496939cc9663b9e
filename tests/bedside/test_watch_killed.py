"""The watcher, killed at random moments: at the end every scan is there, whole and once; and it stops when told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bedside_command import nifti, run, series, small_model
from patience import HANG_S, wait_until

from autosam_inference.bedside.ledger import LEDGER
from autosam_inference.bedside.record import is_whole, read_record

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


def _done(out: Path) -> int:
    """How many scans the ledger calls done; 0 while there is none, or it is being replaced."""
    try:
        return sum(each["state"] == "done" for each in json.loads((out / LEDGER).read_text())["entries"].values())
    except FileNotFoundError:
        return 0


def test_killed_at_any_moment_it_does_each_once(tmp_path: Path) -> None:
    model = small_model(tmp_path / "model")
    for number in range(3):
        nifti(tmp_path / "in" / f"scan{number}.nii.gz", number)
    series(tmp_path / "in" / "series")
    out = tmp_path / "out"
    words = [model, "--watch", tmp_path / "in", "--output", out, "--settle", "0.2", "--report", "--threads", "1"]
    command = [sys.executable, Path(__file__).with_name("watch_nursery.py"), 1, 8, 1.5, tmp_path / "last", *words]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'models'}"}
    process = subprocess.Popen(
        [str(each) for each in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_until(lambda: (tmp_path / "last").exists() and _done(out) == 4, every_s=0.2)
    time.sleep(2)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=HANG_S)[0]
    assert process.returncode == 0 and said.splitlines()[-1].endswith("Stopped."), said
    _check(tmp_path, model, out)


def _check(tmp_path: Path, model: Path, out: Path) -> None:
    """Against one call that nothing disturbed."""
    assert _done(out) == 4
    folders = sorted(each for each in out.iterdir() if each.is_dir())
    assert len(folders) == 4 and not list(out.glob(".making-*"))
    quiet = tmp_path / "quiet"
    assert run(model, tmp_path / "in", "--output", quiet, "--names", "hash", "--report") == 0
    for folder in folders:
        record, other = read_record(folder), read_record(quiet / folder.name)
        assert record is not None and other is not None and is_whole(record, folder)
        assert record.organs == other.organs and record.files.keys() == other.files.keys()
        assert record.files[f"{folder.name}.nii.gz"] == other.files[f"{folder.name}.nii.gz"]
        assert {each.name for each in folder.iterdir()} == {*record.files, f"{folder.name}.result.json"}
