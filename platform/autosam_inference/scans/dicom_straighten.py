"""Slices that no even grid holds, resampled to one: gantry tilt, uneven spacing, slices shifted sideways."""

import math

import numpy as np

from autosam_inference.scans.dicom_geometry import Stack, ras_affine
from autosam_inference.scans.dicom_pixels import AIR_HU


def straightened(stack: Stack, hu_DHW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The volume on a grid of right angles with the slices' usual distance, and its affine (RAS).

    Linear between slices and within them; what no slice reaches is air. The grid is as wide as all slices together.

    Args:
        hu_DHW: slices, rows, columns.
    """
    offsets = stack.positions - stack.positions[0]
    across = np.column_stack([offsets @ stack.column / stack.spacing[1], offsets @ stack.row / stack.spacing[0]])
    along = offsets @ stack.normal
    usual = float(np.median(np.diff(along)))
    count = max(2, math.ceil(along[-1] / usual - 0.01) + 1)  # never coarser than they were
    least = across.min(axis=0)
    rows, columns = (math.ceil(round(extent, 6)) for extent in np.ptp(across, axis=0))
    result = np.empty((count, hu_DHW.shape[1] + rows, hu_DHW.shape[2] + columns), hu_DHW.dtype)
    canvas = _Canvas(hu_DHW, across - least, (rows, columns))
    for place, height in enumerate(np.linspace(0, along[-1], count)):
        below = min(int(np.searchsorted(along, height, side="right")) - 1, len(along) - 2)
        share = (height - along[below]) / (along[below + 1] - along[below])
        plane = canvas.plane(below) if share < 1 - 1e-6 else canvas.plane(below + 1)
        if 1e-6 < share < 1 - 1e-6:
            plane = plane * (1 - share) + canvas.plane(below + 1) * share
        result[place] = plane if result.dtype.kind == "f" else np.rint(plane)
    down, right = least * (stack.spacing[1], stack.spacing[0])
    origin = stack.positions[0] + stack.column * down + stack.row * right
    step = stack.normal * (along[-1] / (count - 1))
    return result, ras_affine(stack.row * stack.spacing[0], stack.column * stack.spacing[1], step, origin)


class _Canvas:
    """Slices moved to where they lie in a wider plane; the last two are kept."""

    def __init__(self, hu_DHW: np.ndarray, offsets: np.ndarray, wider: tuple[int, int]) -> None:
        self._hu_DHW, self._offsets, self._wider = hu_DHW, offsets, wider
        self._planes: dict[int, np.ndarray] = {}

    def plane(self, place: int) -> np.ndarray:
        if place not in self._planes:
            self._planes = {each: self._planes[each] for each in self._planes if each >= place - 1}
            rows, columns = self._wider
            padded = np.pad(self._hu_DHW[place].astype(np.float32), ((0, rows), (0, columns)), constant_values=AIR_HU)
            down, right = self._offsets[place]
            self._planes[place] = _moved(_moved(padded, down).T, right).T
        return self._planes[place]


def _moved(plane_HW: np.ndarray, offset: float) -> np.ndarray:
    """The rows moved down by ``offset`` ≥ 0 voxels, linear between two; air before the first."""
    whole, share = divmod(round(float(offset), 6), 1)  # a billionth of a voxel more must not cost the first row
    start = int(whole)
    kept = plane_HW[: len(plane_HW) - start]
    moved = np.full_like(plane_HW, AIR_HU)
    moved[start:] = kept
    if share:
        moved[start] = AIR_HU
        moved[start + 1 :] = kept[1:] * (1 - share) + kept[:-1] * share
    return moved
