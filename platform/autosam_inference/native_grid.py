"""From logits on the prepared grid to labels on the scan's own, a slice at a time.

What is computed is ``interpolate(logits, size, mode="trilinear", align_corners=False).argmax``: grids whose
edges coincide, as in ``scans.resampling.resample``. Written out, that is K floats for every voxel of the scan
(14 classes of 512 × 512 × 600 voxels: 8.8 GB). Two things spare nearly all of it. Trilinear interpolation is
linear along the depth and then bilinear in the plane, so a slice of the scan needs only the two prepared slices
around it. And it is a weighted mean of eight logits: a class that has the largest one at all eight corners of a
cell has the largest one everywhere inside. So only the cells at the organs' borders are interpolated.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from autosam_inference.windows import Size, Slab, most_probable

_MIXED = 255  # no class: a cell whose corners differ


class _Slice(NamedTuple):
    """One prepared slice: its logits, and for each cell the class of all its four corners, or ``_MIXED``."""

    logits_KHW: Tensor
    cell_HW: Tensor


class _Axis(NamedTuple):
    """For each native place along an axis the prepared ones below and above it, and the share of the upper."""

    lower_N: Tensor
    upper_N: Tensor
    share_N: Tensor


def labels_on_grid(slabs: Iterable[Slab], depth: int, size: Size) -> Tensor:
    """Label map of ``size``, uint8 on the CPU, from slabs that follow one another.

    Args:
        slabs: logits on the prepared grid, from the lowest slice to the highest.
        depth: slices of the prepared grid.
        size: depth, height and width of the scan's own grid, which spans the same box; the axis that the slabs follow
            one another along comes first.

    Raises:
        ValueError: the slabs do not cover the depth without gaps.
    """
    label_DHW = torch.empty(size, dtype=torch.uint8)
    along_depth = _axis(depth, size[0], torch.device("cpu"))
    below: _Slice | None = None  # the last slice of the slab before
    reached, native = 0, 0
    for slab in slabs:
        if slab.start != reached:
            raise ValueError(f"a slab begins at slice {slab.start}, but the one before ended at {reached}")
        reached = slab.stop
        slices = _slices(slab)
        if below is not None:
            slices[slab.start - 1] = below
        axes = [_axis(n, m, slab.logits_KDHW.device) for n, m in zip(slab.logits_KDHW.shape[2:], size[1:], strict=True)]
        while native < size[0] and (upper := int(along_depth.upper_N[native])) < reached:
            lower = slices[int(along_depth.lower_N[native])]
            label_DHW[native] = _labels(lower, slices[upper], float(along_depth.share_N[native]), *axes).cpu()
            native += 1
        last = slices[slab.stop - 1]
        below = _Slice(last.logits_KHW.clone(), last.cell_HW)
    if reached != depth:
        raise ValueError(f"the slabs end at slice {reached} of {depth}")
    return label_DHW


def _axis(prepared: int, native: int, device: torch.device) -> _Axis:
    place_N = torch.arange(native, dtype=torch.float64, device=device)
    position_N = ((place_N + 0.5) * prepared / native - 0.5).clamp(min=0)
    lower_N = position_N.long().clamp(max=prepared - 1)
    return _Axis(lower_N, (lower_N + 1).clamp(max=prepared - 1), (position_N - lower_N).float())


def _slices(slab: Slab) -> dict[int, _Slice]:
    label_DHW = most_probable(slab.logits_KDHW)
    following_h = torch.cat([label_DHW[:, 1:], label_DHW[:, -1:]], dim=1)
    mixed = label_DHW != following_h
    for label in (label_DHW, following_h):
        mixed |= label_DHW != torch.cat([label[..., 1:], label[..., -1:]], dim=2)
    cell_DHW = label_DHW.masked_fill_(mixed, _MIXED)
    return {slab.start + place: _Slice(slab.logits_KDHW[:, place], cell_DHW[place]) for place in range(len(cell_DHW))}


def _labels(lower: _Slice, upper: _Slice, share: float, h: _Axis, w: _Axis) -> Tensor:
    """Label map of one native slice, ``share`` of the way from one prepared slice to the next."""
    cell_HW = lower.cell_HW.masked_fill(lower.cell_HW != upper.cell_HW, _MIXED)
    label_HW = cell_HW[h.lower_N][:, w.lower_N]
    rows_N, columns_N = torch.nonzero(label_HW == _MIXED, as_tuple=True)
    logits_KHW = torch.lerp(lower.logits_KHW, upper.logits_KHW, share)
    label_HW[rows_N, columns_N] = most_probable(_bilinear(logits_KHW, h, w, rows_N, columns_N))
    return label_HW


def _bilinear(logits_KHW: Tensor, h: _Axis, w: _Axis, rows_N: Tensor, columns_N: Tensor) -> Tensor:
    """Logits at some native places of a slice: ``(K, N)``."""
    logits_KP = logits_KHW.flatten(1)
    width = logits_KHW.shape[2]
    left_N, right_N, across_N = (values[columns_N] for values in w)
    above_KN, below_KN = (
        torch.lerp(logits_KP[:, row_N * width + left_N], logits_KP[:, row_N * width + right_N], across_N)
        for row_N in (h.lower_N[rows_N], h.upper_N[rows_N])
    )
    return torch.lerp(above_KN, below_KN, h.share_N[rows_N])
