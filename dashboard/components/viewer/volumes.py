"""Scans and label maps from disk, packed for the browser; a few packed ones are kept, for all sessions."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from autosam_inference.scans.grid import Volume
from autosam_inference.scans.names import Reading
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import read_scan
from autosam_models.sizes import size_text
from dashboard.components.base.places import ReadingError
from dashboard.components.viewer.encoding import Encoded, encode_labels, encode_scan

Stamp = tuple[str, int, int]


@dataclass(frozen=True)
class PackedCase:
    """A scan, its label maps as far as they can be shown, and why the others cannot."""

    scan: Encoded
    maps: dict[Path, Encoded]
    failures: tuple[ReadingError, ...]


def load_case(image: Path, labels: Iterable[Path], reading: Reading | None = None) -> PackedCase:
    """Read and pack a CT and label maps on its grid, all at the same time.

    Args:
        reading: how a DICOM scan is to be read.

    Raises:
        ReadingError: the scan is missing, no 3D volume, or damaged. Of a label map these are among the
            failures, as are ids beyond 0 to 255 and another shape than the scan's.
    """
    with st.spinner("Reading the scan …"), ThreadPoolExecutor() as threads:
        maps_read = {path: threads.submit(lambda path: _labels(stamp(path)), path) for path in labels}
        how = (reading["series"], reading["straighten"]) if reading else (None, False)
        scan = _scan(stamp(image), *how)
    maps, failures = {}, []
    for path, read in maps_read.items():
        try:
            maps[path] = _on_grid(path, read, scan)
        except ReadingError as error:
            failures.append(error)
    return PackedCase(scan, maps, tuple(failures))


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


def read_volume(path: Path, series: str | None = None, *, straighten: bool = False) -> Volume:
    """Voxels of a file or DICOM series, canonical.

    Raises:
        ReadingError: missing, no 3D volume, or damaged.
    """
    try:
        return read_scan(path, series=series, straighten=straighten).volume
    except ScanError as error:
        raise ReadingError(str(error)) from error


# A packed CT of 512 × 512 × 150 voxels has about 20 MB, a packed label map half a megabyte.
@st.cache_resource(max_entries=3, show_spinner=False)
def _scan(file: Stamp, series: str | None, straighten: bool) -> Encoded:
    return encode_scan(read_volume(Path(file[0]), series, straighten=straighten))


@st.cache_resource(max_entries=9, show_spinner=False)
def _labels(file: Stamp) -> Encoded:
    try:
        return encode_labels(read_volume(Path(file[0])))
    except ValueError as error:
        raise ReadingError(f"{file[0]} is no label map: {error}. Evaluate the run again.") from error


def _on_grid(path: Path, read: Future[Encoded], scan: Encoded) -> Encoded:
    labels = read.result()
    if labels.shape_DHW != scan.shape_DHW:
        raise ReadingError(
            f"{path} has {size_text(labels.shape_DHW)} voxels and its scan {size_text(scan.shape_DHW)} "
            "(depth × height × width): evaluate the run again, it writes label maps on the scan's own grid."
        )
    return labels
