"""Augmentation, on arrays small enough to check by hand."""

import math

import numpy as np
import pytest
import torch

from autosam_platform.data.augmentation import LARGEST_ANGLE, SpatialTransform, augment_intensity
from autosam_platform.data.description import Augmentation

CUBE = (1.0, 1.0, 1.0)
NEVER = Augmentation(flip=0, rotate=0, intensity_scale=0, intensity_shift=0)
ALWAYS = Augmentation(flip=1, rotate=1, intensity_scale=1, intensity_shift=1)


def _label(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8)[None, None]  # C, D, H, W


def _apply(transform: SpatialTransform, label: torch.Tensor, mirrored: dict[int, int] | None = None) -> torch.Tensor:
    size = (label.shape[1], label.shape[2], label.shape[3])
    return transform.apply([(label, "label")], size, CUBE, mirrored or {})[0]


def test_left_right_flip_swaps_paired_organs() -> None:
    """A right kidney (2) at the right, a left one (3) at the left, a liver (6): mirrored, they keep their
    sides.
    """
    label = _label([[3, 0, 6, 2]])
    assert _apply(SpatialTransform(flips=(2,)), label, {2: 3, 3: 2}).tolist() == [[[[3, 6, 0, 2]]]]


@pytest.mark.parametrize("axis", [0, 1])
def test_other_flips_leave_sides_alone(axis: int) -> None:
    label = torch.zeros(1, 2, 2, 2, dtype=torch.uint8)
    label[0, 0, 0] = torch.tensor([3, 2])
    flipped = _apply(SpatialTransform(flips=(axis,)), label, {2: 3, 3: 2})
    assert torch.equal(flipped, label.flip(axis + 1))


def test_image_and_label_move_together() -> None:
    rng = np.random.default_rng(0)
    label = torch.from_numpy(rng.integers(0, 4, (1, 3, 40, 40)).astype(np.uint8))
    label = label.repeat_interleave(5, 2).repeat_interleave(5, 3)  # blocks, so that the middles agree
    transform = SpatialTransform(angle=0.2, flips=(0, 2))
    size, margin = (3, 120, 130), transform.margin((3, 120, 130), CUBE)
    part = label[:, :, : margin[1], : margin[2]]
    image, turned = transform.apply([(part.float(), "image"), (part, "label")], size, CUBE, {})
    assert image.shape == turned.shape == (1, *size)
    assert (image.round() == turned).float().mean() > 0.8


def test_a_quarter_turn_is_rot90() -> None:
    label = _label([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert torch.equal(_apply(SpatialTransform(angle=math.pi / 2), label), torch.rot90(label, 1, (2, 3)))


def test_turn_is_in_millimetres() -> None:
    """With voxels twice as high as wide, a quarter turn of a 2 × 4 patch swaps the axes and their
    sampling.
    """
    image = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])[None, None]
    turned = SpatialTransform(angle=math.pi / 2).apply([(image, "image")], (1, 2, 4), (1.0, 2.0, 1.0), {})[0]
    assert turned.shape == (1, 1, 2, 4)
    np.testing.assert_allclose(turned[0, 0, :, 0].numpy(), [10, 0], atol=1e-5)
    np.testing.assert_allclose(turned[0, 0, 0].numpy(), [10, 10, 10, 10], atol=1e-5)


@pytest.mark.parametrize("angle", [0.01, -0.1, LARGEST_ANGLE])
@pytest.mark.parametrize("spacing", [(3.0, 1.0, 1.0), (1.0, 0.8, 1.7)])
def test_margin_leaves_no_empty_corner(angle: float, spacing: tuple[float, float, float]) -> None:
    """Everything beyond the margin's patch would show the border's 1 in the result."""
    transform = SpatialTransform(angle=angle)
    size = (2, 30, 41)
    d, h, w = transform.margin(size, spacing)
    assert d == 2 and (h - 30) % 2 == 0 and (w - 41) % 2 == 0
    image = torch.zeros(1, d, h, w)
    image[:, :, [0, -1]] = 1
    image[:, :, :, [0, -1]] = 1
    turned = transform.apply([(image, "image")], size, spacing, {})[0]
    assert turned.shape == (1, *size)
    assert turned[..., 1:-1, 1:-1].max() == 0


def test_nothing_drawn_changes_nothing() -> None:
    transform = SpatialTransform.draw(np.random.default_rng(0), NEVER)
    assert transform == SpatialTransform()
    assert transform.margin((4, 5, 6), CUBE) == (4, 5, 6)
    image = torch.rand(1, 2, 3, 4)
    assert torch.equal(augment_intensity(image, np.random.default_rng(0), NEVER), image)


def test_draws_stay_in_their_ranges_and_use_their_probabilities() -> None:
    rng = np.random.default_rng(0)
    drawn = [SpatialTransform.draw(rng, ALWAYS) for _ in range(200)]
    angles = np.array([each.angle for each in drawn])
    assert np.abs(angles).max() <= math.radians(15) and angles.min() < -0.2 and angles.max() > 0.2
    assert all(each.flips == (0, 1, 2) for each in drawn)
    settings = Augmentation(flip=0.5, rotate=0.25, intensity_scale=0, intensity_shift=0)
    drawn = [SpatialTransform.draw(rng, settings) for _ in range(2000)]
    assert abs(np.mean([each.angle != 0 for each in drawn]) - 0.25) < 0.04
    for axis in range(3):
        assert abs(np.mean([axis in each.flips for each in drawn]) - 0.5) < 0.04


def test_intensity_is_scaled_and_shifted_by_up_to_a_tenth() -> None:
    rng = np.random.default_rng(0)
    image = torch.tensor([0.0, 1.0])
    changed = torch.stack([augment_intensity(image, rng, ALWAYS) for _ in range(500)])
    shift, scale = changed[:, 0], changed[:, 1] - changed[:, 0]
    assert shift.abs().max() <= 0.1 and shift.min() < -0.09 and shift.max() > 0.09
    assert 0.9 <= scale.min() < 0.91 and 1.09 < scale.max() <= 1.1 + 1e-6


def test_probabilities_are_flipped_with_the_channels_of_paired_organs_swapped() -> None:
    """Background 0, liver 1, right kidney 2, left kidney 3; one-hot probabilities move as the label does."""
    label = _label([[3, 0, 1, 2]])
    probabilities = torch.stack([(label[0] == k).to(torch.uint8) * 255 for k in range(4)])
    turned = SpatialTransform(flips=(2,)).apply(
        [(label, "label"), (probabilities, "probabilities")], (1, 1, 4), CUBE, {2: 3, 3: 2}
    )
    assert turned[0].tolist() == [[[[3, 1, 0, 2]]]]
    assert turned[1].argmax(0).tolist() == [[[3, 1, 0, 2]]]


def test_turned_probabilities_are_interpolated_and_rounded() -> None:
    """Half a voxel of shift comes from the even size: each new voxel is the mean of four, 63.75 of 255, rounded."""
    probabilities = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    probabilities[0, 0, 0, 0] = 255
    (turned,) = SpatialTransform(angle=math.pi / 4).apply([(probabilities, "probabilities")], (1, 1, 1), CUBE, {})
    assert turned.tolist() == [[[[64]]]]
