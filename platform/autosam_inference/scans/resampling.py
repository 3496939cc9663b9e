"""From one voxel spacing to another: linear, without aliasing, edges of the volume kept; labels by the largest mask."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from autosam_inference.scans.class_boxes import class_boxes
from autosam_inference.scans.grid import Volume

Kind = Literal["image", "label"]

_DIGITS = 4  # of a size in voxels; the rest is rounding of spacings


def resample(volume: Volume, spacing_DHW: tuple[float, float, float], kind: Kind = "image") -> Volume:
    """Resample to a spacing in mm; the outer edges of the volume stay where they are.

    The size becomes round(n · old / new), at least 1, so the spacing that comes out differs a little from the
    one asked for; the returned volume carries the true one.

    Images are interpolated linearly, after a Gaussian against aliasing along the axes that shrink
    (sigma = (shrink factor − 1) / 2 voxels, as in scikit-image's ``resize``); the result is float32.
    Labels get the class whose linearly interpolated mask is largest (the lowest id of equals), dtype kept.
    Only one class's mask is in memory at a time, inside the class's own bounding box.
    """
    old = volume.spacing_DHW
    shape = volume.array_DHW.shape
    # A spacing read from a header is a little off the one meant: 2.9999998 in place of 3 must not cost a slice.
    sizes = [max(1, round(round(n * a / b, _DIGITS))) for n, a, b in zip(shape, old, spacing_DHW, strict=True)]
    d, h, w = (n * a / size for n, a, size in zip(shape, old, sizes, strict=True))
    if list(shape) == sizes:
        array = volume.array_DHW.astype(np.float32, copy=False) if kind == "image" else volume.array_DHW
    elif kind == "image":
        array = _resize_image(volume.array_DHW, sizes)
    else:
        array = _resize_label(volume.array_DHW, sizes)
    return Volume(array, (d, h, w))


def _resize_image(image_DHW: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    array = image_DHW.astype(np.float32, copy=False)
    factors = [n / size for n, size in zip(array.shape, sizes, strict=True)]
    for axis in sorted(range(3), key=lambda each: -factors[each]):  # the strongest shrink first: least work
        if array.shape[axis] != sizes[axis]:
            array = _filtered(array, axis, _weights(array.shape[axis], sizes[axis]))
    return array


def _weights(n: int, size: int) -> np.ndarray:
    """What each of ``n`` voxels adds to each of ``size``: the filter against aliasing, then linear interpolation."""
    low, high, weight = _taps(n, size)
    rows = np.arange(size)
    linear = np.zeros((size, n))
    np.add.at(linear, (rows, low), 1 - weight)
    np.add.at(linear, (rows, high), weight)
    return (linear @ _gaussian(n, (n / size - 1) / 2)).astype(np.float32)


def _gaussian(n: int, sigma: float) -> np.ndarray:
    """A Gaussian over ``n`` voxels, out to 4 sigma, as a matrix; beyond the ends the last voxel goes on."""
    if sigma <= 0:
        return np.eye(n)
    offsets = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    rows = np.arange(n)[:, None]
    matrix = np.zeros((n, n))
    np.add.at(matrix, (rows, np.clip(rows + offsets, 0, n - 1)), kernel / kernel.sum())
    return matrix


def _filtered(array_DHW: np.ndarray, axis: int, weights: np.ndarray) -> np.ndarray:
    """One axis times ``weights`` (outputs, inputs), plane by plane, since a plane stays in the processor's cache."""
    first, shares = _neighbours(weights)
    shape = [len(weights) if each == axis else n for each, n in enumerate(array_DHW.shape)]
    result = np.zeros(shape, np.float32)
    across, along = (1, 0) if axis == 0 else (0, axis - 1)  # of the volume; of a plane
    for plane, filtered in zip(np.moveaxis(array_DHW, across, 0), np.moveaxis(result, across, 0), strict=True):
        neighbour = np.empty(filtered.shape, np.float32)
        for step, share in enumerate(shares):
            np.take(plane, first + step, along, out=neighbour, mode="clip")  # beyond the last a share is 0
            neighbour *= share if along else share[:, None]
            filtered += neighbour
    return result


def _neighbours(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each output the first input that counts, and (neighbours, outputs) the shares of it and those after it."""
    counts = weights != 0
    first = counts.argmax(axis=1)
    reach = int((weights.shape[1] - counts[:, ::-1].argmax(axis=1) - first).max())
    padded = np.pad(weights, ((0, 0), (0, reach)))
    return first, np.ascontiguousarray(np.take_along_axis(padded, first[:, None] + np.arange(reach), axis=1).T)


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
