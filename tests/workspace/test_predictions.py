"""What jobs/predict.py leaves of a scan: whole or to be made again, and never in another file's place."""

import json
from pathlib import Path

import pytest

from autosam_platform.evaluation.seconds import write_seconds
from autosam_platform.workspace import PredictionFolder, Workspace
from autosam_platform.workspace.predictions import PredictionFolderError


def _files(folder: Path, name: str = "liver.nii.gz") -> PredictionFolder:
    return PredictionFolder(folder / name, Workspace(folder / "workspace"))


def _finish(files: PredictionFolder) -> None:
    for each in (files.label, files.organs, files.itk_snap_labels, files.picture, files.seconds):
        each.write_text("ours")
    files.write_record(files.folder / "scan.nii.gz", "demo-89abcdef")


@pytest.mark.parametrize("ending", [".nii.gz", ".label.json", ".label.txt", ".seg.dcm", ".png", ".seconds.csv"])
def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path, ending: str) -> None:
    other = tmp_path / f"liver{ending}"
    other.write_text("somebody's")
    with pytest.raises(PredictionFolderError, match=rf"liver{ending} is there and is no prediction of ours"):
        _files(tmp_path).require_free()


def test_a_prediction_is_made_again_in_its_own_place_and_in_no_other(tmp_path: Path) -> None:
    files = _files(tmp_path)
    files.require_free()
    _finish(files)
    files.require_free()
    assert files.whole
    (tmp_path / "liver.nii").write_text("somebody's, whose files would have the same names beside it")
    with pytest.raises(PredictionFolderError, match=r"liver\.nii is there"):
        _files(tmp_path, "liver.nii").require_free()


def test_one_that_was_stopped_between_two_files_is_made_again(tmp_path: Path) -> None:
    files = _files(tmp_path)
    files.begin(tmp_path / "scan.nii.gz", "demo-89abcdef")
    files.label.write_text("the label map, and then the process was killed")
    files.require_free()
    assert not files.whole
    _finish(files)
    files.begin(tmp_path / "scan.nii.gz", "other-01234567")  # and again, over one that was whole
    assert not files.whole
    assert files.scan_and_run() == (tmp_path / "scan.nii.gz", "other-01234567")


def test_a_record_of_an_earlier_version_is_that_of_a_prediction(tmp_path: Path) -> None:
    files = _files(tmp_path)
    _finish(files)
    told = json.loads(files.record.read_text())
    files.record.write_text(json.dumps({name: value for name, value in told.items() if name != "label"}))
    files.require_free()
    assert files.whole


def test_seconds_are_written_of_a_scan_whose_name_is_in_another_encoding(tmp_path: Path) -> None:
    write_seconds(tmp_path / "seconds.csv", {"M\udcfcller": {"read": 1.0}})
    assert (tmp_path / "seconds.csv").read_text() == "case,read\nM\\udcfcller,1.0\n"
