"""DICOM that is resampled on request, and what never comes out of it: the patient's name, files outside a zip."""

import logging
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_factory import SECRETS, compressed, ct_slices, moved, set_pixels, tilted, write_series, write_zip
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, RLELossless
from scipy.ndimage import shift

from autosam_inference.scans import dicom_files
from autosam_inference.scans.dicom_straighten import _moved
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import read_grid, read_scan

AIR = -1024


def _slope_hu(position_lps: np.ndarray) -> np.ndarray:
    """HU that rise evenly through the patient: what linear interpolation gives back as it was."""
    return position_lps @ np.array([2.0, -3.0, 4.0])


def _filled(slices: list[Dataset]) -> list[Dataset]:
    """Each voxel gets the HU of the place where it lies."""
    for each in slices:
        position, spacing = np.array(each.ImagePositionPatient, float), np.array(each.PixelSpacing, float)
        directions = np.array(each.ImageOrientationPatient, float).reshape(2, 3)
        rows, columns = np.mgrid[: each.Rows, : each.Columns]
        place = (
            position + columns[..., None] * spacing[1] * directions[0] + rows[..., None] * spacing[0] * directions[1]
        )
        set_pixels(each, np.rint(_slope_hu(place)))
    return slices


CROOKED: dict[str, tuple[Callable[[list[Dataset]], list[Dataset]], str]] = {
    "tilted": (lambda slices: tilted(slices, 15), r"since the gantry was tilted by 15\.0°"),
    "tilted back": (lambda slices: tilted(slices, -20), r"since the gantry was tilted by 20\.0°"),
    "uneven": (
        lambda slices: moved(slices, lambda place: (0, 0, 1.5 * (place > 4))),
        r"since slices lie unevenly: [41]\.5 mm between (5 and 6|6 and 5), in place of 3 mm",
    ),
    "shifted": (lambda slices: moved(slices, lambda place: (7.0 * (place > 5), 0, 0)), "shifted sideways by 7 mm"),
    "tilted and uneven": (
        lambda slices: moved(tilted(slices, 12), lambda place: (0, 0, 1.1 * (place > 2))),
        "unevenly.*; slices are shifted sideways",
    ),
}


@pytest.mark.parametrize("codes", ["LPS", "LPI"])
@pytest.mark.parametrize("kind", CROOKED)
def test_crooked_slices_are_straightened_on_request(tmp_path: Path, kind: str, codes: str) -> None:
    bend, message = CROOKED[kind]
    folder = write_series(tmp_path / "ct", _filled(bend(ct_slices(codes=codes, signed=True, intercepts=(0,)))))
    with pytest.raises(ScanError, match=r"\(--straighten\)"):
        read_scan(folder)
    read = read_scan(folder, straighten=True)
    assert read.notes[-1].startswith("The scan was resampled to an even grid") and len(read.notes) == 1
    assert re.search(message, read.notes[0])
    assert read.series is not None and not read.series.straight
    directions = read.grid.affine[:3, :3] / np.linalg.norm(read.grid.affine[:3, :3], axis=0)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-6)
    array = read.volume.array_DHW
    assert array.dtype == np.int16 and 2.5 < read.volume.spacing_DHW[0] < 3.01, "never coarser than it was"
    places = np.argwhere(array != AIR)
    ras = places[:, ::-1] @ read.grid.canonical_affine[:3, :3].T + read.grid.canonical_affine[:3, 3]
    wrong = np.abs(array[tuple(places.T)] - _slope_hu(ras * [-1, -1, 1])) > 1.5
    edges = wrong.mean()  # half air, half tissue, where slices end
    assert edges < 0.05 and len(places) > 0.9 * 9 * 34 * 37


@pytest.mark.parametrize("offset", [(0, 0), (1.3, 2.75), (3.99, 5.5), (0, 6), (2, 0.25)])
def test_slices_are_moved_as_scipy_moves_them(offset: tuple[float, float]) -> None:
    plane = np.pad(np.random.default_rng(0).normal(size=(20, 30)), ((0, 4), (0, 6)), constant_values=AIR)
    ours = _moved(_moved(plane, offset[0]).T, offset[1]).T
    np.testing.assert_allclose(ours, shift(plane, offset, order=1, mode="constant", cval=AIR), atol=1e-9)


def test_a_rounding_error_costs_no_row() -> None:
    plane = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(_moved(plane, 1 + 1e-9)[1:], plane[:-1])
    np.testing.assert_array_equal(_moved(plane, 2 - 1e-9)[2:], plane[:-2])


def test_an_even_series_is_the_same_straightened(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", ct_slices())
    plain, asked = read_scan(folder), read_scan(folder, straighten=True)
    np.testing.assert_array_equal(plain.volume.array_DHW, asked.volume.array_DHW)
    assert asked.notes == () and asked.series == plain.series


MEMBERS = ["../out", "/etc/out", "a/../../out", "..\\out", "C:\\out"]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path: Path, member: str) -> None:
    path = write_zip(tmp_path / "study.zip", write_series(tmp_path / "ct", ct_slices()))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, b"x")
    with pytest.raises(ScanError, match="path leads out of it: it is refused"):
        read_scan(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ct", "study.zip"]


@pytest.fixture
def study_zip(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "study.zip", write_series(tmp_path / "ct", ct_slices()))


def test_a_zip_that_unpacks_to_too_much_is_refused(study_zip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_files, "MOST_BYTES", 10_000)
    with pytest.raises(ScanError, match=r"unpacks to [\d,]+ bytes, and at most 10,000 are taken"):
        read_scan(study_zip)


def test_a_zip_with_one_huge_file_is_refused(study_zip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_files, "MOST_MEMBER_BYTES", 1000)
    with pytest.raises(ScanError, match="has a file of more than 1,000 bytes"):
        read_scan(study_zip)


def test_too_many_files_are_refused(study_zip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_files, "MOST_FILES", 8)
    for path in (study_zip, study_zip.parent / "ct"):
        with pytest.raises(ScanError, match="holds more than 8 files: name the folder of one study"):
            read_scan(path)


def test_a_zip_with_a_flipped_byte_is_refused(study_zip: Path) -> None:
    content = bytearray(study_zip.read_bytes())
    content[len(content) // 2] ^= 1
    study_zip.write_bytes(content)
    with pytest.raises(ScanError, match=r"study\.zip.*damaged|cannot be read as a zip"):
        read_scan(study_zip)


def test_a_zip_cut_short_is_refused(study_zip: Path) -> None:
    study_zip.write_bytes(study_zip.read_bytes()[:-300])
    with pytest.raises(ScanError, match=r"study\.zip cannot be read as a zip"):
        read_scan(study_zip)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0" * 128 + b"DICM" + b"\xff" * 40, "is a damaged DICOM file"),
        (b"\0" * 128 + b"DICM", "is a damaged DICOM file"),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    folder = write_series(tmp_path / "ct", ct_slices()[:0])
    (folder / "IM0001").write_bytes(content)
    with pytest.raises(ScanError, match=message):
        read_scan(folder)


@pytest.mark.parametrize("left", [0, 60, 128])
def test_what_is_left_of_a_copy_that_broke_off_is_refused(tmp_path: Path, left: int) -> None:
    folder = write_series(tmp_path / "ct", ct_slices())
    (folder / "IM0008").write_bytes(bytes(left))  # the last slice, whose loss leaves no gap
    with pytest.raises(ScanError, match=rf"IM0008 is a damaged DICOM file \({left} bytes\): copy or export it again"):
        read_scan(folder)


def test_a_class_that_differs_from_the_files_own_is_damage(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", ct_slices())
    before, after = (folder / "IM0008").read_bytes().rsplit(CTImageStorage.encode(), 1)
    (folder / "IM0008").write_bytes(before + MRImageStorage.encode() + after)
    with pytest.raises(ScanError, match=r"IM0008 is a damaged DICOM file \(two SOP classes\)"):
        read_scan(folder)


def test_a_header_cut_short_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", ct_slices())
    (folder / "IM0003").write_bytes((folder / "IM0003").read_bytes()[:700])
    with pytest.raises(ScanError, match=r"IM0003 is a damaged DICOM file \(.*copy or export it again"):
        read_scan(folder)


def test_a_folder_without_dicom_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ScanError, match="holds no DICOM images: name the folder, zip or a file of one CT series"):
        read_scan(tmp_path)


def _unusual_identity(each: Dataset) -> None:
    """Values that no reader likes, and that libraries quote when they warn of them."""
    each.add_new("PatientName", "PN", "Geheim^Erika=" + "Geheim" * 20)
    each.add_new("PatientBirthDate", "DA", "17.03.1950 Geheim")
    each.add_new("PatientID", "LO", "SECRET-4711" * 9)


TROUBLES: dict[str, Callable[[list[Dataset]], object]] = {
    "none": lambda slices: None,
    "tilt": lambda slices: tilted(slices, 15),
    "a missing slice": lambda slices: slices.pop(4),
    "no pixels": lambda slices: slices[3].__delitem__("PixelData"),
    "cut short": lambda slices: setattr(slices[3], "PixelData", b"12"),
    "packed": lambda slices: compressed(slices, RLELossless),
}


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("unusual", [False, True])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_patient_is_in_no_message_log_or_repr(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    trouble: str,
    unusual: bool,
) -> None:
    with pydicom.config.disable_value_validation():
        slices = ct_slices()
        TROUBLES[trouble](slices)
        for each in slices if unusual else []:
            _unusual_identity(each)
        folder = write_series(tmp_path / "ct", slices)
    recwarn.clear()
    said = []
    with caplog.at_level(logging.DEBUG):
        for read in (read_grid, read_scan):
            try:
                said.append(repr(read(folder)))
            except ScanError as error:
                said += [str(error), repr(error.__cause__), repr(error.__context__)]
    printed = capfd.readouterr()
    said += [caplog.text, printed.out, printed.err, *(str(each.message) for each in recwarn)]
    everything = "\n".join(said)
    assert str(folder) in everything, "the test looks where words come out"
    assert not [secret for secret in SECRETS if secret in everything]
