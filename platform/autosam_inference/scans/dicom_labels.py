"""DICOM SEG as truth: the organs that somebody drew, on the grid of the scan that they were drawn on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from nibabel import orientations
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from autosam_inference.scans.dicom_headers import quiet
from autosam_inference.scans.grid import Grid
from autosam_inference.scans.nifti import ScanError

_BACKGROUND = "125040"  # DCM: what is no segment, in label maps that describe it
_OFF_VOXELS = 0.1
_TAGS = [
    "Modality", "SegmentationType", "SegmentSequence", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PixelData",
]  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """One organ of a file: its number there, and its label."""

    number: int
    label: str


class Segments:
    """The segments of a DICOM SEG on a scan's grid.

    Raises:
        ScanError: the file is damaged, no segmentation in whole voxels, or lies on another grid.
    """

    def __init__(self, path: Path, grid: Grid) -> None:
        self._path, self._grid = path, grid
        file = _read(path)
        self.described = tuple(_described(file))
        self._binary = str(file.SegmentationType) == "BINARY"
        try:
            self._planes = [_plane(file, frame, self._binary) for frame in range(int(file.NumberOfFrames))]
            with quiet():
                frames = pixel_array(file)
        except Exception as error:  # a damaged file raises whatever its bytes lead to
            kind = type(error).__name__
            raise ScanError(f"{path} is a damaged DICOM SEG ({kind}): copy or export it again.") from None
        self._frames = frames[None] if frames.ndim == 2 else frames
        self._places = [self._place(to_lps) for _, to_lps in self._planes]

    def mask(self, segment: Segment) -> np.ndarray:
        """Where the segment is: bool, D, H, W in canonical axes."""
        inside_xyz = np.zeros(self._grid.shape_xyz, bool)
        for (number, _), place, frame in zip(self._planes, self._places, self._frames, strict=True):
            if number == segment.number:
                inside_xyz[:, :, place] |= frame.T != 0
            elif number is None:
                inside_xyz[:, :, place] |= segment.number == frame.T
        canonical = orientations.apply_orientation(inside_xyz, orientations.io_orientation(self._grid.affine))
        return canonical.transpose(2, 1, 0)

    def _place(self, to_lps: np.ndarray) -> int:
        """The slice of the grid that a plane is, if its voxels are those of that slice."""
        columns, rows, slices = self._grid.shape_xyz
        to_voxels = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ self._grid.affine)
        corners = np.array([[0, 0, 1], [columns - 1, 0, 1], [0, rows - 1, 1]]).T  # column, row, 1
        found = (to_voxels @ np.vstack([to_lps @ corners, np.ones(3)]))[:3]
        place = round(found[2, 0])
        expected = np.array([[0, 0, place], [columns - 1, 0, place], [0, rows - 1, place]]).T
        size_differs = self._frames.shape[1:] != (rows, columns)
        if size_differs or not 0 <= place < slices or np.abs(found - expected).max() > _OFF_VOXELS:
            raise ScanError(
                f"{self._path} does not lie on the slices of its scan: name the series that it was drawn on, or "
                "resample it to that."
            )
        return place


def _read(path: Path) -> Dataset:
    try:
        with quiet():
            file = pydicom.dcmread(path, specific_tags=_TAGS)
            kind = str(file.get("SegmentationType", ""))
    except Exception as error:
        raise ScanError(f"{path} is a damaged DICOM file ({type(error).__name__}): copy it again.") from None
    if kind not in ("BINARY", "LABELMAP"):
        raise ScanError(
            f"{path} holds no segmentation in whole voxels ({kind or file.get('Modality', 'no modality')}): a DICOM "
            "SEG of the kind BINARY or LABELMAP is needed."
        )
    return file


def _described(file: Dataset) -> Iterator[Segment]:
    for each in file.get("SegmentSequence") or ():
        kinds = each.get("SegmentedPropertyTypeCodeSequence") or ()
        if not any(str(kind.get("CodeValue")) == _BACKGROUND for kind in kinds):
            yield Segment(int(each.SegmentNumber), str(each.get("SegmentLabel", "")))


def _plane(file: Dataset, frame: int, binary: bool) -> tuple[int | None, np.ndarray]:
    """The segment that a frame shows, None where it shows all, and column, row, 1 → LPS mm."""
    groups = [file.PerFrameFunctionalGroupsSequence[frame], *file.SharedFunctionalGroupsSequence]
    position = _of(groups, "PlanePositionSequence", "ImagePositionPatient")
    directions = _of(groups, "PlaneOrientationSequence", "ImageOrientationPatient").reshape(2, 3)
    between_rows, between_columns = _of(groups, "PixelMeasuresSequence", "PixelSpacing")
    to_lps = np.column_stack([directions[0] * between_columns, directions[1] * between_rows, position])
    if not binary:
        return None, to_lps
    return int(_of(groups, "SegmentIdentificationSequence", "ReferencedSegmentNumber")), to_lps


def _of(groups: list[Dataset], sequence: str, name: str) -> np.ndarray:
    item = next(each[sequence].value[0] for each in groups if sequence in each)
    return np.array(item[name].value, np.float64)
