"""Inputs that people really have, a row each: what a case with it comes to, and a piece of what is said.

The numbers are those of a list of 42 that was collected from the issue trackers of nnU-Net, MONAI, TotalSegmentator,
MedSAM, nibabel, dicom2nifti and others. What it has of whole datasets and of DICOM is held by other tests: 4 and 5
(our own store), 32 and 42 (one scan twice) in test_preparation.py; 27, 30 and 31 in test_labels.py; 33, 40 and 41 in
test_readers.py; 34 and 38 in tests/inference/test_dicom.py.
"""

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from synthetic_scans import Scan, make_scan, write_nifti

from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import load_description
from autosam_platform.data.readers import Case

BTCV = load_description("btcv")
Change = Callable[[Path, Path, Scan], None]
SHAPE_XYZ = (40, 36, 30)


def image_of(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda image, label, scan: nib.save(nib.Nifti1Image(change(scan.image_xyz.copy()), scan.affine), image)


def label_of(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda image, label, scan: nib.save(nib.Nifti1Image(change(scan.label_xyz.copy()), scan.affine), label)


def bytes_of(change: Callable[[bytes], bytes]) -> Change:
    return lambda image, label, scan: image.write_bytes(change(image.read_bytes()))  # type: ignore[func-returns-value]


def headers(**fields: object) -> Change:
    """The image and its label with other fields in their headers, as no library would write them."""

    def write(image: Path, label: Path, scan: Scan) -> None:
        for path in (image, label):
            data = bytearray(gzip.decompress(path.read_bytes()))
            header = nib.Nifti1Header(bytes(data[:348]), check=False)
            for name, value in fields.items():
                header[name] = value
            data[:348] = header.binaryblock
            path.write_bytes(gzip.compress(bytes(data)))

    return write


def affines(which: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def write(image: Path, label: Path, scan: Scan) -> None:
        for name, path, array in (("image", image, scan.image_xyz.astype(np.int16)), ("label", label, scan.label_xyz)):
            if name in which:
                nib.save(nib.Nifti1Image(array, change(scan.affine.copy())), path)

    return write


def turned(degrees: float) -> Callable[[np.ndarray], np.ndarray]:
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return lambda affine: turn @ affine


def moved(by: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda affine: nib.affines.from_matvec(affine[:3, :3], affine[:3, 3] + by)


def sheared(degrees: float) -> Callable[[np.ndarray], np.ndarray]:
    """The slices slide along the patient's front to back as they rise: a gantry tilt."""

    def change(affine: np.ndarray) -> np.ndarray:
        affine[1, 2] = affine[2, 2] * np.tan(np.deg2rad(degrees))
        return affine

    return change


def damaged(data: bytes, place: float) -> bytes:
    """A few bytes in the compressed stream are others."""
    at = int(len(data) * place)
    return data[:at] + bytes(each ^ 0xA5 for each in data[at : at + 4]) + data[at + 4 :]


def other_checksum(data: bytes) -> bytes:
    checksum, length = struct.unpack("<II", data[-8:])
    return data[:-8] + struct.pack("<II", checksum ^ 1, length)


def eight_bits(array: np.ndarray) -> np.ndarray:
    return np.rint((np.clip(array, -160, 240) + 160) / 400 * 255).astype(np.uint8)


def with_padding(array: np.ndarray, value: float) -> np.ndarray:
    """What the scanner did not see: the corners of its square."""
    array[:3, :3], array[-3:, :3], array[:3, -3:], array[-3:, -3:] = value, value, value, value
    return array


def two_affines(image: Path, label: Path, scan: Scan) -> None:
    for path in (image, label):
        file = nib.load(path)
        file.set_qform(np.diag([-1.5, -2.0, 3.0, 1.0]), 1)
        file.set_sform(scan.affine, 1)
        nib.save(nib.Nifti1Image(np.asarray(file.dataobj), None, file.header), path)


def in_unit(code: int, factor: float) -> Change:
    def write(image: Path, label: Path, scan: Scan) -> None:
        for path in (image, label):
            file = nib.load(path)
            affine = file.affine.copy()
            affine[:3] *= factor
            other = nib.Nifti1Image(np.asarray(file.dataobj), affine)
            other.header["xyzt_units"] = code
            nib.save(other, path)

    return write


def without_spacing(image: Path, label: Path, scan: Scan) -> None:
    """512 × 512 pixels of 1 mm are wider than any patient."""
    for path, array in ((image, scan.image_xyz.astype(np.int16)), (label, scan.label_xyz)):
        edges = ((0, 512 - SHAPE_XYZ[0]), (0, 512 - SHAPE_XYZ[1]), (0, 0))
        padded = np.pad(array, edges, constant_values=array[0, 0, 0] if path == image else 0)
        nib.save(nib.Nifti1Image(padded, np.eye(4)), path)


def ignored_slope(array: np.ndarray) -> np.ndarray:
    """Stored values of a scan whose slope 2 and intercept −1024 another tool dropped."""
    return (array + 1024) / 2


REJECTED: dict[str, tuple[Change, str]] = {
    "1 checksum wrong": (bytes_of(other_checksum), r"img0001.*damaged \(CRC check failed.*again"),
    "1 checksum missing": (bytes_of(lambda data: data[:-8]), r"img0001.*truncated or damaged.*again"),
    "2 cut off": (bytes_of(lambda data: data[: len(data) // 2]), r"img0001.*(truncated|damaged).*again"),
    "3 damage late in the stream": (bytes_of(lambda data: damaged(data, 0.9)), r"img0001.*damaged.*again"),
    "6 another number of slices": (label_of(lambda a: a[..., :-1]), r"label0001.*29 × 36 × 40.*30 × 36 × 40"),
    "7 label of another resolution": (label_of(lambda a: a[::2, ::2]), r"label0001.*not of one scan"),
    "8 origin differs": (affines("label", moved(0.1)), r"label0001.*lies elsewhere"),
    "9 direction differs": (affines("label", turned(10)), r"label0001.*lies elsewhere"),
    "11 sheared by 3°": (affines("image label", sheared(3)), r"img0001.*3\.0° off a right angle"),
    "13 LPS written as RAS": (affines("label", lambda a: np.diag([-1.0, -1, 1, 1]) @ a), r"label0001.*lies elsewhere"),
    "14 spacing of another scan": (
        affines("image label", lambda a: a @ np.diag([20.0, 1, 1, 1])),
        r"img0001.*voxel size of 30",
    ),
    "16 spacing zero": (headers(pixdim=[1, 0, 2, 3, 0, 0, 0, 0]), r"img0001.*voxel size of 0 × 2 × 3"),
    "19 negative values in unsigned 16 bits": (
        image_of(lambda a: a.astype(np.int16).astype(np.uint16)),
        r"img0001.*not Hounsfield units",
    ),
    "21 scaled to 0 … 1": (image_of(lambda a: (a + 1000) / 2000), r"img0001.*from -?0\.?\d* to .*not Hounsfield"),
    "21 scaled to mean 0": (image_of(lambda a: (a - a.mean()) / a.std()), r"img0001.*not Hounsfield units"),
    "22 made of pictures": (image_of(eight_bits), r"img0001.*from 0 to \d+, none of them fat or air.*not Hounsfield"),
    "23 slope and intercept ignored": (image_of(ignored_slope), r"img0001.*not Hounsfield units"),
    "23 1024 too high": (image_of(lambda a: a + 1024), r"img0001.*soft tissue near 10\d\d.*units \+ 1024"),
    "24 binarised": (
        image_of(lambda a: np.where(a > -500, 40, -1000).astype(np.int16)),
        r"img0001.*only 2 different values",
    ),
    "25 four frames": (image_of(lambda a: np.stack([a] * 4, -1)), r"img0001.*one 3D volume"),
    "26 complex": (image_of(lambda a: a.astype(np.complex64)), r"img0001.*not plain numbers"),
    "28 unknown id": (label_of(lambda a: np.where(a == 3, 90, a)), r"label0001.*label ids \[90\]"),
    "29 HU in the label": (
        lambda image, label, scan: label.write_bytes(image.read_bytes()) and None,
        r"label0001.*label ids",
    ),
    "30 mask of 0 and 255": (label_of(lambda a: 255 * (a > 0).astype(np.uint8)), r"label0001.*label ids \[255\]"),
    "33 label missing": (lambda image, label, scan: label.unlink(), r"img0001.*has no label.*add it"),
    "35 a single slice": (
        lambda image, label, scan: nib.save(nib.Nifti1Image(scan.image_xyz[..., :1], scan.affine), image),
        r"img0001.*single slice \(40 × 36 × 1 voxels\)",
    ),
    "39 gantry tilt": (affines("image label", sheared(15)), r"img0001.*15\.0° off a right angle \(a gantry tilt"),
    "42 constant": (image_of(lambda a: np.zeros_like(a)), r"img0001.*constant \(0 everywhere\)"),
    # Beside the list, of the same kinds.
    "all NaN": (image_of(lambda a: np.full_like(a, np.nan)), r"img0001.*100\.0% of the voxels are NaN"),
    "an MR": (image_of(lambda a: np.abs(a + 1000) * 0.8), r"img0001.*none of them fat or air"),
    "1024 too high behind padding of -2000": (
        image_of(lambda a: with_padding(a + 1024, -2000)),
        r"img0001.*units \+ 1024",
    ),
    "1024 too high behind padding of -1024": (
        image_of(lambda a: with_padding(a + 1024, -1024)),
        r"img0001.*units \+ 1024",
    ),
    "0 … 255 behind padding of -3024": (
        image_of(lambda a: with_padding(eight_bits(a).astype(np.float32), -3024)),
        r"img0001.*none of them fat or air",
    ),
    "1024 too low": (image_of(lambda a: a - 1024), r"img0001.*hardly one between -150 and 200"),
    "a label map as the scan": (
        lambda image, label, scan: image.write_bytes(label.read_bytes()) and None,
        r"img0001.*not Hounsfield units",
    ),
    "voxels in the header": (headers(vox_offset=0), r"img0001.*begin at byte 0, inside its header"),
    "no orientation": (headers(sform_code=0, qform_code=0), r"img0001.*sform and qform codes are both 0"),
    "orientation in codes that there are not": (
        headers(sform_code=0, qform_code=77),
        r"img0001.*sform and qform codes are 0 and 77, which the format does not know",
    ),
    "a rounded qform alone": (
        headers(sform_code=0, qform_code=1, quatern_d=1.00001),
        r"img0001.*qform is no rotation, and it has no sform.*export it again with its orientation",
    ),
    "a qform of NaN alone": (headers(sform_code=0, qform_code=1, quatern_b=np.nan), r"img0001.*qform is no rotation"),
    "not compressed, named .gz": (bytes_of(gzip.decompress), r"img0001.*not compressed.*rename it to .*img0001\.nii\."),
    "empty": (bytes_of(lambda data: b""), r"img0001.*is empty: copy"),
    "a pointer of Git LFS": (
        bytes_of(lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"),
        r"img0001.*git lfs pull",
    ),
    "a picture": (bytes_of(lambda data: b"\x89PNG\r\n\x1a\n" + data), r"img0001.*PNG picture"),
    "DICOM": (bytes_of(lambda data: bytes(128) + b"DICM" + data), r"img0001.*DICOM file"),
}

FIXED: dict[str, tuple[Change, str]] = {
    "11 sheared by 0.5°": (affines("image label", sheared(0.5)), r"0\.5° off a right angle: read as perpendicular"),
    "12 two affines": (two_affines, r"img0001.*sform and qform, that disagree.*sform is used"),
    "12 a rounded qform": (headers(qform_code=1, quatern_d=1.00001), r"img0001.*qform is no rotation: the sform is"),
    "12 a qform of NaN": (headers(qform_code=1, quatern_b=np.nan), r"img0001.*qform is no rotation: the sform is"),
    "12 a qform at NaN": (headers(qform_code=1, qoffset_x=np.nan), r"img0001.*disagree \(nan apart.*sform is used"),
    "14 another spacing in pixdim": (
        headers(pixdim=[1, 1.5, 2, 6, 0, 0, 0, 0]),
        r"img0001.*WARNING.*1\.5 × 2 × 3 mm by its sform and 1\.5 × 2 × 6 mm by its pixdim: the sform's is used",
    ),
    "15 no spacing": (without_spacing, r"img0001.*exactly 1 × 1 × 1 mm.*check"),
    "17 micron": (in_unit(3, 1000.0), r"img0001.*lengths in micron: converted to mm"),
    "17 metre": (in_unit(1, 0.001), r"img0001.*lengths in metre: converted to mm"),
    "18 a few NaN": (image_of(lambda a: np.where(np.arange(a.size).reshape(a.shape) < 9, np.nan, a)), r"9 NaN"),
    "20 -32768 as padding": (image_of(lambda a: with_padding(a, -32768)), r"from -32768 to \d+ HU, beyond any CT"),
    "25 a single frame": (image_of(lambda a: a[..., None]), r"4D with a single frame"),
    "values at the end of float32": (
        image_of(lambda a: np.where(np.arange(a.size).reshape(a.shape) < 9, -3.4e38, a)),
        r"from -3\.4e\+38 to .*beyond any CT",
    ),
    "a rescale intercept that is off by 150": (image_of(lambda a: a + 150), r"WARNING: most soft tissue lies near"),
}

OK: dict[str, Change] = {
    "10 direction differs by 1e-8": affines("label", turned(1e-8)),
    "36 smaller than a patch": lambda image, label, scan: None,
    "padding of -2000": image_of(lambda a: with_padding(a, -2000)),
    "padding of -3024": image_of(lambda a: with_padding(a, -3024)),
    "clipped to a window": image_of(lambda a: np.clip(a, -175, 250)),
    "several gzip members": bytes_of(lambda data: _in_members(gzip.decompress(data))),
    "zeros after the stream": bytes_of(lambda data: data + bytes(512)),
}


def test_two_thousand_slices_are_one_scan(case: tuple[Case, Scan]) -> None:
    """Number 37 of the list: a whole body in thin slices, here of 40 × 36 pixels."""
    ours, scan = case
    assert ours.label is not None
    image_xyz, label_xyz = (np.tile(each, (1, 1, 67))[..., :2000] for each in (scan.image_xyz, scan.label_xyz))
    nib.save(nib.Nifti1Image(image_xyz.astype(np.int16), scan.affine), ours.image)
    nib.save(nib.Nifti1Image(label_xyz, scan.affine), ours.label)
    checked = load_checked(ours, BTCV)
    assert (checked.verdict.status, checked.verdict.reasons) == ("ok", ())
    assert checked.scan is not None and checked.label_DHW is not None
    np.testing.assert_array_equal(checked.scan.volume.array_DHW, image_xyz.astype(np.int16).transpose(2, 1, 0))
    np.testing.assert_array_equal(checked.label_DHW, label_xyz.transpose(2, 1, 0))


def _in_members(data: bytes) -> bytes:
    return gzip.compress(data[:1000]) + gzip.compress(data[1000:])


@pytest.fixture
def case(tmp_path: Path) -> tuple[Case, Scan]:
    scan = make_scan(shape_xyz=SHAPE_XYZ)
    scan.image_xyz[2:5, 2:20, 2:20] = -100 + np.arange(3 * 18 * 18).reshape(3, 18, 18) % 11  # fat
    scan.label_xyz[2:5, 2:20, 2:20] = 0
    image = write_nifti(tmp_path / "img0001.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    label = write_nifti(tmp_path / "label0001.nii.gz", scan.label_xyz, scan.affine)
    return Case("img0001", image, label, ("train",)), scan


@pytest.mark.parametrize("problem", REJECTED)
def test_it_is_refused_with_the_file_and_the_remedy(case: tuple[Case, Scan], problem: str) -> None:
    ours, scan = case
    change, message = REJECTED[problem]
    assert ours.label is not None
    change(ours.image, ours.label, scan)
    checked = load_checked(ours, BTCV)
    assert checked.verdict.status == "rejected", checked.verdict
    assert re.search(message, " ".join(checked.verdict.reasons)), checked.verdict.reasons
    assert checked.scan is None and checked.label_DHW is None


@pytest.mark.parametrize("problem", FIXED)
def test_it_is_put_right_or_warned_of(case: tuple[Case, Scan], problem: str) -> None:
    ours, scan = case
    change, message = FIXED[problem]
    assert ours.label is not None
    change(ours.image, ours.label, scan)
    checked = load_checked(ours, BTCV)
    assert checked.verdict.status == "fixed", checked.verdict
    assert re.search(message, " ".join(checked.verdict.reasons)), checked.verdict.reasons
    assert checked.scan is not None and checked.label_DHW is not None
    assert np.abs(checked.scan.volume.array_DHW).max() <= 32767
    spacing_DHW = (1.0, 1.0, 1.0) if change is without_spacing else (3.0, 2.0, 1.5)
    np.testing.assert_allclose(checked.scan.volume.spacing_DHW, spacing_DHW, rtol=1e-4)
    np.testing.assert_array_equal(checked.label_DHW[:30, :36, :40], scan.label_xyz.transpose(2, 1, 0))


@pytest.mark.parametrize("harmless", OK)
def test_it_is_read_as_it_is(case: tuple[Case, Scan], harmless: str) -> None:
    ours, scan = case
    assert ours.label is not None
    OK[harmless](ours.image, ours.label, scan)
    checked = load_checked(ours, BTCV)
    assert (checked.verdict.status, checked.verdict.reasons) == ("ok", ())
    assert checked.label_DHW is not None
    np.testing.assert_array_equal(checked.label_DHW, scan.label_xyz.transpose(2, 1, 0))
