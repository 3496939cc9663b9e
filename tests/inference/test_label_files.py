"""Label files that lie where their scan lies, with names and colours beside them."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_cards import small_card
from synthetic_scans import ORIGIN_XYZ, SHAPE_XYZ, make_scan, reoriented
from synthetic_scans import write_nifti as write_scan

from autosam_inference.errors import UserError
from autosam_inference.prediction import Prediction
from autosam_inference.scans.colours import organ_colour
from autosam_inference.scans.grid import Grid, Volume
from autosam_inference.scans.label_files import write_nifti
from autosam_inference.scans.scan import Scan, read_scan
from autosam_platform.data.description import load_description

CARD = small_card(load_description("btcv").classes)


def labelled(scan: Scan, label_DHW: np.ndarray) -> Prediction:
    return Prediction(scan, label_DHW, CARD, {})


def on_grid(label_DHW: np.ndarray, grid: Grid) -> Prediction:
    return labelled(Scan(Volume(label_DHW, grid.spacing_DHW), grid), label_DHW)


@pytest.mark.parametrize(("sform", "qform"), [(2, 0), (0, 1), (1, 1), (4, 2)])
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
    read = read_scan(tmp_path / "scan.nii.gz")
    label_DHW = np.clip(read.volume.array_DHW, 0, 13).astype(np.uint8)
    write_nifti(labelled(read, label_DHW), tmp_path / "label.nii.gz")
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


@pytest.mark.parametrize("name", ["case.Nii", "case.NII.GZ", "case.nii.Gz"])
def test_a_label_is_written_under_the_name_that_was_asked_for(tmp_path: Path, name: str) -> None:
    label_DHW = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    write_nifti(on_grid(label_DHW, Grid((2, 2, 2), np.eye(4))), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "case.label.json", "case.label.txt"])
    np.testing.assert_array_equal(read_scan(tmp_path / name).volume.array_DHW, label_DHW)


def test_names_and_colours_lie_beside_the_label(tmp_path: Path) -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    write_nifti(on_grid(np.ones((2, 2, 2), np.uint8), grid), tmp_path / "case.nii.gz")
    red, green, blue = organ_colour("spleen")
    lines = (tmp_path / "case.label.txt").read_text().splitlines()
    assert lines[2].split() == ["0", "0", "0", "0", "0", "0", "0", '"Clear', 'Label"']
    assert lines[3].split() == ["1", str(red), str(green), str(blue), "1", "1", "1", '"spleen"']
    assert len(lines) == 3 + len(CARD.classes)
    names = json.loads((tmp_path / "case.label.json").read_text())
    assert names["6"] == {"name": "liver", "colour": list(organ_colour("liver"))}


def test_label_without_a_header_gets_the_grids_affine(tmp_path: Path) -> None:
    affine = np.diag([-1.5, 2, 3, 1])
    affine[:3, 3] = ORIGIN_XYZ
    write_nifti(on_grid(np.ones((4, 3, 2), np.uint8), Grid((2, 3, 4), affine)), tmp_path / "case.nii")
    np.testing.assert_allclose(nib.load(tmp_path / "case.nii").affine, affine)


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        ("a.png", np.ones((2, 2, 2), np.uint8), "must end in .nii.gz"),
        ("a.nii.gz", np.ones((3, 2, 2), np.uint8), r"\(3, 2, 2\).* the scan's grid is \(2, 2, 2\)"),
        ("a.nii.gz", np.full((2, 2, 2), 300), "300 do not fit uint8"),
    ],
)
def test_wrong_label_is_not_written(tmp_path: Path, name: str, label: np.ndarray, message: str) -> None:
    with pytest.raises((ValueError, UserError), match=message):
        write_nifti(on_grid(label, Grid((2, 2, 2), np.eye(4))), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_real_ct_left_stays_left(real_ct: Path, tmp_path: Path) -> None:
    """The liver lies to the right of the spleen, in the volume and in what is written from it, in any
    orientation.
    """
    source = nib.load(real_ct / "labels-btcv.nii.gz")
    for codes in ("RAS", "LPS", "LAI"):
        path = write_scan(tmp_path / f"{codes}.nii.gz", np.asarray(source.dataobj), source.affine, codes)
        read = read_scan(path)
        spleen, liver = (np.argwhere(read.volume.array_DHW == value)[:, 2].mean() for value in (1, 6))
        assert liver > spleen + 10
        write_nifti(labelled(read, read.volume.array_DHW), tmp_path / f"out-{codes}.nii.gz")
        saved = nib.load(tmp_path / f"out-{codes}.nii.gz")
        where = {v: saved.affine @ [*np.argwhere(np.asarray(saved.dataobj) == v).mean(0), 1] for v in (1, 6)}
        assert where[6][0] > where[1][0] + 30, "mm towards the patient's right"


def test_a_frame_of_a_4d_scan_is_labelled_in_3d(tmp_path: Path) -> None:
    scan = make_scan()
    nib.save(nib.Nifti1Image(scan.image_xyz[..., None], scan.affine), tmp_path / "4d.nii.gz")
    read = read_scan(tmp_path / "4d.nii.gz")
    write_nifti(labelled(read, (read.volume.array_DHW > 0).astype(np.uint8)), tmp_path / "out.nii.gz")
    assert nib.load(tmp_path / "out.nii.gz").shape == SHAPE_XYZ
