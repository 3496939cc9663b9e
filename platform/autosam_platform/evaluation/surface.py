"""Normalised surface distance (NSD) with area-weighted surface elements.

The definition is that of Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head
and neck anatomy" (arXiv:1809.04430), as their `surface-distance` computes it: the surface of a mask lies
between the voxels; every 2×2×2 neighbourhood that is neither all inside nor all outside holds a surface
element, whose area follows from which of the eight voxels are inside and from the spacing. MONAI's
`compute_surface_dice` with `use_subvoxels=True` computes the same; it is the reference of the tests and gives
the table of areas. For 13 organs in 300 × 480 × 480 voxels it takes 31 s and 3.7 GB on one core where this
takes 3 s and 0.1 GB, hence the own code.
"""

from typing import NamedTuple

import numpy as np
from monai.metrics.utils import create_table_neighbour_code_to_surface_area
from numpy.typing import NDArray
from scipy.spatial import KDTree

Spacing = tuple[float, float, float]

# Distances are sums and roots of products of floats: one that equals the tolerance on paper must count as
# equal.
_ROUNDING_MM = 1e-6


class Surface(NamedTuple):
    """Surface elements of one mask."""

    points_N3: NDArray[np.float64]
    """Where they are, in mm along depth, height and width."""
    areas_N: NDArray[np.float32]
    """Their areas in mm²."""


def normalised_surface_distance(
    prediction_DHW: NDArray[np.bool_], truth_DHW: NDArray[np.bool_], spacing_DHW: Spacing, tolerance_mm: float
) -> float:
    """Share of both surfaces' area that lies within ``tolerance_mm`` of the other surface, between 0 and 1.

    Args:
        prediction_DHW, truth_DHW: masks of the same shape, both with at least one voxel inside; what lies
            beyond the array is outside, so a mask cut by the scan's edge has a surface there.
        spacing_DHW: mm.

    Raises:
        ValueError: a mask is empty, and so has no surface.
    """
    if not prediction_DHW.any() or not truth_DHW.any():
        raise ValueError("an empty mask has no surface: decide what its score is before asking for a distance")
    predicted = surface_of(prediction_DHW, spacing_DHW)
    true = surface_of(truth_DHW, spacing_DHW)
    agreeing = _area_within(predicted, true, tolerance_mm) + _area_within(true, predicted, tolerance_mm)
    return float(agreeing / (predicted.areas_N.sum(dtype=float) + true.areas_N.sum(dtype=float)))


def surface_of(mask_DHW: NDArray[np.bool_], spacing_DHW: Spacing) -> Surface:
    """The surface elements of a mask; coordinates count from the corner before its first voxel."""
    code_DHW = _neighbour_codes(mask_DHW)
    at = np.nonzero((code_DHW != 0) & (code_DHW != 255))
    table, _ = create_table_neighbour_code_to_surface_area(spacing_DHW)
    return Surface(np.stack(at, axis=1) * np.asarray(spacing_DHW), table.numpy()[code_DHW[at]])


def _neighbour_codes(mask_DHW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """One bit for each of the eight voxels around every corner, the first voxel in the highest bit."""
    padded = np.pad(mask_DHW, 1).view(np.uint8)
    depth, height, width = (size - 1 for size in padded.shape)
    code_DHW = np.zeros((depth, height, width), np.uint8)
    for bit, (d, h, w) in enumerate(np.ndindex(2, 2, 2)):
        code_DHW |= padded[d : d + depth, h : h + height, w : w + width] << np.uint8(7 - bit)
    return code_DHW


def _area_within(surface: Surface, other: Surface, tolerance_mm: float) -> float:
    reach = tolerance_mm + _ROUNDING_MM
    distance, _ = KDTree(other.points_N3, leafsize=32).query(surface.points_N3, distance_upper_bound=reach)
    return float(surface.areas_N[np.isfinite(distance)].sum(dtype=float))
