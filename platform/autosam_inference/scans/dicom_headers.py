"""What DICOM files say of themselves, read without anything that tells who the patient is.

pydicom is asked for the elements named here and for no others: names, numbers and dates of the patient are skipped
where they lie in the file, so that no message, log or traceback can hold them.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
)

from autosam_inference.scans.dicom_files import PREAMBLE, DicomPlace, begins_as_dicom
from autosam_inference.scans.names import suffix
from autosam_inference.scans.nifti import ScanError

_MULTI_FRAME = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SeriesNumber",
    "InstanceNumber", "ImagesInAcquisition",
    "Modality", "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
_GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "CTPixelValueTransformationSequence",
)
"""Of a frame of a multi-frame image: where an image of a single slice has its elements itself."""
_MOST = {"Rows": 8192, "Columns": 8192, "NumberOfFrames": 65_536}
"""No CT has more; memory is taken for what a header claims."""
_NEEDED = ("SOPClassUID", "SeriesInstanceUID", "Rows", "Columns")
"""Of an image; of other objects the first two."""
_START = 1024  # bytes in which the transfer syntax stands
_SERIES = Tag("SeriesInstanceUID")


@dataclass(frozen=True)
class Header:
    """One file: its name in the place it was found, and the elements that were asked for."""

    name: str
    elements: Dataset

    @property
    def series(self) -> str:
        return str(self.elements.get("SeriesInstanceUID", ""))

    @property
    def frames(self) -> int:
        return max(1, _whole(self.elements, "NumberOfFrames") or 1)

    @property
    def series_number(self) -> int | None:
        return _whole(self.elements, "SeriesNumber")

    @property
    def number(self) -> int | None:
        """InstanceNumber."""
        return _whole(self.elements, "InstanceNumber")

    @property
    def images(self) -> int:
        """How many images the scanner said it made; 0 where it did not."""
        return _whole(self.elements, "ImagesInAcquisition") or 0

    @property
    def unfit(self) -> str | None:
        """Why it is no slice of a CT, as words for one such file; None where it is one."""
        elements = self.elements
        modality = str(elements.get("Modality") or "CT").upper()
        kind = elements.get("SOPClassUID", "")
        if modality != "CT":
            return f"{_word(modality)} image" if "Rows" in elements else f"{_word(modality)} object"
        if kind == SecondaryCaptureImageStorage:
            return "picture of a screen (secondary capture)"
        if kind not in (CTImageStorage, *_MULTI_FRAME):
            return "object that is no CT image"
        if "LOCALIZER" in str(elements.get("ImageType")).upper():  # one value, or a list of them
            return "localiser"
        return "colour image" if (_whole(elements, "SamplesPerPixel") or 1) != 1 else None


def _word(modality: str) -> str:
    return modality if modality.isalnum() and len(modality) <= 8 else "other"


@dataclass(frozen=True)
class Slice:
    """One slice of a series.

    Attributes:
        name: of its file.
        frame: of the file, from 0; None where the file is the slice.
        number: InstanceNumber, or the frame's from 1; None where the file does not say.
        position: mm in LPS, of the centre of the first voxel; None where it is missing or no three numbers.
        row: unit vector along which the column index rises; ``column`` that of the row index.
        spacing: mm between columns, between rows.
        slope, intercept: from stored values to HU.
        unit: RescaleType; empty where it is not said.
        frame_of_reference: in which the position counts.
    """

    name: str
    frame: int | None
    number: int | None
    uid: str
    size: tuple[int, int]
    position: np.ndarray | None
    row: np.ndarray | None
    column: np.ndarray | None
    spacing: tuple[float, float] | None
    slope: float | None
    intercept: float | None
    unit: str
    frame_of_reference: str


@dataclass(frozen=True)
class Unreadable:
    """A DICOM file that is damaged, or may not be read.

    Attributes:
        series: its SeriesInstanceUID, where that much can be read; else empty.
        reason: what is wrong with it, and what to do.
    """

    name: str
    series: str
    reason: str


@dataclass(frozen=True)
class Found:
    """The files of a place: headers of DICOM files, those that cannot be read, and how many are something else."""

    headers: tuple[Header, ...]
    unreadable: tuple[Unreadable, ...]
    others: int


def read_headers(place: DicomPlace) -> Found:
    """The headers of all DICOM files; NIfTI and a DICOMDIR may be there."""
    headers, unreadable, others = [], [], 0
    for name in place.names:
        try:
            with place.open(name) as file:
                elements = _elements(place, name, file)
        except OSError as error:
            reason = f"{place.path}: {name} cannot be read ({error.strerror}): check its rights."
            unreadable.append(Unreadable(name, "", reason))
        except ScanError as error:
            unreadable.append(Unreadable(name, _series_of(place, name), str(error)))
        else:
            if elements is None:
                others += not (suffix(name) or PurePosixPath(name).name.upper() == "DICOMDIR")
            else:
                headers.append(Header(name, elements))
    return Found(tuple(headers), tuple(unreadable), others)


def _series_of(place: DicomPlace, name: str) -> str:
    """The series of a damaged file, if its header is whole up to there."""

    def beyond(tag: BaseTag, vr: str | None, length: int) -> bool:
        return tag > _SERIES

    try:
        with place.open(name) as file, quiet():
            return str(read_partial(file, beyond, specific_tags=[_SERIES]).get("SeriesInstanceUID", ""))
    except Exception:  # as in ``_elements``
        return ""


def _elements(place: DicomPlace, name: str, file: BinaryIO) -> Any:
    try:
        start = file.read(_START)
        if len(start) <= PREAMBLE and not start.strip(b"\0"):  # a copy that was broken off leaves that
            raise _damaged(place, name, f"{len(start)} bytes")
        if not begins_as_dicom(start):
            return None
        if DeflatedExplicitVRLittleEndian.encode() in start:  # unpacked as a whole, however large
            raise ScanError(f"{place.path}: {name} is a deflated DICOM file: convert it (e.g. with dcmconv +te).")
        file.seek(0)
        with quiet():
            elements = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
            for _ in (*elements.file_meta, *elements.iterall()):  # read now, not on demand, or said to be damaged
                pass
    except ScanError:
        raise
    except Exception as error:  # pydicom and zipfile raise whatever the bytes lead to
        raise _damaged(place, name, type(error).__name__) from None
    written = elements.file_meta.get("MediaStorageSOPClassUID") or elements.get("SOPClassUID", "")
    if written == MediaStorageDirectoryStorage:
        return None
    if "SOPClassUID" in elements and elements.SOPClassUID != written:
        raise _damaged(place, name, "two SOP classes")
    needed = _NEEDED[:2] if written and written not in (CTImageStorage, *_MULTI_FRAME) else _NEEDED
    if missing := [each for each in needed if each not in elements]:  # pydicom takes the end of a file for its end
        raise _damaged(place, name, f"{missing[0]} is missing")
    for each, most in _MOST.items():
        if (claimed := _whole(elements, each) or 0) > most:
            raise _damaged(place, name, f"{each} is {claimed:,}")
    return elements


def _damaged(place: DicomPlace, name: str, reason: str) -> ScanError:
    return ScanError(f"{place.path}: {name} is a damaged DICOM file ({reason}): copy or export it again.")


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of pydicom: they quote values, and are about what is checked here anyway."""
    with warnings.catch_warnings(action="ignore"):
        yield


def slices_of(header: Header) -> Iterator[Slice]:
    """The slices of a file: one, or one a frame.

    Numbers that are missing or no numbers are None.
    """
    elements = header.elements
    if elements.get("SOPClassUID") not in _MULTI_FRAME:
        yield _slice(header, [elements], None)
        return
    shared = _items(elements, "SharedFunctionalGroupsSequence")
    frames = _items(elements, "PerFrameFunctionalGroupsSequence")
    for frame in range(header.frames):
        groups = [*frames[frame : frame + 1], *shared]
        levels = [item for group in groups for name in _GROUPS for item in _items(group, name)]
        yield _slice(header, levels, frame)


def _items(elements: Dataset, name: str) -> list[Dataset]:
    return list(elements.get(name) or ())


def _slice(header: Header, levels: list[Dataset], frame: int | None) -> Slice:
    """Elements are taken from the first of ``levels`` that has them."""
    directions = _numbers(levels, "ImageOrientationPatient", 6)
    spacing = _numbers(levels, "PixelSpacing", 2)
    slope, intercept = (_numbers(levels, name, 1) for name in ("RescaleSlope", "RescaleIntercept"))
    return Slice(
        name=header.name,
        frame=frame,
        number=_whole(header.elements, "InstanceNumber") if frame is None else frame + 1,
        uid=str(header.elements.get("SOPInstanceUID", "")),
        size=(_whole(header.elements, "Rows") or 0, _whole(header.elements, "Columns") or 0),
        position=_numbers(levels, "ImagePositionPatient", 3),
        row=None if directions is None else directions[:3],
        column=None if directions is None else directions[3:],
        spacing=None if spacing is None else (float(spacing[1]), float(spacing[0])),
        slope=None if slope is None else float(slope[0]),
        intercept=None if intercept is None else float(intercept[0]),
        unit=next((str(each.RescaleType) for each in levels if each.get("RescaleType")), ""),
        frame_of_reference=str(header.elements.get("FrameOfReferenceUID") or ""),
    )


def _whole(elements: Dataset, name: str) -> int | None:
    found = _numbers([elements], name, 1)
    return None if found is None else int(found[0])


def _numbers(levels: list[Dataset], name: str, count: int) -> np.ndarray | None:
    for each in levels:
        if name in each:
            try:
                values = np.array(each[name].value, dtype=np.float64).ravel()
            except (TypeError, ValueError):
                return None
            return values if len(values) == count and np.isfinite(values).all() else None
    return None
