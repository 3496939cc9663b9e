"""What a calibration makes of signals, by hand; and that its numbers survive JSON."""

import math
from typing import Any

import pytest
from pydantic import ValidationError
from small_calibrations import small_calibration

from autosam_inference.quality.calibration import Calibration, Curve
from autosam_inference.quality.verdict import OrganQuality


def test_the_expected_dice_is_the_organs_level_and_what_the_signals_add() -> None:
    calibration = small_calibration()  # level 2; agreement takes 4 at 0, 2 at 0.5 and nothing at 1

    assert calibration.expected("liver", {"agreement": 1.0}) == pytest.approx(1 / (1 + math.exp(-2)))
    assert calibration.expected("liver", {"agreement": 0.5}) == pytest.approx(0.5)
    assert calibration.expected("liver", {"agreement": 0.75}) == pytest.approx(1 / (1 + math.exp(-1)))
    assert calibration.effects({"agreement": 0.0}) == {"agreement": -4.0}


def test_a_signal_that_is_unknown_counts_for_nothing() -> None:
    for signals in ({}, {"agreement": math.nan}, {"of another version": 0.0}):
        assert small_calibration().expected("liver", signals) == pytest.approx(1 / (1 + math.exp(-2)))


def test_the_interval_lies_around_what_is_expected_and_within_0_and_1() -> None:
    calibration = small_calibration()  # 0.3 below and 0.2 above at 0.5; 0.1 and 0.05 at 0.9

    assert calibration.interval(0.5) == pytest.approx((0.2, 0.7))
    assert calibration.interval(0.7) == pytest.approx((0.5, 0.825))
    assert calibration.interval(0.98) == pytest.approx((0.88, 1.0))
    assert calibration.interval(0.1) == pytest.approx((0.0, 0.3))


def test_its_numbers_survive_json() -> None:
    calibration = small_calibration(levels={"liver": 1 / 3}, warnings=("fitted on training cases",))
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


@pytest.mark.parametrize(
    ("knots", "effects"), [((0.0, 0.0), (1.0, 2.0)), ((1.0, 0.0), (1.0, 2.0)), ((0.0, 1.0), (1.0,)), ((0.0,), (1.0,))]
)
def test_a_curve_that_is_none_is_refused(knots: Any, effects: Any) -> None:
    with pytest.raises(ValidationError, match="the curve of agreement needs rising knots"):
        Curve(signal="agreement", knots=knots, effects=effects)


@pytest.mark.parametrize("changes", [{"levels": {"liver": math.nan}}, {"coverage": 2.0}, {"version": 2}], ids=str)
def test_numbers_that_mean_nothing_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        small_calibration(**changes)


def test_words() -> None:
    assert OrganQuality("liver", 0.95, (0.9, 0.97), "ok").words == "liver: ok"
    reasons = "windows disagree", "in 3 pieces"
    assert (
        OrganQuality("liver", 0.6, (0.4, 0.8), "check", reasons).words == "liver: check: windows disagree, in 3 pieces"
    )
