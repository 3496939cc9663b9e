"""From logits on the prepared grid to labels on the scan's own, a slice at a time.

What is computed is ``interpolate(logits, size, mode="trilinear", align_corners=False).argmax``: grids whose
edges coincide, as in ``data.geometry.resample``. Written out, that is K floats for every voxel of the scan
(14 classes of 512 × 512 × 600 voxels: 8.8 GB). Trilinear interpolation is linear along the depth and then
bilinear in the plane, so a slice of the scan needs only the two prepared slices around it.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from autosam_platform.inference.sliding_window import Size, Slab, most_probable


def labels_on_grid(slabs: Iterable[Slab], depth: int, size: Size) -> Tensor:
    """Label map of ``size``, uint8 on the CPU, from slabs that follow one another.

    Args:
        slabs: logits on the prepared grid, from the lowest slice to the highest.
        depth: slices of the prepared grid.
        size: depth, height and width of the scan's own grid, which spans the same box.

    Raises:
        ValueError: the slabs do not cover the depth without gaps.
    """
    label_DHW = torch.empty(size, dtype=torch.uint8)
    below_KHW: Tensor | None = None  # the last slice of the slab before
    reached, native = 0, 0
    for slab in slabs:
        if slab.start != reached:
            raise ValueError(f"a slab begins at slice {slab.start}, but the one before ended at {reached}")
        reached = slab.stop
        while native < size[0]:
            lower, upper, share = _neighbours(native, depth, size[0])
            if upper >= reached:
                break
            lower_KHW = below_KHW if lower < slab.start else slab.logits_KDHW[:, lower - slab.start]
            assert lower_KHW is not None
            upper_KHW = lower_KHW if upper == lower else slab.logits_KDHW[:, upper - slab.start]
            label_DHW[native] = _labels_of_slice(torch.lerp(lower_KHW, upper_KHW, share), size[1:])
            native += 1
        below_KHW = slab.logits_KDHW[:, -1].clone()
    if reached != depth:
        raise ValueError(f"the slabs end at slice {reached} of {depth}")
    return label_DHW


def _neighbours(native: int, depth: int, native_depth: int) -> tuple[int, int, float]:
    """The prepared slices below and above a slice of the scan, and the share of the upper one."""
    position = max((native + 0.5) * depth / native_depth - 0.5, 0.0)
    lower = min(math.floor(position), depth - 1)
    return lower, min(lower + 1, depth - 1), position - lower


def _labels_of_slice(logits_KHW: Tensor, size: tuple[int, int]) -> Tensor:
    native_KHW = F.interpolate(logits_KHW[None], size=size, mode="bilinear", align_corners=False)[0]
    return most_probable(native_KHW).cpu()
