"""Resampling against hand-computed numbers and slow references."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from autosam_inference.scans.grid import Volume
from autosam_inference.scans.resampling import resample, size_at


def _along(values: list[float], axis: int, dtype: type = np.float32) -> np.ndarray:
    shape = [1, 1, 1]
    shape[axis] = len(values)
    return np.array(values, dtype).reshape(shape)


def _spacing(axis: int, value: float) -> tuple[float, float, float]:
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = value
    return spacing[0], spacing[1], spacing[2]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_growing_keeps_the_outer_edges(axis: int) -> None:
    """4 voxels of 1 mm become 8 of 0.5 mm, whose centres lie a quarter voxel beside the old ones."""
    grown = resample(Volume(_along([0, 4, 8, 0], axis), (1, 1, 1)), _spacing(axis, 0.5))
    np.testing.assert_allclose(grown.array_DHW.ravel(), [0, 1, 3, 5, 7, 6, 2, 0])
    assert grown.spacing_DHW == _spacing(axis, 0.5)


def test_size_is_rounded_and_the_true_spacing_returned() -> None:
    shrunk = resample(Volume(np.zeros((10, 7, 2), np.int16), (1, 1, 1)), (3, 2, 9))
    assert shrunk.array_DHW.shape == (3, 4, 1)  # 3.33, 3.5 (to even), 0.22 (at least 1)
    np.testing.assert_allclose(shrunk.spacing_DHW, (10 / 3, 7 / 4, 2))


def test_same_size_changes_nothing() -> None:
    array = np.random.default_rng(0).integers(0, 5, (4, 5, 6)).astype(np.uint8)
    assert resample(Volume(array, (1, 1, 1)), (1.01, 1, 1), "label").array_DHW is array
    np.testing.assert_array_equal(resample(Volume(array, (1, 1, 1)), (1, 1, 1)).array_DHW, array)


@pytest.mark.parametrize("spacing", [(0.7, 2.0, 1.3), (2.2, 0.6, 1.0), (3.0, 4.0, 2.5)])
def test_image_equals_the_reference(spacing: tuple[float, float, float]) -> None:
    image = np.random.default_rng(1).normal(size=(9, 14, 17)).astype(np.float32)
    ours = resample(Volume(image, (1.0, 1.5, 1.0)), spacing).array_DHW
    factors = [n / size for n, size in zip(image.shape, ours.shape, strict=True)]
    blurred = gaussian_filter(image.astype(np.float64), [max(0, (f - 1) / 2) for f in factors], mode="nearest")
    reference = torch.nn.functional.interpolate(
        torch.from_numpy(blurred)[None, None], size=ours.shape, mode="trilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(ours, reference, atol=1e-5)


@pytest.mark.parametrize("spacing", [(0.7, 2.0, 1.3), (2.2, 0.6, 1.0), (3.0, 4.0, 2.5), (1.0, 1.5, 1.0)])
def test_a_box_of_an_image_is_what_the_whole_has_there(spacing: tuple[float, float, float]) -> None:
    image = np.random.default_rng(1).integers(-1000, 1000, (40, 150, 37)).astype(np.int16)
    volume = Volume(image, (1.0, 1.5, 1.0))
    whole = resample(volume, spacing)
    size = size_at(volume, spacing)
    assert whole.array_DHW.shape == size
    for first, last in ((0.0, 0.4), (0.3, 0.8), (0.9, 1.0)):
        box = tuple(slice(int(first * n), max(int(last * n), 1)) for n in size)
        part = resample(volume, spacing, within=box)
        assert part.spacing_DHW == whole.spacing_DHW
        np.testing.assert_allclose(part.array_DHW, whole.array_DHW[box], atol=1e-3)  # rounding, of 1000 HU


def test_shrinking_removes_what_the_new_grid_cannot_hold() -> None:
    """A checkerboard, averaged, is grey; without the filter it would come out as stripes."""
    board = np.indices((40, 40, 1)).sum(0) % 2 * 100.0
    shrunk = resample(Volume(board.astype(np.float32), (1, 1, 1)), (5, 5, 1)).array_DHW
    np.testing.assert_allclose(shrunk, 50, atol=1.5)


def _label_reference(label: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Scores K, D, H, W of the linearly interpolated one-hot masks."""
    masks = torch.stack([torch.from_numpy(label == value) for value in range(int(label.max()) + 1)]).double()
    return torch.nn.functional.interpolate(masks[None], size=shape, mode="trilinear", align_corners=False)[0].numpy()


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (0.7, 2.0, 1.3), (2.2, 0.6, 1.0), (3.0, 4.0, 2.5)])
def test_label_equals_the_argmax_of_all_masks(spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(2)
    label = np.kron(rng.integers(0, 6, (4, 5, 6)), np.ones((3, 3, 3))).astype(np.uint8)
    ours = resample(Volume(label, (1.0, 1.5, 1.0)), spacing, "label").array_DHW
    scores = _label_reference(label, ours.shape)
    chosen = np.take_along_axis(scores, ours[None].astype(int), 0)[0]
    np.testing.assert_allclose(chosen, scores.max(0), atol=1e-6)
    second = np.sort(scores, axis=0)[-2]
    clear = scores.max(0) - second > 1e-5
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(ours[clear], scores.argmax(0)[clear])


def test_equal_shares_go_to_the_lowest_id() -> None:
    label = _along([0, 3, 3, 3, 5, 5], 2, np.uint8)
    halved = resample(Volume(label, (1, 1, 1)), (1, 1, 2), "label").array_DHW
    assert halved.ravel().tolist() == [0, 3, 5]
    assert halved.dtype == np.uint8


def test_structure_between_the_new_voxels_vanishes() -> None:
    label = _along([0, 7, 0, 0, 0, 0, 0, 0, 0, 0], 0, np.uint8)
    assert resample(Volume(label, (1, 1, 1)), (10, 1, 1), "label").array_DHW.tolist() == [[[0]]]


def test_grown_label_follows_the_middle_between_voxels() -> None:
    label = _along([0, 2, 2, 0], 1, np.uint8)
    grown = resample(Volume(label, (1, 1, 1)), (1, 0.25, 1), "label").array_DHW
    assert grown.ravel().tolist() == [0] * 4 + [2] * 8 + [0] * 4


def test_a_spacing_that_was_rounded_costs_no_slice() -> None:
    """61 slices of 3 mm are 91.5 of 2 mm; a header in single precision says 2.9999998."""
    volumes = (Volume(np.zeros((61, 4, 4), np.float32), (spacing, 1.0, 1.0)) for spacing in (3.0, 2.9999998, 3.0000002))
    assert [resample(volume, (2.0, 1.0, 1.0)).array_DHW.shape[0] for volume in volumes] == [92, 92, 92]
