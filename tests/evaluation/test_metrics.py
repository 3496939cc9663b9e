"""Dice and NSD of a case: values by hand, the rules for absent classes, and a slow reference."""

import math

import numpy as np
import pytest

from autosam_platform.data.description import LabelClass
from autosam_platform.evaluation.metrics import ClassMetrics, case_metrics
from autosam_platform.evaluation.surface import normalised_surface_distance

CLASSES = (
    LabelClass(id=1, name="liver"),
    LabelClass(id=2, name="spleen"),
    LabelClass(id=3, name="gallbladder"),
)
SPACING_DHW = (5.0, 1.0, 2.0)


def label_map(*boxes: tuple[int, slice]) -> np.ndarray:
    """A map of 6 × 4 × 4 voxels, each label filling the given slices."""
    label_DHW = np.zeros((6, 4, 4), np.uint8)
    for label, depth in boxes:
        label_DHW[depth] = label
    return label_DHW


def scores(prediction: np.ndarray, truth: np.ndarray, **options: object) -> dict[str, ClassMetrics]:
    rows = case_metrics(prediction, truth, SPACING_DHW, CLASSES, 2.0, **options)  # type: ignore[arg-type]
    return {row.class_name: row for row in rows}


def test_dice_and_volumes_by_hand() -> None:
    truth = label_map((1, slice(0, 3)), (2, slice(5, 6)))  # liver 48 voxels, spleen 16
    prediction = label_map((1, slice(1, 5)), (2, slice(5, 6)))  # liver 64 voxels, 32 of them right; spleen 16
    found = scores(prediction, truth)
    assert found["liver"].dice == pytest.approx(2 * 32 / (48 + 64))
    assert (found["liver"].truth_ml, found["liver"].predicted_ml) == pytest.approx((0.48, 0.64))  # 10 mm³ a voxel
    assert (found["spleen"].dice, found["spleen"].nsd) == (1.0, 1.0)


def test_two_cubes_shifted_by_one_voxel() -> None:
    truth, prediction = np.zeros((2, 8, 8, 8), np.uint8)
    truth[2:6, 2:6, 2:6], prediction[3:7, 2:6, 2:6] = 1, 1
    near, far = ((spacing, 1.0, 1.0) for spacing in (2.0, 3.0))
    assert [case_metrics(prediction, truth, each, CLASSES, 2.0)[0].dice for each in (near, far)] == [
        0.75,
        0.75,
    ]
    assert case_metrics(prediction, truth, near, CLASSES, 2.0)[0].nsd == 1.0  # 2 mm apart is within 2 mm
    assert case_metrics(prediction, truth, far, CLASSES, 2.0)[0].nsd < 0.9


def test_absent_from_both_has_no_score_and_absent_from_one_scores_zero() -> None:
    found = scores(label_map((1, slice(0, 2))), label_map((2, slice(3, 5))))
    assert (found["liver"].dice, found["liver"].nsd) == (0.0, 0.0)  # invented
    assert (found["spleen"].dice, found["spleen"].nsd) == (0.0, 0.0)  # missed
    assert math.isnan(found["gallbladder"].dice) and math.isnan(found["gallbladder"].nsd)
    assert (found["gallbladder"].truth_ml, found["gallbladder"].predicted_ml) == (0.0, 0.0)


def test_a_class_that_the_case_does_not_annotate_has_no_score() -> None:
    both = label_map((1, slice(0, 2)), (2, slice(3, 5)))
    found = scores(both, both, annotated={1, 3})
    assert found["liver"].dice == 1.0
    assert math.isnan(found["spleen"].dice) and math.isnan(found["spleen"].nsd)
    assert math.isnan(found["spleen"].truth_ml)
    assert found["spleen"].predicted_ml == pytest.approx(0.32)


def test_equals_a_reference_that_looks_at_whole_masks() -> None:
    generator = np.random.default_rng(5)
    truth = np.kron(generator.integers(0, 4, (3, 4, 4)), np.ones((3, 3, 3))).astype(np.int16)
    prediction = np.where(generator.random(truth.shape) < 0.05, 0, np.roll(truth, 1, 2)).astype(np.uint8)
    for row in case_metrics(prediction, truth, SPACING_DHW, CLASSES, 2.0):
        one, other = prediction == row.class_id, truth == row.class_id
        assert row.dice == pytest.approx(2 * (one & other).sum() / (one.sum() + other.sum()))
        assert row.nsd == pytest.approx(normalised_surface_distance(one, other, SPACING_DHW, 2.0))


def test_other_shapes_and_unknown_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="on the grid of the scan"):
        scores(label_map()[:-1], label_map())
    with pytest.raises(ValueError, match=r"the truth holds the labels \[7\]"):
        scores(label_map(), label_map((7, slice(0, 1))))
