"""Scans made bad on purpose: each keeps scan and truth together, and the same seed gives the same."""

import numpy as np
import pytest

from autosam_platform.export.degrading import DEGRADATIONS, TrueScan
from autosam_platform.export.examples import Planned, dice_by_id, made_bad, planned


@pytest.fixture(scope="module")
def scan() -> TrueScan:
    """A body with one organ on its right side, of which the HU are 100."""
    hu_DHW = np.full((20, 30, 40), -1000, np.float32)
    hu_DHW[:, 4:26, 4:36] = 0
    label_DHW = np.zeros(hu_DHW.shape, np.uint8)
    label_DHW[6:12, 10:16, 24:32] = 1
    hu_DHW[label_DHW == 1] = 100
    return TrueScan(hu_DHW, label_DHW, (3.0, 2.0, 2.0))


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_scan_and_truth_stay_together(scan: TrueScan, kind: str) -> None:
    before = scan.hu_DHW.copy()
    bad = made_bad(scan, Planned(0, kind, 0))
    again, other = made_bad(scan, Planned(0, kind, 0)), made_bad(scan, Planned(0, kind, 0), seed=1)

    assert bad.hu_DHW.shape == bad.label_DHW.shape and bad.hu_DHW.dtype == np.float32
    assert bad.hu_DHW.min() >= -1024 and bad.hu_DHW.max() <= 3071
    np.testing.assert_array_equal(bad.hu_DHW, again.hu_DHW)
    if kind != "mirrored":
        assert other.hu_DHW.shape != bad.hu_DHW.shape or (other.hu_DHW != bad.hu_DHW).any()
    np.testing.assert_array_equal(scan.hu_DHW, before)


def test_as_it_is(scan: TrueScan) -> None:
    assert made_bad(scan, Planned(0, "as it is", 0)) is scan


def test_the_mirrored_patient_keeps_his_organs(scan: TrueScan) -> None:
    bad = made_bad(scan, Planned(0, "mirrored", 0))
    assert np.argwhere(bad.label_DHW == 1)[:, 2].mean() == pytest.approx(39 - 27.5)
    assert (bad.hu_DHW[bad.label_DHW == 1] == 100).all()


def test_thick_slices_span_the_same_body(scan: TrueScan) -> None:
    bad = DEGRADATIONS["thick slices"](np.random.default_rng(0), scan, 1.0)
    assert bad.hu_DHW.shape == (3, 30, 40) and bad.spacing_DHW == pytest.approx((20, 2, 2))


def test_a_cropped_scan_is_a_part_of_it(scan: TrueScan) -> None:
    bad = DEGRADATIONS["cropped"](np.random.default_rng(0), scan, 1.0)
    assert all(a < b for a, b in zip(bad.hu_DHW.shape, scan.hu_DHW.shape, strict=True))
    assert bad.label_DHW.size < scan.label_DHW.size / 2


def test_other_parts_repeat_what_is_left(scan: TrueScan) -> None:
    bad = DEGRADATIONS["other part"](np.random.default_rng(0), scan, 0.9)
    assert bad.hu_DHW.shape == scan.hu_DHW.shape
    assert len({slice_HW.tobytes() for slice_HW in bad.label_DHW}) <= 2


def test_a_plan_looks_at_every_case_and_every_kind() -> None:
    plan = planned(4, 40)
    assert len(plan) == 40 and [each.case for each in plan] == sorted(each.case for each in plan)
    assert {each.case for each in plan if each.kind == "as it is"} == {0, 1, 2, 3}
    assert {each.kind for each in plan} == {"as it is", *DEGRADATIONS}
    assert len(set(plan)) == 40
    assert len(planned(4, 1)) == 4  # each case once at the least


def test_dice_by_id() -> None:
    truth = np.array([[1, 1, 0, 2]], np.uint8)
    assert dice_by_id(np.array([[1, 0, 0, 3]], np.uint8), truth) == {1: pytest.approx(2 / 3), 2: 0.0, 3: 0.0}
