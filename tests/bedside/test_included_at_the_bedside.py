"""autosam-predict with the model that comes with the project: what it is goes with every result."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from bedside_command import nifti, run, series
from PIL import Image
from small_bundles import SYNTHETIC, WARNING, small_bundle

from autosam_inference import included

SHORT = WARNING.partition(":")[0]
RED = (176, 0, 32)


@pytest.fixture(scope="module", autouse=True)
def _model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A stand-in for it."""
    place = tmp_path_factory.mktemp("package") / "small.zip"
    small_bundle(place, **SYNTHETIC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(included, "FOLDER", place.parent)
        yield


def test_what_the_model_is_goes_with_every_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, _ = series(tmp_path / "series")
    assert run("included", place, "--output", tmp_path / "out", "--report") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == WARNING and said.count(WARNING) == 1
    (folder,) = (each for each in (tmp_path / "out").iterdir() if each.is_dir())
    name = folder.name
    assert json.loads((folder / f"{name}.result.json").read_text())["model"]["warning"] == WARNING
    (row,) = csv.DictReader((tmp_path / "out" / "summary.csv").open(encoding="utf-8"))
    assert row["model"] == WARNING
    assert str(pydicom.dcmread(folder / f"{name}.seg.dcm").ContentDescription) == SHORT
    report = pydicom.dcmread(folder / f"{name}.report.dcm")
    assert _meanings(report).count(SHORT) == _meanings(report).count("Warning of the model") > 0
    picture = np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
    assert (picture[:36] == RED).all(-1).any() and not (picture[36:] == RED).all(-1).any()


def _meanings(item: pydicom.Dataset) -> list[str]:
    """Of all codes in it, at any depth."""
    return [str(each.value) for each in item.iterall() if each.keyword == "CodeMeaning"]


def test_another_bundle_has_its_runs_name_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, scan = small_bundle(tmp_path / "student.zip"), nifti(tmp_path / "a.nii.gz")
    assert run(bundle, scan, "--output", tmp_path / "out") == 0
    assert "synthetic" not in capsys.readouterr().out
    (row,) = csv.DictReader((tmp_path / "out" / "summary.csv").open(encoding="utf-8"))
    assert row["model"] == "small-01234567"
    assert "warning" not in json.loads((tmp_path / "out" / "a" / "a.result.json").read_text())["model"]
    assert not (np.asarray(Image.open(tmp_path / "out" / "a" / "a.png").convert("RGB")) == RED).all(-1).any()


def test_where_none_is_included_the_word_is_a_path_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(included, "FOLDER", tmp_path / "none")
    scan = nifti(tmp_path / "a.nii.gz")
    assert run("included", scan, "--output", tmp_path / "out") == 2
    assert "included holds no model.json" in capsys.readouterr().err
