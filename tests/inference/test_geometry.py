"""Orientation there and back, and label files that lie where their scan lies."""

import itertools
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from synthetic_scans import ORIGIN_XYZ, SHAPE_XYZ, make_scan, reoriented, write_nifti

from autosam_inference.scans.colours import organ_colour
from autosam_inference.scans.grid import Grid, read_scan, to_grid
from autosam_inference.scans.label_files import save_label
from autosam_platform.data.description import load_description

CLASSES = load_description("btcv").classes
ORIENTATIONS = [
    "".join(codes) for order in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*order)
]  # all 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_reads_as_the_same_volume_and_goes_back(tmp_path: Path, codes: str) -> None:
    scan = make_scan()
    path = write_nifti(tmp_path / "label.nii.gz", scan.label_xyz, scan.affine, codes)
    volume, grid = read_scan(path)
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
    volume, _ = read_scan(write_nifti(tmp_path / "one.nii.gz", array, np.eye(4), "PIL"))
    assert np.argwhere(volume.array_DHW == 7).tolist() == [[2, 1, 3]]


def test_integers_stay_and_scaled_values_become_float32(tmp_path: Path) -> None:
    scan = make_scan()
    whole, _ = read_scan(write_nifti(tmp_path / "a.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16))
    assert whole.array_DHW.dtype == np.int16
    image = nib.Nifti1Image(scan.image_xyz, scan.affine, dtype=np.int16)
    image.header.set_slope_inter(0.5, -1024)
    nib.save(image, tmp_path / "b.nii.gz")
    real, _ = read_scan(tmp_path / "b.nii.gz")
    assert real.array_DHW.dtype == np.float32
    np.testing.assert_array_equal(real.array_DHW, 0.5 * scan.image_xyz.transpose(2, 1, 0) - 1024)


def test_a_single_frame_of_a_4d_file_is_3d(tmp_path: Path) -> None:
    scan = make_scan()
    nib.save(nib.Nifti1Image(scan.image_xyz[..., None], scan.affine), tmp_path / "4d.nii.gz")
    volume, grid = read_scan(tmp_path / "4d.nii.gz")
    assert volume.array_DHW.shape == SHAPE_XYZ[::-1]
    save_label(tmp_path / "out.nii.gz", to_grid(volume.array_DHW > 0, grid), grid, CLASSES)
    assert nib.load(tmp_path / "out.nii.gz").shape == SHAPE_XYZ


def test_wrong_shape_does_not_go_onto_a_grid() -> None:
    grid = Grid((5, 4, 3), np.diag([-1.0, 1, 1, 1]))
    with pytest.raises(ValueError, match=r"\(2, 4, 5\) \(D, H, W\).*LAS.*\(5, 4, 3\)"):
        to_grid(np.zeros((2, 4, 5), np.uint8), grid)


@pytest.mark.parametrize(("sform", "qform"), [(2, 0), (0, 1), (1, 1), (4, 2), (0, 0)])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAL"])
def test_saved_label_has_its_scans_grid_and_codes(tmp_path: Path, codes: str, sform: int, qform: int) -> None:
    scan = make_scan()
    source = reoriented(scan.image_xyz.astype(np.int16), scan.affine, codes)
    source.set_sform(source.affine, sform)
    source.set_qform(source.affine, qform)
    source.header["cal_max"] = 400
    source.header["db_name"] = b"a patient"
    source.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"born in 1950"))
    nib.save(source, tmp_path / "scan.nii.gz")
    source = nib.load(tmp_path / "scan.nii.gz")
    volume, grid = read_scan(tmp_path / "scan.nii.gz")
    label_DHW = np.clip(volume.array_DHW, 0, 13).astype(np.uint8)
    save_label(tmp_path / "label.nii.gz", to_grid(label_DHW, grid), grid, CLASSES)
    saved = nib.load(tmp_path / "label.nii.gz")
    assert saved.shape == source.shape
    assert saved.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(saved.affine, source.affine)
    for field in ("sform_code", "qform_code", "pixdim", "srow_x", "quatern_b", "qoffset_x", "xyzt_units"):
        np.testing.assert_array_equal(saved.header[field], source.header[field], err_msg=field)
    assert saved.header["cal_max"] == 0
    assert saved.header["db_name"] == b""
    assert len(saved.header.extensions) == 0
    np.testing.assert_array_equal(np.asarray(saved.dataobj), np.clip(np.asarray(source.dataobj), 0, 13))


def test_names_and_colours_lie_beside_the_label(tmp_path: Path) -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    save_label(tmp_path / "case.nii.gz", np.ones((2, 2, 2), np.uint8), grid, CLASSES)
    red, green, blue = organ_colour("spleen")
    lines = (tmp_path / "case.label.txt").read_text().splitlines()
    assert lines[2].split() == ["0", "0", "0", "0", "0", "0", "0", '"Clear', 'Label"']
    assert lines[3].split() == ["1", str(red), str(green), str(blue), "1", "1", "1", '"spleen"']
    assert len(lines) == 3 + len(CLASSES)
    names = json.loads((tmp_path / "case.label.json").read_text())
    assert names["6"] == {"name": "liver", "colour": list(organ_colour("liver"))}


def test_label_without_a_header_gets_the_grids_affine(tmp_path: Path) -> None:
    affine = np.diag([-1.5, 2, 3, 1])
    affine[:3, 3] = ORIGIN_XYZ
    save_label(tmp_path / "case.nii", np.ones((2, 3, 4), np.uint8), Grid((2, 3, 4), affine), CLASSES)
    np.testing.assert_allclose(nib.load(tmp_path / "case.nii").affine, affine)


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        ("a.png", np.ones((2, 2, 2), np.uint8), "must end in .nii.gz"),
        ("a.nii.gz", np.ones((2, 2, 3), np.uint8), r"\(2, 2, 3\) on a grid of \(2, 2, 2\)"),
        ("a.nii.gz", np.full((2, 2, 2), 300), "300 do not fit uint8"),
    ],
)
def test_wrong_label_is_not_written(tmp_path: Path, name: str, label: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save_label(tmp_path / name, label, Grid((2, 2, 2), np.eye(4)), CLASSES)
    assert list(tmp_path.iterdir()) == []


def test_real_ct_left_stays_left(real_ct: Path, tmp_path: Path) -> None:
    """The liver lies to the right of the spleen, in the volume and in what is written from it, in any
    orientation.
    """
    source = nib.load(real_ct / "labels-btcv.nii.gz")
    for codes in ("RAS", "LPS", "LAI"):
        path = write_nifti(tmp_path / f"{codes}.nii.gz", np.asarray(source.dataobj), source.affine, codes)
        volume, grid = read_scan(path)
        spleen, liver = (np.argwhere(volume.array_DHW == value)[:, 2].mean() for value in (1, 6))
        assert liver > spleen + 10
        save_label(tmp_path / f"out-{codes}.nii.gz", to_grid(volume.array_DHW, grid), grid, CLASSES)
        saved = nib.load(tmp_path / f"out-{codes}.nii.gz")
        where = {v: saved.affine @ [*np.argwhere(np.asarray(saved.dataobj) == v).mean(0), 1] for v in (1, 6)}
        assert where[6][0] > where[1][0] + 30, "mm towards the patient's right"
