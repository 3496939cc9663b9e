"""Two models on the same cases: their difference case by case, and whether chance explains it.

The paper compares models by Wilcoxon's signed-rank test (Sec. 4). Its observations are cases: organs of one case are
no independent observations, so each case counts once, with the mean over its organs.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scipy.stats import wilcoxon

from autosam_platform.evaluation.table import Row, mean, without_nan

Metric = Literal["dice", "nsd"]

_FEWEST = 6  # cases: with 5, even five differences of one sign have p = 2 / 2⁵ = 0.0625
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
        few = f" (with fewer than {_FEWEST} cases p cannot be below 0.05)" if self.n < _FEWEST else ""
        return f"{found}p = {self.p_value:.3g}{few}"

    def as_json(self) -> dict[str, Any]:
        """All fields, with None for NaN, which JSON lacks."""
        return without_nan(asdict(self))


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
