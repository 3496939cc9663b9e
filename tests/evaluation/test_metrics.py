"""Dice, NSD and HD95 of a case: values by hand, the rules for absent classes, and a slow reference."""

import math

import numpy as np
import pytest
from reference.metrics_reference import organ_maps, reference_metrics

from autosam_inference.card import LabelClass
from autosam_platform.evaluation.metrics import ClassMetrics, case_metrics

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
    assert (found["spleen"].dice, found["spleen"].nsd, found["spleen"].hd95_mm) == (1.0, 1.0, 0.0)
    assert found["liver"].hd95_mm == 10.0  # two slices of 5 mm at the top


def test_two_cubes_shifted_by_one_voxel() -> None:
    truth, prediction = np.zeros((2, 8, 8, 8), np.uint8)
    truth[2:6, 2:6, 2:6], prediction[3:7, 2:6, 2:6] = 1, 1
    near, far = (case_metrics(prediction, truth, (depth, 1.0, 1.0), CLASSES, 2.0)[0] for depth in (2.0, 3.0))
    assert (near.dice, far.dice) == (0.75, 0.75)
    assert near.nsd == 1.0  # 2 mm apart is within 2 mm
    assert far.nsd < 0.9
    assert (near.hd95_mm, far.hd95_mm) == (2.0, 3.0)


def test_absent_from_both_has_no_score_and_absent_from_one_scores_zero_without_a_distance() -> None:
    found = scores(label_map((1, slice(0, 2))), label_map((2, slice(3, 5))))
    assert (found["liver"].dice, found["liver"].nsd) == (0.0, 0.0)  # invented
    assert (found["spleen"].dice, found["spleen"].nsd) == (0.0, 0.0)  # missed
    assert math.isnan(found["gallbladder"].dice) and math.isnan(found["gallbladder"].nsd)
    assert all(math.isnan(each.hd95_mm) for each in found.values())
    assert (found["gallbladder"].truth_ml, found["gallbladder"].predicted_ml) == (0.0, 0.0)


def test_a_class_that_the_case_does_not_annotate_has_no_score() -> None:
    both = label_map((1, slice(0, 2)), (2, slice(3, 5)))
    found = scores(both, both, annotated={1, 3})
    assert found["liver"].dice == 1.0
    assert math.isnan(found["spleen"].dice) and math.isnan(found["spleen"].nsd)
    assert math.isnan(found["spleen"].hd95_mm) and math.isnan(found["spleen"].truth_ml)
    assert found["spleen"].predicted_ml == pytest.approx(0.32)


ORGANS = tuple(LabelClass(id=number, name=f"organ {number}") for number in range(1, 14))


@pytest.mark.parametrize("spacing", [(3.0, 0.8, 0.8), (1.0, 1.0, 1.0), (2.5, 0.7, 1.1)], ids=str)
def test_equals_a_reference_that_looks_at_whole_masks(spacing: tuple[float, float, float]) -> None:
    prediction, truth = organ_maps((30, 64, 48), 13, seed=1)
    truth[truth == 12], prediction[prediction == 13] = 0, 0
    expected = reference_metrics(prediction, truth, spacing, 13, 2.0)
    for row in case_metrics(prediction, truth, spacing, ORGANS, 2.0):
        assert (row.dice, row.nsd, row.hd95_mm) == pytest.approx(expected[row.class_id], abs=1e-6, nan_ok=True)


def test_the_organs_of_the_reference_are_the_same_each_time_and_reach_across_the_volume() -> None:
    shape = (30, 64, 48)
    first, again = organ_maps(shape, 13, seed=1), organ_maps(shape, 13, seed=1)
    np.testing.assert_array_equal(first, again)
    for label_DHW in first:
        assert np.unique(label_DHW).tolist() == list(range(14))
    depths, _, widths = np.nonzero(first[0] == 6)  # the liver's island lies low at the other side
    assert np.ptp(depths) > 15 and np.ptp(widths) > 30


def test_threads_and_types_of_labels_change_nothing() -> None:
    prediction, truth = organ_maps((20, 32, 40), 13, seed=2)
    rows = case_metrics(prediction, truth, SPACING_DHW, ORGANS, 2.0)
    assert [row.class_id for row in rows] == list(range(1, 14))
    assert repr(case_metrics(prediction, truth, SPACING_DHW, ORGANS, 2.0, threads=3)) == repr(rows)
    assert repr(case_metrics(prediction.astype(np.int16), truth.astype(np.int64), SPACING_DHW, ORGANS, 2.0)) == repr(
        rows
    )


def test_other_shapes_and_unknown_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="on the grid of the scan"):
        scores(label_map()[:-1], label_map())
    with pytest.raises(ValueError, match=r"the truth holds the labels \[7\]"):
        scores(label_map(), label_map((7, slice(0, 1))))
    for label in (-1, 257):  # which a byte would hold as 255 and 1
        with pytest.raises(ValueError, match=rf"the prediction holds the labels \[{label}\]"):
            scores(np.full((6, 4, 4), label, np.int16), label_map())
