"""Two models on the same cases: their difference case by case, and whether chance explains it.

The paper compares models by Wilcoxon's signed-rank test (Sec. 4). Its observations are cases: organs of one case are
no independent observations, so each case counts once, with the mean over its organs.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from scipy.stats import wilcoxon

from autosam_platform.evaluation.table import Row, mean, without_nan

Metric = Literal["dice", "nsd"]

FEWEST = 6  # cases: with 5, even five differences of one sign have p = 2 / 2⁵ = 0.0625
_RESAMPLES = 10_000  # of seeds and cases; a limit of the interval moves by a hundredth of its width with another draw
_DIGITS = 12  # differences that are equal but for rounding are ties, and those of equal scores are zero


@dataclass(frozen=True)
class PairedComparison:
    """How one model differs from another on the cases that both have a score for.

    Attributes:
        n: cases.
        mean_difference: ours − theirs, mean over cases, as a share (0.01 is a point); NaN without cases.
        p_value: two-sided, of Wilcoxon's signed-rank test; NaN where there are no cases or none differs.
        differences: ours − theirs by case.
    """

    n: int
    mean_difference: float
    p_value: float
    differences: dict[str, float]

    def __str__(self) -> str:
        if not self.n:
            return "no case in common has a score"
        found = f"{100 * self.mean_difference:+.2f} points, n = {self.n}, "
        if math.isnan(self.p_value):
            return found + "no p: no case differs"
        few = f" (with fewer than {FEWEST} cases p cannot be below 0.05)" if self.n < FEWEST else ""
        return f"{found}p = {self.p_value:.3g}{few}"

    def as_json(self) -> dict[str, Any]:
        """All fields, with None for NaN, which JSON lacks."""
        return without_nan(asdict(self))

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Self:
        """What ``as_json`` gave."""
        known: dict[str, Any] = {name: math.nan if value is None else value for name, value in values.items()}
        return cls(**known)


def compare_cases(ours: Sequence[Row], theirs: Sequence[Row], metric: Metric = "dice") -> PairedComparison:
    """Compare two models by Wilcoxon's signed-rank test over cases, two-sided.

    A case's score is the mean over the organs for which both models have one. Organs that one of them has none for
    (absent from the truth and from one prediction) are left out, and so are cases without any such organ; what a
    model invents there stands in its own table. Up to 50 cases p is exact (scipy's ``method="auto"``); cases that do
    not differ tell nothing and are dropped from the test, as Wilcoxon did, but count in ``n`` and in the mean.

    The mean difference is a mean over cases; that of two summaries is a mean over organs. They are equal where every
    case has every organ.

    Raises:
        ValueError: the models were evaluated on different cases, or their NSD has different tolerances.
    """
    _require_same_cases(ours, theirs)
    if metric == "nsd":
        _require_same_tolerance(ours, theirs)
    scores, others = _scores(ours, metric), _scores(theirs, metric)
    shared: dict[str, list[float]] = {}
    for (case, organ), score in scores.items():
        if (case, organ) in others:
            shared.setdefault(case, []).append(score - others[case, organ])
    differences = {case: round(mean(each), _DIGITS) for case, each in shared.items()}
    return PairedComparison(len(differences), mean(differences.values()), _p_value(differences.values()), differences)


@dataclass(frozen=True)
class GainOverSeeds:
    """How one way to train differs from another, each trained with several seeds and tested on the same cases.

    Attributes:
        per_seed: ours − theirs, mean over cases, as a share.
        n: cases that all seeds have a score for.
        mean: over seeds and cases.
        low, high: 95 % interval of the mean, over other seeds and other cases; NaN of a single seed.
        p_value: two-sided, of Wilcoxon's signed-rank test over cases, each with its mean over the seeds.
    """

    per_seed: tuple[float, ...]
    n: int
    mean: float
    low: float
    high: float
    p_value: float

    def __str__(self) -> str:
        seeds = ", ".join(f"{100 * each:+.2f}" for each in self.per_seed)
        interval = "" if math.isnan(self.low) else f" (95 %: {100 * self.low:+.2f} to {100 * self.high:+.2f})"
        p = "no p: no case differs" if math.isnan(self.p_value) else f"p = {self.p_value:.3g}"
        return f"{100 * self.mean:+.2f} points{interval}, n = {self.n}, {p}; by seed {seeds}"

    def as_json(self) -> dict[str, Any]:
        """All fields, with None for NaN, which JSON lacks."""
        return without_nan(asdict(self))


def over_seeds(found: Sequence[PairedComparison]) -> GainOverSeeds:
    """Put together the comparisons of several seeds, each of its own pair of models.

    The interval is a percentile bootstrap in which seeds and cases are drawn anew, each by itself: a gain that hangs
    on one lucky seed, or on a few easy cases, has a wide one. Of few seeds it is too narrow all the same: three can be
    drawn in ten ways only. The draws are those of one seed, so the same scores have the same interval.

    Raises:
        ValueError: there is no comparison, or no case has a score with every seed.
    """
    shared = sorted(set.intersection(*(set(each.differences) for each in found))) if found else []
    if not shared:
        raise ValueError("no case has a score with every seed: evaluate all of them on the same cases")
    gains_SN = np.array([[each.differences[case] for case in shared] for each in found])
    seeds, cases = gains_SN.shape
    rng = np.random.default_rng(0)
    of_seeds = rng.multinomial(seeds, [1 / seeds] * seeds, _RESAMPLES) / seeds
    of_cases = rng.multinomial(cases, [1 / cases] * cases, _RESAMPLES) / cases
    drawn = np.einsum("rs,sn,rn->r", of_seeds, gains_SN, of_cases, optimize=True)
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist() if seeds > 1 else (math.nan, math.nan)
    means = [round(each, _DIGITS) for each in gains_SN.mean(0).tolist()]
    per_seed = tuple(gains_SN.mean(1).tolist())
    return GainOverSeeds(per_seed, cases, float(gains_SN.mean()), low, high, _p_value(means))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values of several tests, corrected so that the chance of any false find stays at the level (Holm, 1979).

    Those that are NaN stay NaN and do not count as tests.
    """
    known = sorted((value, index) for index, value in enumerate(p_values) if not math.isnan(value))
    corrected, largest = [math.nan] * len(p_values), 0.0
    for rank, (value, index) in enumerate(known):
        largest = max(largest, min(1.0, value * (len(known) - rank)))
        corrected[index] = largest
    return corrected


def case_means(rows: Iterable[Row], metric: Metric = "dice") -> dict[str, float]:
    """Mean over the organs that have a score, by case; cases without any are left out."""
    found: dict[str, list[float]] = {}
    for (case, _), score in _scores(rows, metric).items():
        found.setdefault(case, []).append(score)
    return {case: mean(scores) for case, scores in found.items()}


def _scores(rows: Iterable[Row], metric: Metric) -> dict[tuple[str, str], float]:
    scores = {(row.case, row.class_name): getattr(row, metric) for row in rows}
    return {place: score for place, score in scores.items() if not math.isnan(score)}


def _p_value(differences: Iterable[float]) -> float:
    values = list(differences)
    return float(wilcoxon(values).pvalue) if any(values) else math.nan


def _require_same_cases(ours: Sequence[Row], theirs: Sequence[Row]) -> None:
    one, other = ({row.case for row in rows} for rows in (ours, theirs))
    if one != other:
        raise ValueError(
            f"the models were evaluated on different cases ({', '.join(sorted(one ^ other))} by one of them only): "
            "evaluate both on the same split"
        )


def _require_same_tolerance(ours: Sequence[Row], theirs: Sequence[Row]) -> None:
    tolerances = sorted({row.nsd_tolerance_mm for row in (*ours, *theirs)})
    if len(tolerances) > 1:
        raise ValueError(f"NSD at tolerances of {tolerances} mm cannot be compared: evaluate both models with one")
