"""What is counted while a scan is predicted: on arrays that can be followed by hand."""

import math

import numpy as np
import pytest
import torch
from small_cards import organs, small_card

from autosam_inference.arrays import most_probable
from autosam_inference.quality.looking import Looking, borders, softmax
from autosam_inference.quality.measures import Sureness
from autosam_inference.sliding_window import Slab, sliding_window

PATCH = (2, 2, 4)


def looking(size_DHW: tuple[int, int, int], spacing: float = 3.0, classes: int = 2) -> Looking:
    """At a scan that is swept along its depth, with every voxel looked at unless it is finer than 3 mm."""
    card = small_card(organs(classes), patch=PATCH, spacing_xyz=(spacing, spacing, spacing))
    found = Looking(card)
    found.on_image(np.zeros(size_DHW, np.float32), (0, 1, 2))
    return found


def logits_of(labels: list[int], classes: int = 3) -> np.ndarray:
    """A window of which each column along W is of one class, sure of it."""
    label_DHW = np.broadcast_to(labels, (PATCH[0], PATCH[1], len(labels)))
    return (20.0 * (np.arange(classes)[:, None, None, None] == label_DHW)).astype(np.float32)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_two_windows_are_compared_where_they_overlap(convert: object) -> None:
    seen = looking((2, 2, 6))
    seen.on_window(convert(logits_of([0, 1, 1, 2])), (slice(0, 2), slice(0, 2), slice(0, 4)))
    seen.on_window(convert(logits_of([1, 1, 0, 0])), (slice(0, 2), slice(0, 2), slice(2, 6)))

    # Both answered W = 2 and 3: first 1 and 2, then 1 and 1. Of class 1 the windows share 1 column of 1 and 2.
    organ = Sureness.of(seen.counts, 1)
    assert organ.agreement == pytest.approx(2 * 1 / (1 + 2))
    assert Sureness.of(seen.counts, 2).agreement == 0.0


def test_an_organ_in_which_no_windows_meet_has_no_agreement() -> None:
    seen = looking((2, 2, 4))
    seen.on_window(logits_of([0, 1, 1, 2]), (slice(0, 2), slice(0, 2), slice(0, 4)))
    assert math.isnan(Sureness.of(seen.counts, 1).agreement)


def test_what_lies_beyond_a_small_scan_is_not_compared() -> None:
    seen = looking((2, 2, 2))  # padded by one column on both sides
    for _ in range(2):
        seen.on_window(logits_of([1, 1, 2, 2]), (slice(0, 2), slice(0, 2), slice(0, 4)))
    assert seen.counts.ours.tolist() == [0, 4, 4]  # the inner columns alone: D 2, H 2


def test_the_certainty_is_the_dice_that_the_probabilities_promise() -> None:
    seen = looking((1, 1, 4))
    probability_KW = np.array([[0.9, 0.2, 0.1, 0.6], [0.05, 0.7, 0.8, 0.3], [0.05, 0.1, 0.1, 0.1]])
    seen.on_slab(Slab(0, 1, np.log(probability_KW, dtype=np.float32)[:, None, None, :]))

    # Class 1 is labelled at W = 1 and 2, with 0.7 and 0.8; over all voxels its probabilities sum to 1.85.
    organ = Sureness.of(seen.counts, 1)
    assert organ.certainty == pytest.approx(2 * 1.5 / (1.85 + 2))
    assert organ.margin == pytest.approx(((0.7 - 0.2) + (0.8 - 0.1)) / 2)  # both lie at the border
    assert seen.label_DHW.tolist() == [[[0, 1, 1, 0]]]


def test_a_border_is_what_lies_beside_another_class() -> None:
    label_DHW = np.zeros((1, 5, 5), np.uint8)
    label_DHW[0, 1:4, 1:4] = 1
    inner = np.zeros((5, 5), bool)
    inner[2, 2] = True
    corners = np.zeros((5, 5), bool)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    np.testing.assert_array_equal(borders(label_DHW)[0], ~inner & ~corners)


def test_softmax_of_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 0.0], [1000.0, 0.0]], np.float32)), 0.5)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize("spacing", [3.0, 1.5], ids=["all", "every second"])
def test_what_is_looked_at_is_the_result(order: tuple[int, int, int], spacing: float) -> None:
    """Through the sliding window, whatever the axis that is swept: the labels are those of the whole."""
    image_DHW = np.random.default_rng(0).normal(size=(9, 11, 13)).astype(np.float32)
    card = small_card(organs(1), patch=(4, 4, 6), spacing_xyz=(spacing,) * 3)
    seen = Looking(card)
    seen.on_image(image_DHW, order)

    def logits(patches_BCDHW: np.ndarray) -> np.ndarray:
        return np.concatenate([-patches_BCDHW, patches_BCDHW], axis=1)

    for slab in sliding_window(
        logits, image_DHW, card.patch, 0.5, num_classes=2, order=order, on_window=seen.on_window
    ):
        seen.on_slab(slab)
    step = 1 if spacing == 3.0 else 2
    np.testing.assert_array_equal(seen.label_DHW, (image_DHW > 0)[::step, ::step, ::step])
    assert Sureness.of(seen.counts, 1).agreement == 1.0  # voxel by voxel: all windows say the same
    assert seen.counts.ours[1] > seen.counts.labelled[1] / 2  # and they did meet


@pytest.mark.parametrize("shape", [(5, 40), (3, 4, 5, 6), (1, 7)])
def test_the_most_probable_class_is_the_lowest_of_equals(shape: tuple[int, ...]) -> None:
    logits = np.random.default_rng(1).integers(-3, 3, shape).astype(np.float32)
    np.testing.assert_array_equal(most_probable(logits), logits.argmax(0))
