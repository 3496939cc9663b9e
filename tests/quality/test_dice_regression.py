"""The fit finds what is known, never turns a sign round, and says how far off it is."""

import math

import numpy as np
import pytest

from autosam_inference.quality.calibration import sigmoid
from autosam_platform.export.dice_regression import AS_IT_IS, Example, Fitted, band, fit


def logit_of(agreement: float, volume: float) -> float:
    return 3 * agreement - 0.5 * max(volume - 1, 0)


def made(count: int, seed: int, noise: float = 0.0) -> list[Example]:
    """Organs whose Dice follows from two signals; a third says nothing."""
    rng = np.random.default_rng(seed)
    examples = []
    for number in range(count):
        told = {"agreement": rng.uniform(-1, 1), "volume": rng.uniform(0, 4), "islands": rng.uniform(0, 1)}
        dice = float(np.clip(sigmoid(logit_of(told["agreement"], told["volume"])) + noise * rng.normal(), 0, 1))
        examples.append(Example(f"case {number % 20}", "liver", told, dice, AS_IT_IS if number % 2 else "noise"))
    return examples


def expected(fitted: Fitted, each: Example) -> float:
    effects = [curve.at(each.signals.get(curve.signal, math.nan)) for curve in fitted.curves]
    return sigmoid(fitted.levels[each.organ] + sum(effects))


def test_a_known_relation_is_found() -> None:
    fitted = fit(made(600, seed=0), ["liver"], 0.8)
    off = [abs(expected(fitted, each) - each.dice) for each in made(200, seed=1)]
    assert max(off) < 0.06 and np.mean(off) < 0.02
    islands = [curve for curve in fitted.curves if curve.signal == "islands"]
    assert all(np.ptp(curve.effects) < 0.1 for curve in islands)


def test_no_curve_goes_against_sense() -> None:
    """Here what looks worse is better; the fit learns nothing of it, rather than that."""
    turned = [
        Example(each.case, each.organ, {name: -value for name, value in each.signals.items()}, each.dice, each.kind)
        for each in made(200, seed=2)
    ]
    for curve in fit(turned, ["liver"], 0.8).curves:
        steps = np.diff(curve.effects) * (1 if curve.signal == "agreement" else -1)
        assert (steps >= -1e-12).all()


def test_the_interval_holds_as_many_as_it_says() -> None:
    fitted = fit(made(800, seed=3, noise=0.1), ["liver"], 0.8)
    held = [
        low <= each.dice <= high
        for each in made(800, seed=4, noise=0.1)
        for low, high in [fitted.band.around(expected(fitted, each))]
    ]
    assert np.mean(held) == pytest.approx(0.8, abs=0.05)


def test_organs_differ_only_as_far_as_is_seen() -> None:
    good = [Example(f"case {number}", "liver", {}, 0.9) for number in range(50)]
    bad = [Example(f"case {number}", "adrenal", {}, 0.5) for number in range(50)]
    levels = fit([*good, *bad], ["liver", "adrenal", "never seen"], 0.8).levels
    assert sigmoid(levels["liver"]) == pytest.approx(0.9, abs=0.01)
    assert sigmoid(levels["adrenal"]) == pytest.approx(0.5, abs=0.01)
    assert 0.5 < sigmoid(levels["never seen"]) < 0.9


def test_one_example_is_enough_to_say_something() -> None:
    fitted = fit([Example("case", "liver", {"agreement": 0.5, "mirrored": math.nan}, 0.8)], ["liver"], 0.8)
    assert sigmoid(fitted.levels["liver"]) == pytest.approx(0.8, abs=0.02) and fitted.curves == ()


def test_none_is_not() -> None:
    with pytest.raises(ValueError, match="no organ to fit on"):
        fit([], ["liver"], 0.8)


def test_the_band_by_hand() -> None:
    """Of eleven organs with Dice 0 to 1 of which 0.6 was expected, all lie 0.6 below to 0.4 above."""
    dice_N = np.linspace(0, 1, 11)
    found = band(np.full(11, 0.6), dice_N, np.ones(11), coverage=1.0)
    assert found.expected == (0.6,) and found.below == pytest.approx((0.6,)) and found.above == pytest.approx((0.4,))
