"""jobs/predict.py on DICOM, in a process of its own: which series, straightened or not, and what is left on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_factory import SECRETS, ct, ct_slices, magnetic_resonance, tilted, write_series, write_zip
from patience import HANG_S
from small_models import write_model

from autosam_platform.data.description import load_description
from autosam_platform.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
RUN = "small-01234567"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a run whose model has random weights."""
    folder = tmp_path_factory.mktemp("workspace")
    write_model(folder / "runs" / RUN / "model", load_description("btcv"), (2.0, 2.0, 3.0))
    (folder / "runs" / RUN / "evaluation").mkdir()
    (folder / "runs" / RUN / "evaluation" / "summary.json").write_text('{"mean_dice": 0.625}')
    return folder


def _predict(workspace: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "jobs" / "predict.py"), "--run", RUN, "--device", "cpu", "--json"]
    environment = os.environ | {"AUTOSAM_WORKSPACE": str(workspace)}
    command += [str(each) for each in words]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False
    )


def _label(done: subprocess.CompletedProcess[str]) -> Path:
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout.splitlines()[-1])["place"])


def _readable(folder: Path) -> bytes:
    """All that was written there, but for the label map that a PACS files under the patient's name."""
    files = (each for each in folder.rglob("*") if each.is_file() and not each.name.endswith(".seg.dcm"))
    return b"".join(each.name.encode() + each.read_bytes() for each in files)


def test_two_series_of_a_study_have_a_prediction_each(workspace: Path, tmp_path: Path) -> None:
    long, short = ct_slices(), ct_slices(ct(1), number=3)[:6]
    for name, slices in {"long": long, "short": short, "mr": magnetic_resonance()}.items():
        write_series(tmp_path / "study", slices, prefix=name)
    study = write_zip(tmp_path / "study.zip", tmp_path / "study")
    first = _predict(workspace, "--input", study)
    second = _predict(workspace, "--input", study, "--series", short[0].SeriesInstanceUID, "--dicom-seg", "binary")
    places = [_label(done) for done in (first, second)]
    assert places[0].parent != places[1].parent and all(each.name == "study.nii.gz" for each in places)
    assert [nib.load(each).shape for each in places] == [(37, 34, 9), (37, 34, 6)]
    np.testing.assert_allclose(nib.load(places[0]).affine, np.diag([-1.0, -1.0, 1, 1]) @ _lps_affine(), atol=1e-4)
    others = first.stdout.partition("there is also ")[2].splitlines()[0]  # in the order of UIDs, which are random
    assert f"{short[0].SeriesInstanceUID} (CT, 6 slices)" in others and "MR image)" in others
    segs = [pydicom.dcmread(each.with_name("study.seg.dcm")) for each in places]
    assert [each.SegmentationType for each in segs] == ["LABELMAP", "BINARY"]
    for seg, slices in zip(segs, (long, short), strict=True):
        assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == slices[0].SeriesInstanceUID
        assert seg.PatientID == slices[0].PatientID and seg.StudyInstanceUID == slices[0].StudyInstanceUID
    said = (first.stdout + first.stderr + second.stdout + second.stderr).encode()
    assert not [secret for secret in SECRETS if secret.encode() in said + _readable(workspace)]


def _lps_affine() -> np.ndarray:
    """The factory's axial series: columns to the left, rows to the back, slices to the head."""
    affine = np.diag([1.5, 2.0, 3.0, 1.0])
    affine[:3, 3] = -(-20 + 36 * 1.5), -(35.5 + 33 * 2.0), -101.25
    return affine


def test_a_tilted_series_is_refused_and_straightened_on_request(workspace: Path, tmp_path: Path) -> None:
    study = write_series(tmp_path / "tilted", tilted(ct_slices(), 15))
    refused = _predict(workspace, "--input", study)
    assert refused.returncode != 0 and "tilted by 15.0°" in refused.stderr and "--straighten" in refused.stderr
    assert "Traceback" not in refused.stderr and not list(workspace.rglob("tilted*.nii.gz"))
    done = _predict(workspace, "--input", study, "--straighten")
    place = _label(done)
    assert "The scan was resampled to an even grid" in done.stdout
    assert nib.load(place).shape == (37, 38, 9)  # wider, as the slices together are
    found = Workspace(workspace).prediction(place.parent.name)
    assert found is not None and found.reading["straighten"]
    assert pydicom.dcmread(found.dicom_seg).NumberOfFrames <= 9


def test_what_no_dicom_seg_can_refer_to_is_said_before_the_work(workspace: Path, tmp_path: Path) -> None:
    slices = ct_slices()
    for each in slices:
        del each.FrameOfReferenceUID
    series = write_series(tmp_path / "bare", slices)
    done = _predict(workspace, "--input", series, "--output", tmp_path / "label.nii.gz")
    assert done.returncode == 3, done.stderr
    assert "No DICOM SEG can be written, only the NIfTI" in done.stderr and "no FrameOfReferenceUID" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["place"] == str(tmp_path / "label.nii.gz")
    assert nib.load(tmp_path / "label.nii.gz").shape == (37, 34, 9)
    without = _predict(workspace, "--input", series, "--output", tmp_path / "other.nii.gz", "--dicom-seg", "none")
    assert without.returncode == 0 and "DICOM SEG" not in without.stderr + without.stdout
    assert not list(tmp_path.glob("*.seg.dcm"))


def test_a_series_for_nifti_is_refused(workspace: Path, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(ct().image_xyz, ct().affine), tmp_path / "ct.nii.gz")
    done = _predict(workspace, "--input", tmp_path / "ct.nii.gz", "--series", "1.2.3")
    assert done.returncode != 0 and "ct.nii.gz is no DICOM, which alone has series" in done.stderr
