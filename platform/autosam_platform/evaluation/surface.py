"""Distances between the surfaces of two masks: the normalised surface distance (NSD) and HD95.

The definition is that of Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head
and neck anatomy" (arXiv:1809.04430), as their `surface-distance` computes it: the surface of a mask lies
between the voxels; every 2×2×2 neighbourhood that is neither all inside nor all outside holds a surface
element, whose area follows from which of the eight voxels are inside and from the spacing. The table of areas
is MONAI's copy of theirs. They measure distances with transforms of the whole box, we ask for those of the
surface elements alone: the tests compare both, and docs/log.md (2026-11-23, "Dice, NSD and HD95") has the times.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Spacing = tuple[float, float, float]

# Distances are sums and roots of products of floats: one that equals the tolerance on paper must count as
# equal.
_ROUNDING_MM = 1e-6


class Surface(NamedTuple):
    """Surface elements of one mask. They lie on corners of voxels, of which a mask has (D+1, H+1, W+1)."""

    corners_N: NDArray[np.intp]
    """On which corners, counted through the flattened grid, ascending."""
    points_N3: NDArray[np.float64]
    """Where that is, in mm along depth, height and width."""
    areas_N: NDArray[np.float64]
    """Their areas in mm²."""


class Distances(NamedTuple):
    """How far the surface elements of one mask are from the surface of another."""

    distances_N: NDArray[np.float64]
    """To the nearest element of the other surface, in mm."""
    areas_N: NDArray[np.float64]
    """Areas of the elements in mm²."""


def surface_distances(
    prediction_DHW: NDArray[np.bool_], truth_DHW: NDArray[np.bool_], spacing_DHW: Spacing
) -> tuple[Distances, Distances]:
    """Distances from the prediction's surface to the truth's, and from the truth's to the prediction's.

    Args:
        prediction_DHW, truth_DHW: masks of the same shape, both with at least one voxel inside; what lies
            beyond the array is outside, so a mask cut by the scan's edge has a surface there.
        spacing_DHW: mm.

    Raises:
        ValueError: a mask is empty, and so has no surface.
    """
    predicted = surface_of(prediction_DHW, spacing_DHW)
    true = surface_of(truth_DHW, spacing_DHW)
    if not predicted.areas_N.size or not true.areas_N.size:
        raise ValueError("an empty mask has no surface: decide what its score is before asking for a distance")
    return _nearest(predicted, true), _nearest(true, predicted)


def normalised_surface_distance(distances: Sequence[Distances], tolerance_mm: float) -> float:
    """Share of both surfaces' area that lies within ``tolerance_mm`` of the other surface, between 0 and 1."""
    reach = tolerance_mm + _ROUNDING_MM
    agreeing = sum(each.areas_N[each.distances_N <= reach].sum() for each in distances)
    return float(agreeing / sum(each.areas_N.sum() for each in distances))


def hausdorff_95(distances: Sequence[Distances]) -> float:
    """Distance in mm within which 95 % of either surface's area lies from the other surface (HD95)."""
    return max(_percentile_95(each) for each in distances)


def surface_of(mask_DHW: NDArray[np.bool_], spacing_DHW: Spacing) -> Surface:
    """The surface elements of a mask; coordinates count from the corner before its first voxel."""
    corners, codes = [], []
    for layer, code_HW in enumerate(_neighbour_codes(mask_DHW)):
        at = np.flatnonzero((code_HW != 0) & (code_HW != 255))
        corners.append(at + layer * code_HW.size)
        codes.append(code_HW.ravel()[at])
    corners_N = np.concatenate(corners)
    grid = tuple(side + 1 for side in mask_DHW.shape)
    points_N3 = np.stack(np.unravel_index(corners_N, grid), axis=1) * np.asarray(spacing_DHW)
    return Surface(corners_N, points_N3, _areas(tuple(spacing_DHW))[np.concatenate(codes)])


def _neighbour_codes(mask_DHW: NDArray[np.bool_]) -> Iterator[NDArray[np.uint8]]:
    """One bit for each of the eight voxels around every corner, the first voxel in the highest bit.

    One layer of corners after the other: what one needs stays in the processor's cache, and whole boxes of codes
    would take more memory than the scan.
    """
    _, height, width = mask_DHW.shape
    padded_HW = np.zeros((height + 2, width + 2), np.uint8)
    below_HW = np.zeros((height + 1, width + 1), np.uint8)
    for slice_HW in (*mask_DHW, False):
        padded_HW[1:-1, 1:-1] = slice_HW
        pairs_HW = padded_HW[:, :-1] << np.uint8(1) | padded_HW[:, 1:]
        above_HW = pairs_HW[:-1] << np.uint8(2) | pairs_HW[1:]
        yield below_HW << np.uint8(4) | above_HW
        below_HW = above_HW


@functools.lru_cache(maxsize=8)
def _areas(spacing_DHW: Spacing) -> NDArray[np.float64]:
    """Area in mm² for each of the 256 neighbourhoods."""
    from monai.metrics.utils import create_table_neighbour_code_to_surface_area  # takes seconds to import

    table, _ = create_table_neighbour_code_to_surface_area(spacing_DHW)
    return table.numpy().astype(np.float64)


def _nearest(surface: Surface, other: Surface) -> Distances:
    distances_N = np.zeros(len(surface.areas_N))
    # Where the surfaces coincide, on about half of a good prediction's, there is nothing to look for.
    apart_N = ~np.isin(surface.corners_N, other.corners_N, assume_unique=True)
    # A tree that is neither balanced nor shrunk to its points is made and searched fastest on such a grid.
    tree = KDTree(other.points_N3, leafsize=32, compact_nodes=False, balanced_tree=False)
    distances_N[apart_N], _ = tree.query(surface.points_N3[apart_N])
    return Distances(distances_N, surface.areas_N)


def _percentile_95(one: Distances) -> float:
    """The distance at which the elements, from the nearest to the farthest, come to 95 % of the area."""
    order_N = one.distances_N.argsort()
    share_N = one.areas_N[order_N].cumsum() / one.areas_N.sum()
    return float(one.distances_N[order_N[share_N.searchsorted(0.95)]])
