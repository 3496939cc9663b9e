"""Scans and label maps from disk, in the platform's D, H, W; a few are kept in memory, for all sessions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from autosam_platform.data.geometry import ScanError, Volume, read_scan
from dashboard.components.places import ReadingError


@dataclass(frozen=True)
class Labels:
    """A label map (int16, read-only) and, for each of its axes, the slice to begin with."""

    array_DHW: np.ndarray
    telling_DHW: tuple[int, int, int]


def load_image(path: Path) -> Volume:
    """A CT in whole Hounsfield units (int16: a screen shows no more), read-only.

    Raises:
        ReadingError: missing, not a 3D NIfTI file, or damaged.
    """
    return _load_image(str(path), _stamp(path))


def load_labels(path: Path, like: Volume) -> Labels:
    """A label map on the grid of the scan ``like``.

    Raises:
        ReadingError: missing, not a 3D NIfTI file, damaged, or of another shape than the scan.
    """
    labels = _load_labels(str(path), _stamp(path))
    if labels.array_DHW.shape != like.array_DHW.shape:
        raise ReadingError(
            f"{path} has {_size(labels.array_DHW)} voxels and its scan {_size(like.array_DHW)} "
            "(depth × height × width): evaluate the run again, it writes label maps on the scan's own grid."
        )
    return labels


@st.cache_resource(max_entries=3, show_spinner="Reading the scan …")
def _load_image(path: str, stamp: tuple[int, int]) -> Volume:
    return _read(Path(path))


@st.cache_resource(max_entries=6, show_spinner="Reading the labels …")
def _load_labels(path: str, stamp: tuple[int, int]) -> Labels:
    array_DHW = _read(Path(path)).array_DHW
    return Labels(array_DHW, _telling_slices(array_DHW))


def _stamp(path: Path) -> tuple[int, int]:
    """Changes when the file does, so that a rewritten file is read again."""
    try:
        state = path.stat()
    except OSError as error:
        raise ReadingError(f"{path} cannot be opened ({error.strerror}): evaluate the run again.") from error
    return state.st_mtime_ns, state.st_size


def _read(path: Path) -> Volume:
    try:
        volume, _ = read_scan(path)
    except ScanError as error:
        raise ReadingError(str(error)) from error
    array_DHW = volume.array_DHW
    if array_DHW.dtype != np.int16:
        array_DHW = np.nan_to_num(array_DHW).clip(-32768, 32767).round().astype(np.int16)
    array_DHW.setflags(write=False)
    return Volume(array_DHW, volume.spacing_DHW)


def _telling_slices(labels_DHW: np.ndarray) -> tuple[int, int, int]:
    """Per axis the slice that shows most of most organs, or the middle one where nothing is labelled.

    As in ``evaluation.pictures``: the sum over organs of the area, as a share of that organ's largest one.
    """
    depth, height, width = (_telling_slice(np.moveaxis(labels_DHW, axis, 0)) for axis in range(3))
    return depth, height, width


def _telling_slice(labels: np.ndarray) -> int:
    """Along the first axis; every other voxel of a slice is enough to compare areas."""
    bins = max(int(labels.max()), 0) + 1
    areas = np.array([np.bincount(cut[::2, ::2].clip(0).ravel(), minlength=bins)[1:] for cut in labels])
    if not areas.any():
        return len(labels) // 2
    return int((areas / np.maximum(areas.max(axis=0), 1)).sum(axis=1).argmax())


def _size(array: np.ndarray) -> str:
    return " × ".join(str(length) for length in array.shape)
