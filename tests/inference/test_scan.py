"""Orientation there and back: every file reads as the same volume, and goes back to its own axes."""

import itertools
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from synthetic_scans import SHAPE_XYZ, make_scan, reoriented, write_nifti

from autosam_inference.scans.grid import Grid, Volume, to_grid
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan, read_scan

ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*order)
]  # all 48  # all 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_reads_as_the_same_volume_and_goes_back(tmp_path: Path, codes: str) -> None:
    scan = make_scan()
    path = write_nifti(tmp_path / "label.nii.gz", scan.label_xyz, scan.affine, codes)
    read = read_scan(path)
    volume, grid = read.volume, read.grid
    assert read.source == path
    stored = np.asarray(nib.load(path).dataobj)
    assert grid.orientation == codes
    assert volume.spacing_DHW == (3.0, 2.0, 1.5)
    assert grid.shape_DHW == volume.array_DHW.shape == SHAPE_XYZ[::-1]
    np.testing.assert_array_equal(volume.array_DHW, scan.label_xyz.transpose(2, 1, 0))
    np.testing.assert_allclose(grid.canonical_affine, scan.affine, atol=1e-5)
    np.testing.assert_array_equal(to_grid(volume.array_DHW, grid), stored)


def test_axes_point_up_forward_and_right(tmp_path: Path) -> None:
    """One marked voxel at a known place in the patient: 2 voxels up, 1 forward, 3 to the right."""
    array = np.zeros((5, 4, 6), np.int16)
    array[3, 1, 2] = 7
    read = read_scan(write_nifti(tmp_path / "one.nii.gz", array, np.eye(4), "PIL"))
    assert np.argwhere(read.volume.array_DHW == 7).tolist() == [[2, 1, 3]]


def test_integers_stay_and_scaled_values_become_float32(tmp_path: Path) -> None:
    scan = make_scan()
    whole = read_scan(write_nifti(tmp_path / "a.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)).volume
    assert whole.array_DHW.dtype == np.int16
    image = nib.Nifti1Image(scan.image_xyz, scan.affine, dtype=np.int16)
    image.header.set_slope_inter(0.5, -1024)
    nib.save(image, tmp_path / "b.nii.gz")
    real = read_scan(tmp_path / "b.nii.gz").volume
    assert real.array_DHW.dtype == np.float32
    np.testing.assert_array_equal(real.array_DHW, 0.5 * scan.image_xyz.transpose(2, 1, 0) - 1024)


def test_a_single_frame_of_a_4d_file_is_3d(tmp_path: Path) -> None:
    scan = make_scan()
    nib.save(nib.Nifti1Image(scan.image_xyz[..., None], scan.affine), tmp_path / "4d.nii.gz")
    assert read_scan(tmp_path / "4d.nii.gz").volume.array_DHW.shape == SHAPE_XYZ[::-1]


def test_wrong_shape_does_not_go_onto_a_grid() -> None:
    grid = Grid((5, 4, 3), np.diag([-1.0, 1, 1, 1]))
    with pytest.raises(ValueError, match=r"\(2, 4, 5\) \(D, H, W\).*LAS.*\(5, 4, 3\)"):
        to_grid(np.zeros((2, 4, 5), np.uint8), grid)


def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path) -> None:
    scan = make_scan()
    path = write_nifti(tmp_path / "scan.nii.gz", scan.image_xyz, scan.affine)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ScanError, match=r"scan\.nii\.gz is truncated or damaged .*: copy or download it again"):
        read_scan(path)
    with pytest.raises(ScanError, match=r"none\.nii\.gz does not exist"):
        read_scan(str(tmp_path / "none.nii.gz"))


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_a_scan_is_in_memory_whatever_becomes_of_its_file(tmp_path: Path, kind: type) -> None:
    """Stored RAS and uncompressed, a file holds the volume as it is used, so that it could do without a copy."""
    scan = make_scan()
    path = write_nifti(tmp_path / "scan.nii", scan.image_xyz, scan.affine, dtype=kind)
    read = read_scan(path)
    with path.open("r+b") as file:  # in place, as some exports write a name again
        file.seek(352)
        file.write((scan.image_xyz + 500).astype(kind).tobytes("F"))
    np.testing.assert_array_equal(read.volume.array_DHW, scan.image_xyz.transpose(2, 1, 0))
    os.truncate(path, 352)
    np.testing.assert_array_equal(read.volume.array_DHW, scan.image_xyz.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("codes", "used", "other"),
    [
        ("RAS", "1.5 × 2 × 3", "1.5 × 2 × 3.06"),
        ("PIR", "2 × 3 × 1.5", "2 × 3 × 1.53"),
        ("SAL", "3 × 2 × 1.5", "3 × 2 × 1.53"),
    ],
)
def test_two_voxel_sizes_of_a_header_are_told_along_the_axes_as_stored(
    tmp_path: Path, codes: str, used: str, other: str
) -> None:
    scan = make_scan()
    image = reoriented(scan.image_xyz.astype(np.int16), scan.affine, codes)
    last = float(image.header["pixdim"][3])
    notes = []
    for share in (1, 1.005, 1.02):
        image.header["pixdim"][3] = share * last
        nib.save(image, tmp_path / "scan.nii")
        read = read_scan(tmp_path / "scan.nii")
        assert read.volume.spacing_DHW == (3.0, 2.0, 1.5)
        notes.append(read.notes)
    *same, (note,) = notes
    assert same == [(), ()]
    assert f"WARNING: its header has two voxel sizes, {used} mm by its sform and {other} mm by its pixdim" in note


def test_a_volume_from_memory_has_a_canonical_grid() -> None:
    scan = Scan.of(Volume(np.zeros((4, 3, 2)), (5.0, 1.0, 0.5)))
    assert scan.grid.orientation == "RAS" and scan.source is None
    assert scan.grid.shape_DHW == (4, 3, 2) and scan.grid.spacing_DHW == (5.0, 1.0, 0.5)
    assert scan.grid.voxel_ml == pytest.approx(0.0025)


def test_the_volume_of_a_voxel_is_that_of_its_sheared_box() -> None:
    affine = np.diag([2.0, 3.0, 5.0, 1.0])
    affine[0, 1] = 1.5  # the second axis is longer than 3 mm, the box as large
    assert Grid((4, 4, 4), affine).voxel_ml == pytest.approx(0.03)


@pytest.mark.parametrize("suffix", [".NII.GZ", ".Nii", ".nii.GZ", ".NII", ".nii.Gz"])
def test_a_suffix_in_letters_of_any_case_is_read(tmp_path: Path, suffix: str) -> None:
    scan = make_scan()
    path = write_nifti(tmp_path / f"scan{suffix.lower()}", scan.image_xyz, scan.affine, dtype=np.int16)
    path = path.rename(tmp_path / f"scan{suffix}")
    np.testing.assert_array_equal(read_scan(path).volume.array_DHW, scan.image_xyz.transpose(2, 1, 0))
