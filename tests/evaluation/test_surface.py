"""NSD and HD95 against values by hand, a brute-force reference, MONAI's and DeepMind's implementations."""

import itertools
import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_surface_dice
from monai.metrics.utils import create_table_neighbour_code_to_surface_area
from numpy.typing import NDArray
from reference.metrics_reference import reference_metrics
from scipy import ndimage

from autosam_platform.evaluation.surface import (
    hausdorff_95,
    normalised_surface_distance,
    surface_distances,
    surface_of,
)

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]
SPACING_DHW = (3.0, 0.7, 1.3)


def box(shape: tuple[int, int, int], *sides: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(first, stop) for first, stop in sides)] = True
    return mask


def blobs(seed: int, shape: tuple[int, int, int] = (9, 14, 12)) -> tuple[Mask, Mask]:
    """Two ragged masks that overlap in part and touch the edge of the array."""
    noise = np.random.default_rng(seed).normal(size=(2, *shape))
    smooth = ndimage.gaussian_filter(noise[0], 1.5), ndimage.gaussian_filter(noise[0] + 0.5 * noise[1], 1.5)
    return smooth[0] > 0.05, smooth[1] > 0.05


def nsd_of(prediction: Mask, truth: Mask, spacing: Spacing, tolerance: float) -> float:
    return normalised_surface_distance(surface_distances(prediction, truth, spacing), tolerance)


def hd95_of(prediction: Mask, truth: Mask, spacing: Spacing) -> float:
    return hausdorff_95(surface_distances(prediction, truth, spacing))


def brute_force(prediction: Mask, truth: Mask, spacing: Spacing, tolerance: float) -> float:
    """The definition, element by element: every corner, its eight voxels, every distance."""
    table = create_table_neighbour_code_to_surface_area(spacing)[0].tolist()

    def elements(mask: Mask) -> list[tuple[tuple[float, float, float], float]]:
        def inside(at: tuple[int, int, int]) -> bool:
            return all(0 <= i < n for i, n in zip(at, mask.shape, strict=True)) and bool(mask[at])

        found = []
        for d, h, w in itertools.product(*(range(n + 1) for n in mask.shape)):
            eight = [inside((d - 1 + i, h - 1 + j, w - 1 + k)) for i, j, k in itertools.product((0, 1), repeat=3)]
            code = sum(2 ** (7 - place) for place, set_ in enumerate(eight) if set_)
            if 0 < code < 255:
                found.append(((d * spacing[0], h * spacing[1], w * spacing[2]), table[code]))
        return found

    one, other = elements(prediction), elements(truth)
    near = sum(area for at, area in one if min(math.dist(at, to) for to, _ in other) <= tolerance + 1e-6)
    near += sum(area for at, area in other if min(math.dist(at, to) for to, _ in one) <= tolerance + 1e-6)
    return near / (sum(area for _, area in one) + sum(area for _, area in other))


def monai(prediction: Mask, truth: Mask, spacing: Spacing, tolerance: float) -> float:
    masks = [torch.from_numpy(mask)[None, None] for mask in (prediction, truth)]
    result = compute_surface_dice(*masks, [tolerance], include_background=True, spacing=spacing, use_subvoxels=True)
    return float(result)


def test_the_surface_of_one_voxel_by_hand() -> None:
    surface = surface_of(box((1, 1, 1), (0, 1), (0, 1), (0, 1)), (2.0, 3.0, 4.0))
    assert sorted(map(tuple, surface.points_N3.tolist())) == sorted(
        itertools.product((0.0, 2.0), (0.0, 3.0), (0.0, 4.0))
    )
    # Each corner is cut by the triangle through the middles of the voxel's three edges there, (1, 1.5, 2) mm
    # away: area = half the cross product's length = sqrt((1.5 * 2)² + (1 * 2)² + (1 * 1.5)²) / 2
    assert surface.areas_N == pytest.approx([math.sqrt(3.0**2 + 2.0**2 + 1.5**2) / 2] * 8)


def test_equal_masks_agree_at_any_tolerance() -> None:
    mask, _ = blobs(0)
    assert nsd_of(mask, mask, SPACING_DHW, 0.0) == 1.0
    assert hd95_of(mask, mask, SPACING_DHW) == 0.0


def test_two_cubes_shifted_by_one_voxel() -> None:
    # Cubes of 4 voxels whose corners lie on 5 × 5 × 5 points, 1 mm apart, shifted by 1 mm along the depth. Of
    # either surface exactly the end face (its inner 3 × 3 points are 1 mm² each, 4 × 3 edge points of
    # sqrt(2)/2 and 4 corner points of sqrt(3)/8) is 1 mm from the other surface; the side faces slide in
    # themselves.
    one, other = box((7, 6, 6), (1, 5), (1, 5), (1, 5)), box((7, 6, 6), (2, 6), (1, 5), (1, 5))
    total = 6 * 9 + 12 * 3 * math.sqrt(2) / 2 + 8 * math.sqrt(3) / 8
    assert surface_of(one, (1.0, 1.0, 1.0)).areas_N.sum() == pytest.approx(total)
    # Without tolerance three things disagree: the end face that the other cube lacks (its rim included), and
    # the inner 3 × 3 points of the opposite face, which lie inside the other cube.
    disagreeing = 9 + 12 * math.sqrt(2) / 2 + 4 * math.sqrt(3) / 8 + 9
    assert nsd_of(one, other, (1.0, 1.0, 1.0), 0.5) == pytest.approx(1 - disagreeing / total)
    assert nsd_of(one, other, (1.0, 1.0, 1.0), 1.0) == 1.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_counts_in_millimetres_of_its_axis(axis: int) -> None:
    mask = box((12, 12, 12), (3, 8), (3, 8), (3, 8))
    shifted = np.roll(mask, 1, axis)
    assert nsd_of(mask, shifted, SPACING_DHW, SPACING_DHW[axis]) == 1.0
    assert nsd_of(mask, shifted, SPACING_DHW, 0.99 * SPACING_DHW[axis]) < 0.9


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("voxels", [1, 2, 3])
def test_hd95_of_a_shifted_cube_is_the_shift(axis: int, voxels: int) -> None:
    # The end face alone, a sixth of either surface, is that far away and nothing is farther.
    mask = box((14, 14, 14), (1, 11), (1, 11), (1, 11))
    assert hd95_of(mask, np.roll(mask, voxels, axis), (1.0, 1.5, 0.5)) == voxels * (1.0, 1.5, 0.5)[axis]


@pytest.mark.parametrize(("specks", "expected"), [(10, 0.0), (11, 12.0)])
def test_hd95_passes_over_a_twentieth_of_the_surface(specks: int, expected: float) -> None:
    # A cube of 8 voxels has 6 * 49 + 12 * 7 * sqrt(2)/2 + 8 * sqrt(3)/8 = 355.1 mm², a lone voxel sqrt(3) mm²: ten
    # of them are 4.7 % of the surface, eleven 5.1 %. They lie with the lower corners 12 mm above the cube.
    cube = box((22, 8, 8), (0, 8), (0, 8), (0, 8))
    speckled = cube.copy()
    for number in range(specks):
        speckled[20, 2 * (number // 4), 2 * (number % 4)] = True
    assert hd95_of(speckled, cube, (1.0, 1.0, 1.0)) == expected
    assert hd95_of(cube, speckled, (1.0, 1.0, 1.0)) == expected


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI warns of its own call
@pytest.mark.parametrize("tolerance", [0.0, 0.7, 2.0, 3.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_equals_the_brute_force_reference_and_monai(seed: int, tolerance: float) -> None:
    prediction, truth = blobs(seed)
    nsd = nsd_of(prediction, truth, SPACING_DHW, tolerance)
    assert 0 < nsd < 1
    assert nsd == pytest.approx(brute_force(prediction, truth, SPACING_DHW, tolerance), abs=1e-6)
    assert nsd == pytest.approx(monai(prediction, truth, SPACING_DHW, tolerance), abs=1e-6)


SHAPE = (9, 14, 12)
PAIRS = {
    "blobs at the edge": blobs(3),
    "other blobs": blobs(4),
    "noise": tuple(np.random.default_rng(5).random((2, *SHAPE)) < 0.2),
    "all of the array": (box(SHAPE, (0, 9), (0, 14), (0, 12)), blobs(6)[0]),
    "cut by three edges": (box(SHAPE, (0, 4), (0, 5), (7, 12)), box(SHAPE, (1, 5), (0, 5), (5, 11))),
    "one voxel in two corners": (box(SHAPE, (0, 1), (0, 1), (0, 1)), box(SHAPE, (8, 9), (13, 14), (11, 12))),
    "one voxel and a block": (box(SHAPE, (4, 5), (7, 8), (6, 7)), box(SHAPE, (2, 7), (3, 10), (2, 10))),
    "apart": (box(SHAPE, (0, 3), (1, 4), (1, 5)), box(SHAPE, (5, 9), (8, 14), (7, 12))),
    "equal": blobs(7)[:1] * 2,
}


@pytest.mark.parametrize("spacing", [(3.0, 0.8, 0.8), (1.0, 1.0, 1.0), (2.5, 0.7, 1.1)], ids=str)
@pytest.mark.parametrize("pair", PAIRS)
def test_equals_deepminds_surface_distance(pair: str, spacing: Spacing) -> None:
    prediction, truth = PAIRS[pair]
    for tolerance in (0.9, 2.0, 3.5):
        maps = prediction.astype(np.uint8), truth.astype(np.uint8)
        _, nsd, hd95 = reference_metrics(*maps, spacing, 1, tolerance)[1]
        assert nsd_of(prediction, truth, spacing, tolerance) == pytest.approx(nsd, abs=1e-6)
        assert hd95_of(prediction, truth, spacing) == pytest.approx(hd95, abs=1e-6)


def test_an_empty_mask_is_refused() -> None:
    mask = box((3, 3, 3), (1, 2), (1, 2), (1, 2))
    for pair in ((mask, np.zeros_like(mask)), (np.zeros_like(mask), mask)):
        with pytest.raises(ValueError, match="no surface"):
            surface_distances(*pair, SPACING_DHW)
