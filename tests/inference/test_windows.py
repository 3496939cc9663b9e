"""Where windows lie and what they weigh, against MONAI's."""

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices

from autosam_inference.windows import all_windows, sweep_order, touch, window_weights

PATCHES = [(8, 9, 10), (1, 4, 7), (96, 96, 96), (128, 16, 33)]


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5, 0.7, 0.75, 0.9])
@pytest.mark.parametrize("size", [(19, 17, 21), (8, 9, 10), (8, 30, 11), (40, 9, 100)], ids=str)
def test_windows_are_monais(size: tuple[int, int, int], overlap: float) -> None:
    patch = (8, 9, 10)
    # As sliding_window_inference calls it: the step is the window's edge where it is as long as the volume.
    step = [e if e == n else max(int(e * (1 - overlap)), 1) for e, n in zip(patch, size, strict=True)]
    assert all_windows(size, patch, overlap) == dense_patch_slices(size, patch, step)


@pytest.mark.parametrize("patch", PATCHES, ids=str)
def test_weights_are_monais_to_the_last_bit_for_torch(patch: tuple[int, int, int]) -> None:
    expected = compute_importance_map(patch, mode="gaussian", sigma_scale=0.125, device="cpu")
    assert torch.equal(window_weights(patch, torch.zeros(1)), expected)


@pytest.mark.parametrize("patch", PATCHES, ids=str)
def test_weights_of_numpy_are_those_of_torch(patch: tuple[int, int, int]) -> None:
    weights = window_weights(patch, np.zeros(1))
    assert isinstance(weights, np.ndarray) and weights.dtype == np.float32
    np.testing.assert_allclose(weights, window_weights(patch, torch.zeros(1)).numpy(), rtol=1e-6)


def test_the_axis_to_sweep_along_leaves_the_least_to_hold() -> None:
    assert sweep_order((300, 512, 512), (128, 128, 128)) == (1, 0, 2)  # 128 × 300 × 512 in place of 128 × 512 × 512
    assert sweep_order((300, 512, 512), (32, 128, 128)) == (0, 1, 2)  # 32 × 512 × 512 is less than 128 × 300 × 512
    assert sweep_order((50, 60, 90), (64, 64, 64)) == (2, 0, 1)  # padded to 64 × 64 × 90
    assert sweep_order((50, 60, 70), (64, 64, 64)) == (0, 1, 2)  # 64 × 64 × 64 would spare a tenth of 64 × 64 × 70


def test_boxes_that_only_meet_do_not_touch() -> None:
    box = (slice(0, 4), slice(0, 4), slice(0, 4))
    assert touch(box, (slice(3, 9), slice(0, 1), slice(2, 3)))
    assert not touch(box, (slice(4, 9), slice(0, 1), slice(2, 3)))
