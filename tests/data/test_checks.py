"""Every bad input: the verdict names the file, what is wrong and what to do."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from synthetic_scans import Scan, make_scan, write_nifti

from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.readers import Case

BTCV = load_description("btcv")
Change = Callable[[Path, Path, Scan], None]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    scan = make_scan()
    image = write_nifti(tmp_path / "img0001.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    label = write_nifti(tmp_path / "label0001.nii.gz", scan.label_xyz, scan.affine)
    return Case("img0001", image, label, ("train",))


def _image(array: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda image, label, scan: nib.save(nib.Nifti1Image(array(scan.image_xyz.copy()), scan.affine), image)


def _label(array: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda image, label, scan: nib.save(nib.Nifti1Image(array(scan.label_xyz.copy()), scan.affine), label)


def _affine(which: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def write(image: Path, label: Path, scan: Scan) -> None:
        path, array = (image, scan.image_xyz.astype(np.int16)) if which == "image" else (label, scan.label_xyz)
        nib.save(nib.Nifti1Image(array, change(scan.affine.copy())), path)

    return write


def _set(array: np.ndarray, count: int, value: float) -> np.ndarray:
    array.ravel()[:count] = value
    return array


def _shift(affine: np.ndarray, by: float) -> np.ndarray:
    affine[0, 3] += by
    return affine


def _truncate(image: Path, label: Path, scan: Scan) -> None:
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def _truncate_label(image: Path, label: Path, scan: Scan) -> None:
    label.write_bytes(label.read_bytes()[:60])


def _truncate_uncompressed(image: Path, label: Path, scan: Scan) -> None:
    image.write_bytes(gzip.compress(gzip.decompress(image.read_bytes())[:5000]))


def _no_nifti(image: Path, label: Path, scan: Scan) -> None:
    image.write_bytes(gzip.compress(b"<html>404 not found</html>" * 50))


def _header_field(field: str, value: object) -> Change:
    """Change a header field in the file's bytes, as no library would write it."""

    def write(image: Path, label: Path, scan: Scan) -> None:
        data = bytearray(gzip.decompress(image.read_bytes()))
        header = nib.Nifti1Header(bytes(data[:348]), check=False)
        header[field] = value
        data[:348] = header.binaryblock
        image.write_bytes(gzip.compress(bytes(data)))

    return write


def _four_frames(image: Path, label: Path, scan: Scan) -> None:
    nib.save(nib.Nifti1Image(np.stack([scan.image_xyz] * 4, -1), scan.affine), image)


REJECTED: dict[str, tuple[Change, str]] = {
    "image missing": (
        lambda image, label, scan: image.unlink(),
        r"label0001\.nii\.gz has no image: .*add it or remove",
    ),
    "label missing": (
        lambda image, label, scan: label.unlink(),
        r"img0001\.nii\.gz has no label: .*add it or remove",
    ),
    "image truncated": (_truncate, r"img0001\.nii\.gz.*(truncated|damaged).*again"),
    "label truncated": (_truncate_label, r"label0001\.nii\.gz.*(truncated|damaged).*again"),
    "voxels truncated": (_truncate_uncompressed, r"img0001\.nii\.gz is truncated.*again"),
    "not NIfTI": (_no_nifti, r"img0001\.nii\.gz is a web page.*download it again"),
    "4D": (_four_frames, r"img0001\.nii\.gz has shape 23 × 19 × 11 × 4: one 3D volume.*extract"),
    "spacing zero": (
        _header_field("pixdim", [1, 0, 2, 3, 0, 0, 0, 0]),
        r"img0001.*voxel size of 0 × 2 × 3 mm.*again",
    ),
    "spacing NaN": (
        _header_field("pixdim", [1, np.nan, 2, 3, 0, 0, 0, 0]),
        r"img0001.*voxel size of nan.*again",
    ),
    "spacing absurd": (
        _affine("image", lambda a: a * [100, 1, 1, 1]),
        r"img0001.*150 × 2 × 3 mm.*0\.1 to 20 mm",
    ),
    "affine zero": (
        _header_field("srow_x", [0, 0, 0, 0]),
        r"img0001.*(voxel size of 0|axes lie in one plane)",
    ),
    "affine flat": (_header_field("srow_y", [19.9, 2, 0, 0]), r"img0001.*axes lie in one plane"),
    "affine NaN": (_header_field("srow_z", [0, 0, np.nan, 0]), r"img0001.*affine with NaN"),
    "size absurd": (
        _header_field("dim", [3, 30000, 30000, 30000, 1, 1, 1, 1]),
        r"img0001.*claims 27,000,000,000,000",
    ),
    "other shape": (
        _label(lambda a: a[:-1]),
        r"label0001.*11 × 19 × 22.*img0001\.nii\.gz has 11 × 19 × 23.*again",
    ),
    "other affine": (
        _affine("label", lambda a: _shift(a, 1.5)),
        r"label0001.*lies elsewhere.*by up to 1\.5.*header",
    ),
    "many NaN": (_image(lambda a: _set(a, 200, np.nan)), r"img0001.*4\.2% of the voxels are NaN"),
    "constant": (_image(lambda a: np.full_like(a, -1000)), r"img0001.*constant \(-1000 everywhere\).*again"),
    "no HU, offset": (
        _image(lambda a: a + 1100),
        r"img0001.*soft tissue near 11\d\d .*rescale intercept",
    ),
    "no HU, scaled": (_image(lambda a: a / 1000), r"img0001.*not Hounsfield units"),
    "unknown id": (
        _label(lambda a: _set(a, 1, 14)),
        r"label0001.*label ids \[14\], which btcv does not have.*ignored_labels",
    ),
    "id 300": (_label(lambda a: _set(a.astype(np.int16), 1, 300)), r"label0001.*label ids \[300\]"),
    "negative id": (_label(lambda a: _set(a.astype(np.int16), 1, -1)), r"label0001.*label ids \[-1\]"),
    "not whole": (_label(lambda a: _set(a.astype(np.float32), 1, 0.5)), r"label0001.*no whole numbers"),
    "NaN label": (_label(lambda a: _set(a.astype(np.float32), 1, np.nan)), r"label0001.*no whole numbers"),
    "no organ": (_label(np.zeros_like), r"label0001.*no organ at all.*remove the case"),
    "colours": (
        lambda image, label, scan: nib.save(
            nib.Nifti1Image(np.zeros(scan.label_xyz.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]), scan.affine),
            image,
        ),
        r"img0001.*not plain numbers",
    ),
}

FIXED: dict[str, tuple[Change, str]] = {
    "4D, one frame": (_image(lambda a: a[..., None]), r"img0001.*4D with a single frame"),
    "few NaN": (_image(lambda a: _set(a, 3, np.nan)), r"img0001.*3 NaN or infinite voxels.*-125 HU"),
    "infinite": (_image(lambda a: _set(a, 2, np.inf)), r"img0001.*2 NaN or infinite"),
    "tiny shift": (_affine("label", lambda a: _shift(a, 5e-4)), r"label0001.*affine differs.*by 0\.0005"),
    "beyond any CT": (_image(lambda a: _set(a, 1, 65535)), r"img0001.*to 65535 HU, beyond any CT: clipped"),
    "label in another orientation": (
        lambda image, label, scan: write_nifti(label, scan.label_xyz, scan.affine, "LPI") and None,
        r"label0001.*stored LPI, its image RAS: reordered",
    ),
}


def test_good_case_is_ok(case: Case) -> None:
    verdict = load_checked(case, BTCV).verdict
    assert (verdict.case_id, verdict.status, verdict.reasons) == ("img0001", "ok", ())


@pytest.mark.parametrize("problem", REJECTED)
def test_rejected(case: Case, problem: str) -> None:
    change, message = REJECTED[problem]
    assert case.label is not None
    change(case.image, case.label, make_scan())
    checked = load_checked(case, BTCV)
    assert checked.verdict.status == "rejected"
    assert re.search(message, " ".join(checked.verdict.reasons)), checked.verdict.reasons
    assert checked.scan is None and checked.label_DHW is None


@pytest.mark.parametrize("problem", FIXED)
def test_fixed(case: Case, problem: str) -> None:
    change, message = FIXED[problem]
    assert case.label is not None
    change(case.image, case.label, make_scan())
    checked = load_checked(case, BTCV)
    assert checked.verdict.status == "fixed", checked.verdict
    assert re.search(message, " ".join(checked.verdict.reasons)), checked.verdict.reasons
    assert checked.scan is not None and np.isfinite(checked.scan.volume.array_DHW).all()
    assert checked.label_DHW is not None
    np.testing.assert_array_equal(checked.label_DHW, make_scan().label_xyz.transpose(2, 1, 0))


def test_affine_noise_is_not_worth_a_word(case: Case) -> None:
    assert case.label is not None
    _affine("label", lambda a: _shift(a, 3e-6))(case.image, case.label, make_scan())
    assert load_checked(case, BTCV).verdict.status == "ok"


def test_whole_numbers_stored_as_float_are_ids(case: Case) -> None:
    assert case.label is not None
    _label(lambda a: a.astype(np.float64))(case.image, case.label, make_scan())
    checked = load_checked(case, BTCV)
    assert checked.verdict.status == "ok"
    assert checked.label_DHW is not None and checked.label_DHW.dtype == np.uint8


def test_ignored_ids_become_background(case: Case) -> None:
    fields = BTCV.model_dump(mode="json") | {"ignored_labels": {14: "bone"}}
    assert case.label is not None
    _label(lambda a: _set(a, 5, 14))(case.image, case.label, make_scan())
    checked = load_checked(case, DatasetDescription.model_validate(fields))
    assert checked.verdict.status == "ok"
    assert checked.label_DHW is not None and checked.label_DHW.max() == 13


def test_only_test_cases_may_have_no_label(case: Case) -> None:
    verdict = load_checked(Case("img0001", case.image, None, ("train",)), BTCV).verdict
    assert verdict.status == "rejected" and "no label, which training" in verdict.reasons[0]
    checked = load_checked(Case("img0001", case.image, None, ("test",)), BTCV)
    assert checked.verdict.status == "ok" and checked.label_DHW is None


def test_other_file_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.dcm"
    path.write_bytes(b"DICM")
    verdict = load_checked(Case("scan", path, None, ("test",)), BTCV).verdict
    assert "is not named .nii or .nii.gz: convert" in verdict.reasons[0]
