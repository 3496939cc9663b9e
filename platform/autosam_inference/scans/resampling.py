"""From one voxel spacing to another: linear, without aliasing, edges of the volume kept; labels by the largest mask."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from autosam_inference.scans.class_boxes import class_boxes
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.nifti import MOST_VOXELS, ScanError
from autosam_models.sizes import Size, size_text

Kind = Literal["image", "label"]

_DIGITS = 4  # of a size in voxels; the rest is rounding of spacings
_SLICES = 16  # of a scan that are in memory as float32 at a time
_BLOCK = 64  # voxels of a new axis that are made in one product: few enough that it has few zeros


def size_at(volume: Volume, spacing_DHW: tuple[float, float, float]) -> Size:
    """Voxels that a volume has at a spacing: round(n · old / new), at least 1.

    Raises:
        ScanError: they are more than anything here takes memory for.
    """
    # A spacing read from a header is a little off the one meant: 2.9999998 in place of 3 must not cost a slice.
    lengths = zip(volume.array_DHW.shape, volume.spacing_DHW, spacing_DHW, strict=True)
    depth, height, width = (max(1, round(round(n * old / new, _DIGITS))) for n, old, new in lengths)
    if math.prod((depth, height, width)) > MOST_VOXELS:
        raise ScanError(
            f"a scan of {size_text(volume.array_DHW.shape)} voxels of {size_text(volume.spacing_DHW)} mm would have "
            f"{size_text((depth, height, width))} voxels at a spacing of {size_text(spacing_DHW)} mm: choose a coarser "
            "spacing, or a model that has one."
        )
    return depth, height, width


def resample(
    volume: Volume,
    spacing_DHW: tuple[float, float, float],
    kind: Kind = "image",
    *,
    within: Sequence[slice] | None = None,
) -> Volume:
    """Resample to a spacing in mm; the outer edges of the volume stay where they are.

    The size becomes ``size_at``'s, so the spacing that comes out differs a little from the one asked for; the returned
    volume carries the true one.

    Images are interpolated linearly, after a Gaussian against aliasing along the axes that shrink
    (sigma = (shrink factor − 1) / 2 voxels, as in scikit-image's ``resize``); the result is float32. Both together are
    a matrix for each axis, and products of matrices are what a processor does best. No more than a few slices of the
    scan are in memory as float32.
    Labels get the class whose linearly interpolated mask is largest (the lowest id of equals), dtype kept.
    Only one class's mask is in memory at a time, inside the class's own bounding box.

    Args:
        within: a box of the new voxels, which alone are made: those that the whole would have there. For images.
    """
    old = volume.spacing_DHW
    shape = volume.array_DHW.shape
    sizes = size_at(volume, spacing_DHW)
    d, h, w = (n * a / size for n, a, size in zip(shape, old, sizes, strict=True))
    if kind == "image":
        array = _resize_image(volume.array_DHW, sizes, within or [slice(0, size) for size in sizes])
    else:
        array = volume.array_DHW if shape == sizes else _resize_label(volume.array_DHW, sizes)
    return Volume(array, (d, h, w))


def _resize_image(image_DHW: np.ndarray, sizes: Size, within: Sequence[slice]) -> NDArray[np.float32]:
    along_d, along_h, along_w = (_Along(*each) for each in zip(image_DHW.shape, sizes, within, strict=True))
    plane_DHW = np.empty((len(along_d.needed), len(along_h.made), len(along_w.made)), np.float32)
    with threadpool_limits(1, "blas"):  # of products this small, several threads mostly wait for each other
        for start in range(0, len(along_d.needed), _SLICES):
            slices = along_d.needed[start : start + _SLICES]
            part_DHW = image_DHW[slices.start : slices.stop, along_h.needed.start : along_h.needed.stop]
            part_DHW = part_DHW[..., along_w.needed.start : along_w.needed.stop].astype(np.float32)
            plane_DHW[start : start + len(slices)] = along_h.of_rows(along_w.of_columns(part_DHW))
        return along_d.of_slices(plane_DHW)


class _Along:
    """One axis's Gaussian and interpolation as a matrix, from the old voxels that are needed to the new ones.

    Attributes:
        needed: the old voxels that have an influence.
        made: the new ones.
    """

    def __init__(self, n: int, size: int, within: slice) -> None:
        self.made = range(within.start, within.stop)
        self._changes = n != size
        self.needed, self._matrix = self.made, np.empty((0, 0), np.float32)
        if self._changes:
            index_NT, weight_NT = _influences(n, size, self.made)
            first, last = (int(each) for each in (index_NT.min(), index_NT.max()))
            self.needed = range(first, last + 1)
            self._matrix = np.zeros((len(self.made), len(self.needed)), np.float32)
            np.add.at(self._matrix, (np.arange(len(self.made))[:, None], index_NT - first), weight_NT)

    def of_columns(self, array_DHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Along the last axis."""
        if not self._changes:
            return array_DHW
        new_DHW = np.empty((*array_DHW.shape[:2], len(self.made)), np.float32)
        for block, old, matrix in self._blocks():
            np.matmul(array_DHW[..., old], matrix.T, out=new_DHW[..., block])
        return new_DHW

    def of_rows(self, array_DHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Along the middle axis."""
        if not self._changes:
            return array_DHW
        new_DHW = np.empty((len(array_DHW), len(self.made), array_DHW.shape[2]), np.float32)
        for block, old, matrix in self._blocks():
            np.matmul(matrix, array_DHW[:, old], out=new_DHW[:, block])
        return new_DHW

    def of_slices(self, array_DHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Along the first axis."""
        if not self._changes:
            return array_DHW
        old_DN = array_DHW.reshape(len(array_DHW), -1)
        new_DN = np.empty((len(self.made), old_DN.shape[1]), np.float32)
        for block, old, matrix in self._blocks():
            np.matmul(matrix, old_DN[old], out=new_DN[block])
        return new_DN.reshape(-1, *array_DHW.shape[1:])

    def _blocks(self) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
        """Some new voxels, the old ones that they need, and the part of the matrix between them."""
        for start in range(0, len(self.made), _BLOCK):
            rows = self._matrix[start : start + _BLOCK]
            columns = np.flatnonzero(rows.any(0))
            old = slice(int(columns[0]), int(columns[-1]) + 1)
            yield slice(start, start + len(rows)), old, rows[:, old]


def _influences(n: int, size: int, made: range) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each new voxel the old ones that it is made of (one may come several times), and their weights."""
    low_N, high_N, share_N = (each[made.start : made.stop] for each in _taps(n, size))
    sigma = max(n / size - 1, 0) / 2
    offset_T = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)  # cut at four sigma, as scipy's filter is
    gaussian_T = np.exp(-0.5 * (offset_T / sigma) ** 2) if len(offset_T) > 1 else np.ones(1)
    gaussian_T /= gaussian_T.sum()
    index_NT = np.concatenate([low_N[:, None] + offset_T, high_N[:, None] + offset_T], 1)
    weight_NT = np.concatenate([np.outer(1 - share_N, gaussian_T), np.outer(share_N, gaussian_T)], 1)
    return np.clip(index_NT, 0, n - 1), weight_NT.astype(np.float32)


def _resize_label(label_DHW: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    result = np.zeros(sizes, label_DHW.dtype)
    best = np.full(sizes, -1, np.float32)
    for value, box in _boxes(label_DHW):
        mask: np.ndarray = (label_DHW[box] == value).astype(np.float32)
        reached = [_reached(n, size, each) for n, size, each in zip(label_DHW.shape, sizes, box, strict=True)]
        for axis, size in enumerate(sizes):
            mask = _interpolate(mask, axis, size, box[axis], reached[axis], full=label_DHW.shape[axis])
        place = tuple(reached)
        better = mask > best[place]
        best[place][better] = mask[better]
        result[place][better] = value
    return result


def _boxes(label_DHW: np.ndarray) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Each id that occurs, in rising order, and a box that holds it; the background's box is everything."""
    yield 0, tuple(slice(0, n) for n in label_DHW.shape)
    yield from class_boxes(label_DHW)


def _taps(n: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per output voxel: the two input voxels it lies between, and the weight of the second."""
    position = np.clip((np.arange(size) + 0.5) * (n / size) - 0.5, 0, n - 1)
    low = np.floor(position).astype(np.int64)
    return low, np.minimum(low + 1, n - 1), (position - low).astype(np.float32)


def _reached(n: int, size: int, box: slice) -> slice:
    """The output voxels on which input voxels inside the box have an influence."""
    low, high, _ = _taps(n, size)
    touched = np.flatnonzero((high >= box.start) & (low < box.stop))
    return slice(int(touched[0]), int(touched[-1]) + 1) if touched.size else slice(0, 0)


def _interpolate(
    array: np.ndarray, axis: int, size: int, box: slice, reached: slice, *, full: int | None = None
) -> np.ndarray:
    """Linear interpolation of one axis to ``size`` voxels.

    ``array`` is the part ``box`` of an axis of ``full`` voxels, zero outside; only ``reached`` is computed.
    """
    n = array.shape[axis] if full is None else full
    if size == n and box == reached:
        return array
    low, high, weight = (taps[reached] for taps in _taps(n, size))
    start = box.start or 0
    shape = [-1 if each == axis else 1 for each in range(array.ndim)]
    lower, upper = _take(array, low - start, axis), _take(array, high - start, axis)
    upper -= lower  # in place: a scan may be hundreds of megabytes
    upper *= weight.reshape(shape)
    lower += upper
    return lower


def _take(array: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    """``np.take``, with zeros where the index lies outside the array."""
    inside = (index >= 0) & (index < array.shape[axis])
    taken = np.take(array, np.where(inside, index, 0), axis)
    if not inside.all():
        np.moveaxis(taken, axis, 0)[~inside] = 0
    return taken
