"""What is found out before the work: whether a label map can be written, on the scan's own grid, without harm."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_cards import organs, small_card
from synthetic_scans import make_scan

from autosam_inference import Prediction, UserError, read_scan, require_writable, write_nifti

CARD = small_card(organs(13))


def labels_of(source: Path, target: Path) -> nib.Nifti1Image:
    """The voxels above 0 HU, written on the scan's grid."""
    scan = read_scan(source)
    require_writable(scan, target)
    write_nifti(Prediction(scan, (scan.volume.array_DHW > 0).astype(np.uint8), CARD, {}), target)
    return nib.load(target)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    scan = make_scan()
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(scan.image_xyz.astype(np.int16), scan.affine), path)
    return path


def test_a_nifti_2_scan_gets_a_nifti_2_label_map(tmp_path: Path) -> None:
    scan = make_scan()
    second = nib.Nifti2Image(scan.image_xyz.astype(np.int16), scan.affine)
    second.header["descrip"] = b"a patient's name"
    nib.save(second, tmp_path / "second.nii.gz")
    written = labels_of(tmp_path / "second.nii.gz", tmp_path / "labels.nii.gz")
    assert isinstance(written, nib.Nifti2Image) and written.header["descrip"].item() == b""
    np.testing.assert_array_equal(written.affine, scan.affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), scan.image_xyz > 0)


@pytest.mark.parametrize(("code", "factor"), [(3, 1000.0), (1, 0.001)], ids=["micron", "metre"])
def test_a_label_map_keeps_the_unit_of_its_scan(tmp_path: Path, code: int, factor: float) -> None:
    scan = make_scan()
    affine = np.diag([factor, factor, factor, 1]) @ scan.affine
    image = nib.Nifti1Image(scan.image_xyz.astype(np.int16), affine)
    image.header["xyzt_units"] = code
    nib.save(image, tmp_path / "scan.nii.gz")
    assert read_scan(tmp_path / "scan.nii.gz").grid.voxel_ml == pytest.approx(0.009)
    written = labels_of(tmp_path / "scan.nii.gz", tmp_path / "labels.nii.gz")
    assert written.header["xyzt_units"] == code
    np.testing.assert_allclose(written.affine, affine, rtol=1e-6)


@pytest.mark.parametrize("how", ["itself", "a link to it", "its other name"])
def test_a_label_map_never_replaces_its_scan(source: Path, tmp_path: Path, how: str) -> None:
    before, target = source.read_bytes(), source
    if how != "itself":
        target = tmp_path / "other.nii.gz"
        (os.symlink if how == "a link to it" else os.link)(source, target)
    with pytest.raises(UserError, match="is the scan itself, which its label map would replace"):
        labels_of(source, target)
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("labels.png", r"labels\.png must end in \.nii\.gz or \.nii"),
        ("folder.nii.gz", r"folder\.nii\.gz is a folder: name the file"),
        ("scan.nii.gz/labels.nii.gz", r"labels\.nii\.gz cannot be written \(.*\): name another place"),
        (f"{'x' * 260}.nii.gz", r"cannot be written \(File name too long\): name another place"),
    ],
    ids=["no NIfTI", "a folder", "below a file", "too long"],
)
def test_a_place_that_will_not_do_is_refused(source: Path, tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "folder.nii.gz").mkdir()
    with pytest.raises(UserError, match=message):
        require_writable(read_scan(source), tmp_path / place)


def test_a_long_name_is_written_all_the_same(source: Path, tmp_path: Path) -> None:
    target = tmp_path / f"{'x' * 230}.nii.gz"
    assert labels_of(source, target).shape == (23, 19, 11)
