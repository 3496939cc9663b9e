"""jobs/predict.py takes a bundle in place of a run; jobs/export.py says what it cannot export before any work."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_bundles import SYNTHETIC, WARNING, small_bundle
from synthetic_scans import make_scan, write_nifti

from autosam_inference import included

JOBS = Path(__file__).resolve().parents[1] / "jobs"
Job = Callable[..., int]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Run ``jobs/NAME.py`` in this process; gives its exit status."""
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.syspath_prepend(str(JOBS))

    def run(name: str, *arguments: object) -> int:
        command = [str(JOBS / f"{name}.py"), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def test_a_bundle_takes_the_place_of_a_run(job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = make_scan(1, shape_xyz=(21, 19, 17), spacing_xyz=(1.5, 1.0, 2.0))
    image = write_nifti(tmp_path / "scan.nii.gz", scan.image_xyz, scan.affine, "LPS", np.int16)
    bundle = small_bundle(tmp_path / "Bündel 1.zip")
    places = []
    for runtime in ("openvino", "onnx"):
        assert job("predict", "--input", image, "--run", bundle, "--runtime", runtime, "--json") == 0
        places.append(Path(json.loads(capsys.readouterr().out.splitlines()[-1])["place"]))
    label = nib.load(places[0])
    assert label.shape == nib.load(image).shape and len(np.unique(label.dataobj)) == 4
    record = json.loads(places[0].with_name("scan.scan.json").read_text())
    assert record["run"].startswith("small-01234567") and record["run"] != "small-01234567", "the bundle's own name"


def test_in_a_fresh_workspace_the_included_model_predicts_and_says_what_it_is(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(included, "FOLDER", tmp_path / "package")
    small_bundle(tmp_path / "package" / "small.zip", **SYNTHETIC)
    scan = make_scan(1, shape_xyz=(21, 19, 17), spacing_xyz=(1.5, 1.0, 2.0))
    image = write_nifti(tmp_path / "scan.nii.gz", scan.image_xyz, scan.affine, "LPS", np.int16)
    places = []
    for words in ([], ["--run", "included"]):
        assert job("predict", "--input", image, *words, "--json") == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0] == WARNING and "Predicting" in said[1] and "small-01234567-bundle-" in said[1]
        told = json.loads(said[-1])
        assert told["notes"][0] == WARNING and not any(WARNING in line for line in said[1:-1]), "one line, once"
        places.append(Path(told["place"]))
    assert places[0] == places[1]
    assert json.loads(places[0].with_name("scan.scan.json").read_text())["notes"][0] == WARNING


def test_a_model_without_a_scan_is_refused(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """It was passed over in silence: the demo's own run predicted."""
    assert job("predict", "--run", "included") == 1
    assert "--run included names a model, and nothing names a scan for it: add --input SCAN" in capsys.readouterr().err


def test_a_bundle_that_was_changed_is_not_predicted_with(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = make_scan(1)
    image = write_nifti(tmp_path / "scan.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    bundle = small_bundle(tmp_path / "bundle")
    with (bundle / "models" / "model.bin").open("r+b") as file:
        file.write(b"\x01\x02")
    assert job("predict", "--input", image, "--run", bundle) == 1
    assert "models/model.bin was changed since it was exported" in capsys.readouterr().err
    assert not list((tmp_path / "workspace" / "predictions").rglob("*.nii.gz"))


def test_a_run_that_is_not_there_is_not_exported(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert job("export", "--run", "nothing") == 1
    assert "'nothing' is no finished run" in capsys.readouterr().err
    assert job("export", "--licence", "nowhere.txt") == 1
    assert "nowhere.txt is no file: --licence names the text of a licence" in capsys.readouterr().err
