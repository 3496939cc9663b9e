"""Scans and label maps from disk, packed for the browser; a few packed ones are kept, for all sessions."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import streamlit as st

from autosam_inference.scans.grid import Grid
from autosam_inference.scans.names import Reading
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan, read_scan
from autosam_models.sizes import size_text
from dashboard.components.base.places import ReadingError
from dashboard.components.viewer.encoding import Encoded, encode_labels, encode_scan

Stamp = tuple[str, int, int]

_APART_VOXELS = 0.1
"""Of a scan's shortest voxel edge, by a corner of a label map: more is another place in the patient."""


@dataclass(frozen=True)
class LabelMap:
    """A file of labels, and which classes its ids stand for.

    Attributes:
        ids: the page's ids of the organs, by those of the file, whose other ids are background; ``None`` where the
            file has the page's.
    """

    path: Path
    ids: Mapping[int, int] | None = None


@dataclass(frozen=True)
class Packed:
    """A file's voxels for the browser, and the grid that they lie on."""

    voxels: Encoded
    grid: Grid


@dataclass(frozen=True)
class PackedCase:
    """A scan, its label maps as far as they can be shown, and why the others cannot."""

    scan: Packed
    maps: dict[Path, Encoded]
    failures: tuple[ReadingError, ...]


def load_case(image: Path, labels: Iterable[LabelMap], reading: Reading | None = None) -> PackedCase:
    """Read and pack a CT and label maps on its grid, all at the same time.

    Args:
        reading: how a DICOM scan is to be read.

    Raises:
        ReadingError: the scan is missing, no 3D volume, or damaged. Of a label map these are among the
            failures, as are ids beyond 0 to 255, and another shape or another place than the scan's.
    """
    with st.spinner("Reading the scan …"), ThreadPoolExecutor() as threads:
        maps_read = {each.path: threads.submit(_packed, each) for each in labels}
        how = (reading["series"], reading["straighten"]) if reading else (None, False)
        scan = _scan(stamp(image), *how)
    maps, failures = {}, []
    for path, read in maps_read.items():
        try:
            maps[path] = _on_grid(path, read, scan)
        except ReadingError as error:
            failures.append(error)
    return PackedCase(scan, maps, tuple(failures))


def are_same(one: LabelMap, other: LabelMap) -> bool:
    """Do two label maps say the same of every voxel?

    Raises:
        ReadingError: one of them cannot be read.
    """
    if one == other:
        return True
    ours, theirs = _packed(one).voxels, _packed(other).voxels
    return (ours.shape_DHW, ours.chunks) == (theirs.shape_DHW, theirs.chunks)


def stamp(path: Path) -> Stamp:
    """Path, time of change (ns) and bytes of a file: another one when the file was written anew.

    Raises:
        ReadingError: there is no such file, or it may not be read.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise ReadingError(f"{path} cannot be opened ({error.strerror}): evaluate the run again.") from error
    return str(path), state.st_mtime_ns, state.st_size


def _read(path: Path, series: str | None = None, *, straighten: bool = False) -> Scan:
    """A file or DICOM series, canonical.

    Raises:
        ReadingError: missing, no 3D volume, or damaged.
    """
    try:
        return read_scan(path, series=series, straighten=straighten)
    except ScanError as error:
        raise ReadingError(str(error)) from error


# A packed CT of 512 × 512 × 150 voxels has about 20 MB, a packed label map half a megabyte.
@st.cache_resource(max_entries=3, show_spinner=False)
def _scan(file: Stamp, series: str | None, straighten: bool) -> Packed:
    scan = _read(Path(file[0]), series, straighten=straighten)
    return Packed(encode_scan(scan.volume), scan.grid)


def _packed(labels: LabelMap) -> Packed:
    return _labels(stamp(labels.path), labels.ids)


@st.cache_resource(max_entries=9, show_spinner=False)
def _labels(file: Stamp, ids: Mapping[int, int] | None) -> Packed:
    try:
        scan = _read(Path(file[0]))
        return Packed(encode_labels(scan.volume, ids), scan.grid)
    except ValueError as error:
        raise ReadingError(f"{file[0]} is no label map: {error}. Evaluate the run again.") from error


def _on_grid(path: Path, read: Future[Packed], scan: Packed) -> Encoded:
    """The label map's voxels, if they are the scan's: overlays of another place would look right and be wrong."""
    labels = read.result()
    remedy = "evaluate the run again, it writes label maps on the scan's own grid."
    if labels.voxels.shape_DHW != scan.voxels.shape_DHW:
        raise ReadingError(
            f"{path} has {size_text(labels.voxels.shape_DHW)} voxels and its scan "
            f"{size_text(scan.voxels.shape_DHW)} (depth × height × width): {remedy}"
        )
    depth, height, width = scan.voxels.shape_DHW
    corners = np.array(np.meshgrid([0, width - 1], [0, height - 1], [0, depth - 1])).reshape(3, -1).T
    here, there = (nib.affines.apply_affine(each.grid.canonical_affine, corners) for each in (labels, scan))
    apart_mm = float(np.linalg.norm(here - there, axis=1).max())
    if apart_mm > _APART_VOXELS * min(scan.voxels.spacing_DHW):
        raise ReadingError(
            f"{path} is not where its scan is, and is not shown: a corner lies {apart_mm:.3g} mm from the scan's; "
            f"its voxels measure {_edges(labels)} mm and begin at {_origin(labels)} mm, the scan's {_edges(scan)} and "
            f"{_origin(scan)} (right, anterior, superior): {remedy}"
        )
    return labels.voxels


def _edges(packed: Packed) -> str:
    return " × ".join(f"{edge:.4g}" for edge in packed.voxels.spacing_DHW[::-1])


def _origin(packed: Packed) -> str:
    return ", ".join(f"{place:.1f}" for place in packed.grid.canonical_affine[:3, 3])
