"""From logits on the prepared grid to labels on the scan's own, a slice at a time.

What is computed is ``interpolate(logits, size, mode="trilinear", align_corners=False).argmax``: grids whose
edges coincide, as in ``scans.resampling.resample``. Written out, that is K floats for every voxel of the scan
(14 classes of 512 × 512 × 600 voxels: 8.8 GB). Two things spare nearly all of it. Trilinear interpolation is
linear along the depth and then bilinear in the plane, so a slice of the scan needs only the two prepared slices
around it. And it is a weighted mean of eight logits: a class that has the largest one at all eight corners of a
cell has the largest one everywhere inside. So only the cells at the organs' borders are interpolated.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import array_api_compat.numpy as numpy_namespace
import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from autosam_inference.arrays import Array, lerp, most_probable, to_numpy
from autosam_inference.sliding_window import Slab
from autosam_models.sizes import Size

_MIXED = 255  # no class: a cell whose corners differ


class Part(NamedTuple):
    """Some voxels, one after another, of an axis of the prepared grid."""

    start: int
    stop: int
    of: int


class _Slice(NamedTuple):
    """One prepared slice: its logits, and for each cell the class of all its four corners, or ``_MIXED``."""

    logits_KHW: Array
    cell_HW: Array


class _Axis(NamedTuple):
    """For each native place along an axis the prepared ones below and above it, and the share of the upper."""

    lower_N: Array
    upper_N: Array
    share_N: Array


def native_range(part: Part, native: int) -> slice:
    """The places of an axis of ``native`` voxels over the same length whose middles lie in the part.

    >>> [native_range(Part(start, start + 2, 4), 6) for start in (0, 2)]
    [slice(0, 3, None), slice(3, 6, None)]
    """
    start, stop = (max(0, -(-(2 * end * native - part.of) // (2 * part.of))) for end in (part.start, part.stop))
    return slice(start, stop)


def labels_on_grid(
    slabs: Iterable[Slab], depth: int, size: Size, parts: tuple[Part, Part, Part] | None = None
) -> NDArray[np.uint8]:
    """Label map of ``size`` from slabs that follow one another; they may lie on any device.

    Args:
        slabs: logits on the prepared grid, from the lowest slice to the highest.
        depth: slices of the prepared grid.
        size: depth, height and width of the scan's own grid, which spans the same box; the axis that the slabs follow
            one another along comes first.
        parts: the box that the slabs cover, where they do not cover the prepared grid; outside all is background.

    Raises:
        ValueError: the slabs do not cover the depth without gaps.
    """
    label_DHW = np.zeros(size, np.uint8)
    whole = Part(0, depth, depth)
    along_depth = _axis(parts[0] if parts else whole, size[0], numpy_namespace, "cpu")
    inside = tuple(native_range(part, n) for part, n in zip(parts, size, strict=True)) if parts else (slice(None),) * 3
    label_of_box = label_DHW[inside]  # a view
    below: _Slice | None = None  # the last slice of the slab before
    reached, native = 0, 0
    for slab in slabs:
        if slab.start != reached:
            raise ValueError(f"a slab begins at slice {slab.start}, but the one before ended at {reached}")
        reached = slab.stop
        slices = _slices(slab)
        if below is not None:
            slices[slab.start - 1] = below
        xp, place = array_namespace(slab.logits_KDHW), device(slab.logits_KDHW)
        planes = parts[1:] if parts else [Part(0, n, n) for n in slab.logits_KDHW.shape[2:]]
        h, w = (_axis(part, n, xp, place) for part, n in zip(planes, size[1:], strict=True))
        while native < len(label_of_box) and (upper := int(along_depth.upper_N[native])) < reached:
            lower = slices[int(along_depth.lower_N[native])]
            label_of_box[native] = to_numpy(_labels(lower, slices[upper], float(along_depth.share_N[native]), h, w))
            native += 1
        last = slices[slab.stop - 1]
        below = _Slice(xp.asarray(last.logits_KHW, copy=True), last.cell_HW)
    if reached != depth:
        raise ValueError(f"the slabs end at slice {reached} of {depth}")
    return label_DHW


def _axis(part: Part, native: int, xp: Any, place: Any) -> _Axis:
    inside, last = native_range(part, native), part.stop - part.start - 1
    place_N = xp.arange(inside.start, inside.stop, dtype=xp.float64, device=place)
    position_N = xp.clip((place_N + 0.5) * part.of / native - 0.5 - part.start, min=0)
    lower_N = xp.clip(xp.astype(position_N, xp.int64), max=last)
    return _Axis(lower_N, xp.clip(lower_N + 1, max=last), xp.astype(position_N - lower_N, xp.float32))


def _slices(slab: Slab) -> dict[int, _Slice]:
    xp = array_namespace(slab.logits_KDHW)
    label_DHW = most_probable(slab.logits_KDHW)
    following_h = xp.concat([label_DHW[:, 1:], label_DHW[:, -1:]], axis=1)
    mixed = label_DHW != following_h
    for label in (label_DHW, following_h):
        mixed |= label_DHW != xp.concat([label[..., 1:], label[..., -1:]], axis=2)
    label_DHW[mixed] = _MIXED
    return {slab.start + place: _Slice(slab.logits_KDHW[:, place], label_DHW[place]) for place in range(len(label_DHW))}


def _labels(lower: _Slice, upper: _Slice, share: float, h: _Axis, w: _Axis) -> Array:
    """Label map of one native slice, ``share`` of the way from one prepared slice to the next."""
    xp = array_namespace(lower.cell_HW)
    cell_HW = xp.where(lower.cell_HW == upper.cell_HW, lower.cell_HW, _MIXED)  # faster than to index by a mask
    label_HW = cell_HW[h.lower_N][:, w.lower_N]
    rows_N, columns_N = xp.nonzero(label_HW == _MIXED)
    logits_KHW = lerp(lower.logits_KHW, upper.logits_KHW, share)
    label_HW[rows_N, columns_N] = most_probable(_bilinear(logits_KHW, h, w, rows_N, columns_N))
    return label_HW


def _bilinear(logits_KHW: Array, h: _Axis, w: _Axis, rows_N: Array, columns_N: Array) -> Array:
    """Logits at some native places of a slice: ``(K, N)``."""
    classes, _, width = logits_KHW.shape
    logits_KP = logits_KHW.reshape(classes, -1)
    left_N, right_N, across_N = (values[columns_N] for values in w)
    above_KN, below_KN = (
        lerp(logits_KP[:, row_N * width + left_N], logits_KP[:, row_N * width + right_N], across_N)
        for row_N in (h.lower_N[rows_N], h.upper_N[rows_N])
    )
    return lerp(above_KN, below_KN, h.share_N[rows_N])
