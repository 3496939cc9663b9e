"""A dataset of DICOM series all the way: prepared, found again, evaluated on the series' own grids."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_factory import SECRETS, ct, ct_slices, set_pixels, write_series
from small_cards import small_card
from small_models import write_model
from synthetic_scans import write_nifti

from autosam_inference import read_scan, write_dicom_seg
from autosam_inference.prediction import Prediction
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.preparation import Preparation, prepare
from autosam_platform.data.readers import find_cases
from autosam_platform.evaluation.evaluate import evaluate_cases
from autosam_platform.workspace import Workspace

pytestmark = pytest.mark.usefixtures("ray_local")

BTCV = load_description("btcv")
EVERY_CASE = {"rule": "every_case", "splits": ["train", "test"]}
DICOM = DatasetDescription.model_validate(BTCV.model_dump(mode="json") | {"layout": "dicom", "split": EVERY_CASE})
SETTINGS = Preparation(spacing_xyz=(2.0, 2.0, 2.0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A case with NIfTI as its label, stored head first, and a sagittal one with DICOM SEG."""
    first, second = tmp_path / "raw" / "first", tmp_path / "raw" / "second"
    write_series(first, ct_slices(ct(1), "LPI"), shuffle=True)
    write_nifti(first / "segmentation.nii.gz", ct(1).label_xyz, ct(1).affine, "LPI")
    scan = read_scan(write_series(second, ct_slices(ct(2), "PIR")))
    label_DHW = ct(2).label_xyz.transpose(2, 1, 0)
    write_dicom_seg(Prediction(scan, label_DHW, small_card(BTCV.classes), {}), second / "segmentation.dcm")
    return tmp_path / "raw"


def test_prepared_from_dicom_is_prepared_from_nifti(root: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        write_nifti(tmp_path / "nifti" / "imagesTr" / f"img{seed}.nii.gz", ct(seed).image_xyz, ct(seed).affine)
        write_nifti(tmp_path / "nifti" / "labelsTr" / f"label{seed}.nii.gz", ct(seed).label_xyz, ct(seed).affine)
    other = prepare(BTCV, tmp_path / "nifti", SETTINGS, Workspace(tmp_path / "a")).cases("all")
    prepared = prepare(DICOM, root, SETTINGS, Workspace(tmp_path / "b"))
    cases = prepared.cases("train")
    assert [each.case_id for each in cases] == ["first", "second"]
    for one, same in zip(cases, other, strict=True):
        assert one.image().equal(same.image()) and one.label().equal(same.label())
    written = b"".join(path.read_bytes() for path in (tmp_path / "b").rglob("*.json"))
    assert not [secret for secret in SECRETS if secret.encode() in written]


def test_a_changed_slice_prepares_its_case_anew_and_nothing_else(root: Path, tmp_path: Path) -> None:
    def files() -> dict[str, int]:
        prepared = prepare(DICOM, root, SETTINGS, Workspace(tmp_path))
        stored = (prepared.folder / "cases").rglob("*.b2nd")
        return {f"{path.parent.name}/{path.name}": path.stat().st_mtime_ns for path in stored}

    before = files()
    assert files() == before
    slices = ct_slices(ct(1), "LPI")
    set_pixels(slices[4], np.full((34, 37), 55.0))
    write_series(root / "first", slices)
    after = files()
    new = {name.partition("/")[2] for name in after if after[name] != before.get(name)}
    assert new == {"first.b2nd", "first.label.b2nd"}


def test_a_model_is_evaluated_on_the_series_own_grids(root: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "run" / "model", DICOM, (2.0, 2.0, 3.0))
    summary = evaluate_cases(model, find_cases(DICOM, root), DICOM)
    assert summary.n_cases == 2
    folder = tmp_path / "run" / "evaluation"
    for name, codes, shape in (("first", "LPS", (37, 34, 9)), ("second", "PIR", (34, 9, 37))):
        label = nib.load(folder / "predictions" / f"{name}.nii.gz")
        assert label.shape == shape
        assert "".join(nib.aff2axcodes(label.affine)) in (
            codes,
            codes.replace("I", "S", 1) if name == "first" else codes,
        )
    truth = np.asarray(nib.load(folder / "truths" / "second.nii.gz").dataobj)
    assert np.bincount(truth.ravel()).tolist() == np.bincount(ct(2).label_xyz.ravel()).tolist()
