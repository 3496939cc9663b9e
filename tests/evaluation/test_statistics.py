"""Paired comparisons whose means and p values are checked by hand."""

import json
import math
from itertools import product

import numpy as np
import pytest

from autosam_platform.evaluation.metrics import ClassMetrics
from autosam_platform.evaluation.statistics import PairedComparison, case_means, compare_cases, holm, over_seeds
from autosam_platform.evaluation.table import Row

NAN = math.nan


def row(case: str, organ: str, dice: float, nsd: float = 0.5, tolerance: float = 2.0) -> Row:
    return Row.of(case, ClassMetrics(1, organ, dice, nsd, 1.0, truth_ml=10.0, predicted_ml=10.0), tolerance)


def livers(*dice: float) -> list[Row]:
    return [row(f"case {number}", "liver", each) for number, each in enumerate(dice)]


def exact_p(differences: list[float]) -> float:
    """Two-sided p by going through all signs; the sizes of the differences are distinct and not zero."""
    ranks = [sorted(map(abs, differences)).index(abs(each)) + 1 for each in differences]
    half = sum(ranks) / 2
    observed = abs(sum(rank for rank, each in zip(ranks, differences, strict=True) if each > 0) - half)
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in product((0, 1), repeat=len(ranks))
    ]
    return sum(abs(each - half) >= observed for each in sums) / len(sums)


def test_six_cases_that_all_gain_have_two_in_sixty_four() -> None:
    found = compare_cases(livers(0.51, 0.52, 0.53, 0.54, 0.55, 0.56), livers(*[0.5] * 6))
    assert (found.n, found.p_value) == (6, 2 / 64)
    assert found.mean_difference == pytest.approx(0.035)
    assert found.differences["case 0"] == 0.01
    assert str(found) == "+3.50 points, n = 6, p = 0.0312"


@pytest.mark.parametrize(
    "differences",
    [[0.01, 0.02, 0.03, 0.04, 0.05, -0.06], [-0.1, 0.02, 0.03], [0.01, -0.02, 0.05, 0.07, -0.03, 0.11, 0.13, -0.2]],
    ids=str,
)
def test_p_is_that_of_all_signs(differences: list[float]) -> None:
    found = compare_cases(livers(*(0.5 + each for each in differences)), livers(*[0.5] * len(differences)))
    assert found.p_value == pytest.approx(exact_p(differences))


def test_organs_of_a_case_count_as_one_observation() -> None:
    ours = [row("a", "liver", 0.9), row("a", "spleen", 0.5), row("b", "liver", 0.8), row("b", "spleen", 0.8)]
    theirs = [row("b", "spleen", 0.6), row("b", "liver", 0.8), row("a", "liver", 0.7), row("a", "spleen", 0.5)]
    found = compare_cases(ours, theirs)
    assert found.differences == {"a": 0.1, "b": 0.1}
    assert found.n == 2


def test_an_organ_or_case_that_one_side_has_no_score_for_is_left_out() -> None:
    ours = [row("a", "liver", 0.9), row("a", "spleen", 0.0), row("b", "liver", NAN)]
    theirs = [row("a", "liver", 0.8), row("a", "spleen", NAN), row("b", "liver", 0.4)]
    assert compare_cases(ours, theirs).differences == {"a": 0.1}
    assert case_means(ours) == {"a": 0.45}


def test_scores_that_are_equal_give_no_p_and_say_so() -> None:
    # In floating point 0.1 + 0.2 is not 0.3: a difference of rounding is none.
    found = compare_cases(livers(0.1 + 0.2, 0.7), livers(0.3, 0.7))
    assert (found.n, found.mean_difference) == (2, 0.0)
    assert math.isnan(found.p_value)
    assert str(found) == "+0.00 points, n = 2, no p: no case differs"
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["p_value"] is None


def test_without_a_case_in_common_there_is_nothing_to_compare() -> None:
    found = compare_cases(livers(NAN), livers(0.5))
    assert found.n == 0
    assert math.isnan(found.mean_difference) and math.isnan(found.p_value)
    assert str(found) == "no case in common has a score"


def test_few_cases_are_said_to_be_few() -> None:
    found = compare_cases(livers(0.51, 0.52, 0.53, 0.54, 0.55), livers(*[0.5] * 5))
    assert found.p_value == 2 / 32
    assert str(found).endswith("p = 0.0625 (with fewer than 6 cases p cannot be below 0.05)")


def test_nsd_is_compared_where_it_is_asked_for() -> None:
    found = compare_cases([row("a", "liver", 0.9, nsd=0.6)], [row("a", "liver", 0.9, nsd=0.8)], "nsd")
    assert found.mean_difference == pytest.approx(-0.2)


def test_other_cases_and_other_tolerances_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different cases \(case 2 by one of them only\)"):
        compare_cases(livers(0.5, 0.5, 0.5), livers(0.5, 0.5))
    theirs = [row("a", "liver", 0.9, tolerance=3.0)]
    with pytest.raises(ValueError, match=r"tolerances of \[2\.0, 3\.0\] mm"):
        compare_cases([row("a", "liver", 0.9)], theirs, "nsd")
    assert compare_cases([row("a", "liver", 0.9)], theirs).n == 1


def test_holm_multiplies_by_the_tests_that_are_left_and_never_falls() -> None:
    # sorted 0.01 · 3 = 0.03, 0.02 · 2 = 0.04, 0.03 · 1 = 0.03, which may not be below 0.04
    assert holm([0.03, 0.01, NAN, 0.02]) == pytest.approx([0.04, 0.03, NAN, 0.04], nan_ok=True)
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def _found(*gains: float) -> PairedComparison:
    return compare_cases(livers(*(0.5 + each for each in gains)), livers(*[0.5] * len(gains)))


def test_seeds_are_put_together_case_by_case() -> None:
    """Two seeds, six cases: the means over seeds are 0.02, 0.03 … 0.07, all of one sign, so p is 2 / 64."""
    gain = over_seeds([_found(0.01, 0.02, 0.03, 0.04, 0.05, 0.06), _found(0.03, 0.04, 0.05, 0.06, 0.07, 0.08)])
    assert gain.per_seed == pytest.approx((0.035, 0.055))
    assert (gain.n, gain.mean, gain.p_value) == (6, pytest.approx(0.045), 2 / 64)
    assert 0.02 < gain.low < 0.036 and 0.054 < gain.high < 0.07
    assert str(gain).startswith("+4.50 points (95 %: +2.") and str(gain).endswith(
        "n = 6, p = 0.0312; by seed +3.50, +5.50"
    )


def test_the_interval_over_seeds_is_that_of_drawing_them_one_by_one() -> None:
    """The slow way: draw seeds and cases with replacement, and take the mean of what was drawn."""
    rng = np.random.default_rng(5)
    gains = rng.normal(0.02, 0.03, (3, 1)) + rng.normal(0, 0.05, (3, 8))
    gain = over_seeds([_found(*each) for each in gains])
    means = [gains[np.ix_(rng.integers(3, size=3), rng.integers(8, size=8))].mean() for _ in range(10_000)]
    assert [gain.low, gain.high] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist(), abs=0.003)


def test_of_a_gain_of_one_seed_only_the_seeds_tell() -> None:
    """The cases agree, the seeds do not: an interval over cases alone would call this certain."""
    gain = over_seeds([_found(*[0.1] * 8), _found(*[-0.02] * 8), _found(*[-0.02] * 8)])
    assert gain.low == pytest.approx(-0.02) and gain.high == pytest.approx(0.1) and gain.mean == pytest.approx(0.02)


def test_cases_that_a_seed_has_no_score_for_are_left_out() -> None:
    first, second = _found(0.01, 0.02), _found(0.03, 0.04)
    del second.differences["case 0"]
    gain = over_seeds([first, second])
    assert (gain.n, gain.mean) == (1, pytest.approx(0.03))
    del first.differences["case 1"]
    with pytest.raises(ValueError, match="no case has a score with every seed"):
        over_seeds([first, second])


def test_one_seed_has_no_interval_and_comparisons_survive_json() -> None:
    found = _found(0.01, 0.02)
    gain = over_seeds([PairedComparison.of_json(json.loads(json.dumps(found.as_json())))])
    assert math.isnan(gain.low) and gain.per_seed == pytest.approx((0.015,))
    assert gain.as_json()["low"] is None
    same = _found(0.0, 0.0)
    assert math.isnan(PairedComparison.of_json(same.as_json()).p_value)
    assert "no p: no case differs" in str(over_seeds([same]))
