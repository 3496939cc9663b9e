"""A CT series as DICOM: a folder, a zip, or one of its files."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autosam_inference.scans.dicom_files import opened
from autosam_inference.scans.dicom_geometry import Stack, stack
from autosam_inference.scans.dicom_headers import Found, Header, Unreadable, read_headers, slices_of
from autosam_inference.scans.dicom_pixels import AIR_HU, SliceReader
from autosam_inference.scans.dicom_series import Series, choose, missing_images, usable
from autosam_inference.scans.dicom_straighten import straightened
from autosam_inference.scans.names import Reading
from autosam_inference.scans.nifti import ScanError


@dataclass(frozen=True)
class DicomSeries:
    """Where the slices of a scan lie, by which a label map is joined to them again. It holds nothing of the patient.

    Attributes:
        place: folder or zip that holds the files.
        slices: each slice's file and frame, in the order of the grid's third axis; no frame where a file is a slice.
        straight: the grid is that of the slices themselves, not one that they were resampled to.
    """

    uid: str
    place: Path
    slices: tuple[tuple[str, int | None], ...]
    straight: bool

    @property
    def reading(self) -> Reading:
        """How ``read_scan`` gives this scan again."""
        return {"series": self.uid, "straighten": not self.straight}


@dataclass(frozen=True)
class DicomVolume:
    """What a series comes to: HU by column, row and slice, the affine of that grid (RAS), and what to tell."""

    array_xyz: np.ndarray
    affine: np.ndarray
    series: DicomSeries
    notes: tuple[str, ...]


def read_dicom(
    path: Path, series: str | None = None, *, straighten: bool = False, files: Collection[str] | None = None
) -> DicomVolume:
    """Read the CT series with most slices, or the one asked for, in HU.

    Args:
        series: its SeriesInstanceUID.
        files: names, in ``path``, of the only files to look at, where the series was found before.
        straighten: resample tilted, shifted or unevenly spaced slices to an even grid, instead of refusing them.

    Raises:
        ScanError: there is no CT, or its slices are damaged or no one volume.
    """
    with opened(path, files) as place:
        uid, headers, notes = _chosen(path, read_headers(place), series)
        reader = SliceReader(path, place)
        slices = stack(path, [each for header in headers for each in slices_of(header)], reader.same)
        _check_straight(path, slices, straighten=straighten)
        reader.padded = 0
        hu = [reader.hu(each) for each in slices.slices]
    kind = np.result_type(*{each.dtype for each in hu})
    hu_DHW = np.stack(hu, dtype=np.float32 if kind.kind == "f" else kind, casting="unsafe")
    affine = slices.affine
    notes += slices.notes
    if reader.padded:
        notes += (f"{reader.padded:,} voxels that the scanner marks as outside its field are set to {AIR_HU} HU.",)
    if slices.faults:
        hu_DHW, affine = straightened(slices, hu_DHW)
        notes += (f"The scan was resampled to an even grid, since {'; '.join(slices.faults)}.",)
    origin = DicomSeries(uid, place.path, tuple((each.name, each.frame) for each in slices.slices), not slices.faults)
    return DicomVolume(hu_DHW.transpose(2, 1, 0), affine, origin, notes)


def read_dicom_grid(path: Path) -> tuple[tuple[int, int, int], np.ndarray]:
    """Columns, rows and slices, and the affine (RAS), as the headers alone tell them.

    Raises:
        ScanError: there is no CT, or its slices are no one volume.
    """
    slices = _stack_of(path, None, straighten=False)
    rows, columns = slices.slices[0].size
    return (columns, rows, len(slices.slices)), slices.affine


def check_dicom(path: Path, series: str | None = None, *, straighten: bool = False) -> None:
    """See that the headers are those of a scan; the arguments are those of ``read_dicom``.

    Raises:
        ScanError: ``read_dicom`` would refuse the scan for what its headers say.
    """
    _stack_of(path, series, straighten=straighten)


def ct_series(path: Path) -> tuple[Series, ...]:
    """The CT series of a study, the one that is read where none is asked for first.

    Raises:
        ScanError: there is none.
    """
    with opened(path) as place:
        found = read_headers(place)
        _chosen(path, found, None)
        return usable(found.headers)


def _stack_of(path: Path, series: str | None, *, straighten: bool) -> Stack:
    with opened(path) as place:
        _, headers, _ = _chosen(path, read_headers(place), series)
        slices = stack(path, [each for header in headers for each in slices_of(header)], lambda one, other: True)
    _check_straight(path, slices, straighten=straighten)
    return slices


def _chosen(path: Path, found: Found, uid: str | None) -> tuple[str, tuple[Header, ...], tuple[str, ...]]:
    """The series to read. A file stands for its series."""
    if uid is None and path.is_file():
        _refuse(each for each in found.unreadable if each.name == path.name)
        uid = next((each.series for each in found.headers if each.name == path.name), None)
    if not found.headers:
        _refuse(found.unreadable)
    if uid is not None:
        _refuse(each for each in found.unreadable if each.series == uid)
    chosen, notes = choose(path, found.headers, uid)
    notes += _without_unreadable(chosen, found)
    if found.others:
        are = "s beside the images are" if found.others > 1 else " beside the images is"
        notes += (f"{found.others} file{are} no DICOM.",)
    if missing := missing_images(chosen.headers):
        notes += (f"{path}: WARNING: its headers tell of {missing} more images than are there: is it whole?",)
    return chosen.uid, chosen.headers, notes


def _without_unreadable(chosen: Series, found: Found) -> tuple[str, ...]:
    """What to tell of files that cannot be read and are of other series.

    One whose series is not known is taken for a slice of this one where there is no other: the loss of the first or
    the last slice leaves no gap.

    Raises:
        ScanError: one is of the chosen series.
    """
    alone = all(each.series == chosen.uid for each in found.headers)
    _refuse(each for each in found.unreadable if each.series == chosen.uid or (alone and not each.series))
    unknown = sum(not each.series for each in found.unreadable)
    others = len(found.unreadable) - unknown
    notes = [f"{others} × damaged file of other series: left out."] if others else []
    if unknown:
        notes.append(
            f"{unknown} × damaged file whose series is not known: left out. If it is of this one, its first or last "
            "slice is missing."
        )
    return tuple(notes)


def _refuse(unreadable: Iterable[Unreadable]) -> None:
    for each in unreadable:
        raise ScanError(each.reason)


def _check_straight(path: Path, slices: Stack, *, straighten: bool) -> None:
    if slices.faults and not straighten:
        raise ScanError(
            f"{path}: {'; '.join(slices.faults)}. Name a series without that, or have it resampled to an even grid "
            "(--straighten)."
        )
