"""Augmentation, on arrays small enough to check by hand."""

import math

import numpy as np
import pytest
import torch

from autosam_platform.data.augmentation import LARGEST_ANGLE, LARGEST_ZOOM, SpatialTransform, augment_intensity
from autosam_platform.data.description import Augmentation

CUBE = (1.0, 1.0, 1.0)
BOUNDS = (-2.0, 2.0)
NO_ORGAN = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
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
    assert torch.equal(augment_intensity(image, np.random.default_rng(0), NEVER, BOUNDS, NO_ORGAN), image)


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
    changed = torch.stack([augment_intensity(image, rng, ALWAYS, BOUNDS, NO_ORGAN) for _ in range(500)])
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


def test_a_zoom_of_two_shows_the_middle_twice_as_large() -> None:
    """A ball of radius 5 mm at the middle has a radius of 10 after it, in image, label and probabilities."""
    size = (41, 41, 41)
    radius = _radii(size)
    transform = SpatialTransform(zoom_DHW=(2.0, 2.0, 2.0))
    ball = (_radii(transform.margin(size, CUBE)) <= 5.01)[None]
    expected = radius <= 10.01
    image, label, probabilities = transform.apply(
        [(100.0 * ball, "image"), (ball.to(torch.uint8), "label"), (255 * ball.to(torch.uint8), "probabilities")],
        size,
        CUBE,
        {},
    )
    for enlarged in (image[0] > 50, label[0] == 1, probabilities[0] > 127):
        assert enlarged.shape == size
        differing = (enlarged != expected) & ((radius - 10).abs() > 1.5)  # but for the surface, which is rounded
        assert not differing.any()


def test_a_zoom_of_one_axis_leaves_the_others() -> None:
    ramp = torch.arange(8.0)[None, :, None, None] + torch.zeros(1, 8, 3, 3)
    (zoomed,) = SpatialTransform(zoom_DHW=(2.0, 1.0, 1.0)).apply([(ramp, "image")], (4, 3, 3), CUBE, {})
    assert zoomed[0, :, 1, 1].tolist() == [2.75, 3.25, 3.75, 4.25]
    (zoomed,) = SpatialTransform(zoom_DHW=(1.0, 1.0, 2.0)).apply([(ramp, "image")], (8, 3, 2), CUBE, {})
    assert torch.equal(zoomed, ramp[..., :2])


@pytest.mark.parametrize("zoom", [LARGEST_ZOOM, 1 / LARGEST_ZOOM])
@pytest.mark.parametrize("angle", [0.0, 0.2])
def test_a_zoomed_margin_leaves_no_empty_corner_and_keeps_the_middle(zoom: float, angle: float) -> None:
    transform, size = SpatialTransform(angle=angle, zoom_DHW=(zoom, zoom, zoom)), (20, 30, 41)
    margin = transform.margin(size, CUBE)
    assert [(large - small) % 2 for large, small in zip(margin, size, strict=True)] == [0, 0, 0]
    image = torch.zeros(1, *margin)
    image[:, :, [0, -1]] = image[..., [0, -1]] = 1
    (inner,) = transform.apply([(image, "image")], size, CUBE, {})
    assert inner.shape == (1, *size) and inner[:, 1:-1, 1:-1, 1:-1].max() < 0.5


def test_zooms_lie_between_their_bounds_and_happen_as_often_as_asked() -> None:
    rng, settings = np.random.default_rng(0), NEVER.model_copy(update={"zoom": 0.5})
    zooms = np.array([SpatialTransform.draw(rng, settings).zoom_DHW for _ in range(2000)])
    happened = (zooms != 1).all(axis=1)
    assert abs(happened.mean() - 0.5) < 0.04
    assert zooms.min() >= 1 / LARGEST_ZOOM and zooms.max() <= LARGEST_ZOOM
    assert np.ptp(zooms[happened], axis=0).min() > 0.4, "each axis by itself"


def test_contrast_is_a_power_between_the_bounds_which_stay() -> None:
    """A middle of 0 becomes 4 · 0.5^γ − 2: from −0.59 at γ = 1.5 to 0.52 at γ = 1/1.5."""
    settings, rng = NEVER.model_copy(update={"contrast": 1.0}), np.random.default_rng(0)
    image = torch.tensor([-2.0, 0.0, 2.0]).reshape(1, 1, 1, 3)
    changed = torch.stack([augment_intensity(image, rng, settings, BOUNDS, NO_ORGAN) for _ in range(300)]).reshape(
        300, 3
    )
    assert (changed[:, 0] == -2).all() and (changed[:, 2] == 2).all()
    assert -0.5859 <= changed[:, 1].min() < -0.55 and 0.48 < changed[:, 1].max() <= 0.5200


def test_organs_are_shifted_each_by_itself_and_the_background_stays() -> None:
    """Of a range of 4 the shifts have a standard deviation of 0.16."""
    settings, rng = NEVER.model_copy(update={"organ_shift": 1.0}), np.random.default_rng(0)
    label = torch.tensor([0, 1, 1, 2, 13], dtype=torch.uint8).reshape(1, 1, 1, 5)
    image = torch.tensor([0.5, 0.0, 1.0, 0.0, 0.0]).reshape(1, 1, 1, 5)
    changed = [augment_intensity(image, rng, settings, BOUNDS, label) - image for _ in range(400)]
    shifts = torch.stack(changed).reshape(400, 5)
    assert (shifts[:, 0] == 0).all() and torch.allclose(shifts[:, 1], shifts[:, 2], atol=1e-6)
    apart = shifts[:, [1, 3, 4]]
    assert (apart.std(dim=0) - 0.16).abs().max() < 0.02 and apart.T.corrcoef().triu(1).abs().max() < 0.2


def test_noise_is_a_share_of_the_bounds_range() -> None:
    settings, rng = NEVER.model_copy(update={"noise": 1.0}), np.random.default_rng(0)
    levels = [augment_intensity(torch.zeros(1, 20, 20, 20), rng, settings, BOUNDS, NO_ORGAN).std() for _ in range(100)]
    assert 0.15 < max(levels) < 0.165 and min(levels) < 0.01  # up to 0.04 of 4


def test_blur_keeps_the_sum_and_a_plain_image() -> None:
    settings, rng = NEVER.model_copy(update={"blur": 1.0}), np.random.default_rng(0)
    point = torch.zeros(1, 15, 15, 15)
    point[0, 7, 7, 7] = 1.0
    for _ in range(5):
        blurred = augment_intensity(point, rng, settings, BOUNDS, NO_ORGAN)
        assert blurred.sum() == pytest.approx(1.0, abs=1e-5) and 0.05 < blurred[0, 7, 7, 7] < 0.98
        assert torch.allclose(blurred, blurred.transpose(1, 3), atol=1e-7)
    assert torch.allclose(
        augment_intensity(torch.ones(1, 6, 7, 8), rng, settings, BOUNDS, NO_ORGAN), torch.ones(1, 6, 7, 8)
    )


def _radii(size: tuple[int, int, int]) -> torch.Tensor:
    d, h, w = (torch.arange(n) - (n - 1) / 2 for n in size)
    return (d[:, None, None] ** 2 + h[:, None] ** 2 + w**2).sqrt()
