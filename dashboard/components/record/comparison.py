"""Runs side by side: means per organ, differences case by case with their tests, settings that differ."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from autosam_platform.evaluation.statistics import Metric, PairedComparison, compare_cases, holm
from autosam_platform.evaluation.table import Row, mean
from autosam_platform.tracking.reading import flatten
from dashboard.components.base.text import probability

ALL = "all organs"
"""The line of cases, each with its mean over the organs that both runs have a score for."""

Rows = Sequence[Row]


@dataclass(frozen=True)
class Paired:
    """A run against the reference, on the cases and organs that both have.

    Attributes:
        organs: the comparison of each, run − reference.
        corrected: p of each organ, Holm's correction over the organs.
        together: over cases, each with its mean over organs.
    """

    organs: dict[str, PairedComparison]
    corrected: dict[str, float]
    together: PairedComparison

    def table(self) -> pd.DataFrame:
        """A line per organ, and one for ``ALL``: n cases, difference in points, p, p after Holm, as texts have them."""
        lines = [_line(organ, found, self.corrected[organ]) for organ, found in self.organs.items()]
        return pd.DataFrame([*lines, _line(ALL, self.together, math.nan)])

    def points(self) -> dict[str, dict[str, float]]:
        """Differences in points by organ and case."""
        return {
            organ: {case: 100 * value for case, value in found.differences.items()}
            for organ, found in self.organs.items()
        }


def _line(organ: str, found: PairedComparison, corrected: float) -> dict[str, Any]:
    difference = 100 * found.mean_difference
    return {
        "organ": organ,
        "n": found.n,
        "difference": difference,
        "p": probability(found.p_value),
        "corrected": probability(corrected),
    }


def in_common(tables: Mapping[str, Rows]) -> dict[str, list[Row]]:
    """Of every run the rows of those cases and organs that all runs have."""
    shared = set.intersection(*({_place(row) for row in rows} for rows in tables.values()))
    return {run: [row for row in rows if _place(row) in shared] for run, rows in tables.items()}


def cases(rows: Rows) -> set[str]:
    """Ids of the cases."""
    return {row.case for row in rows}


def compare(ours: Rows, reference: Rows, metric: Metric) -> Paired:
    """Compare two runs on the same cases and organs (``in_common``).

    Raises:
        ValueError: their NSD has different tolerances.
    """
    organs = {name: compare_cases(_of(ours, name), _of(reference, name), metric) for name in organ_names(reference)}
    corrected = holm([found.p_value for found in organs.values()])
    return Paired(organs, dict(zip(organs, corrected, strict=True)), compare_cases(ours, reference, metric))


def organ_names(rows: Rows) -> list[str]:
    """Names of the organs in the order of their labels."""
    return list(dict.fromkeys(row.class_name for row in sorted(rows, key=lambda row: row.class_id)))


def equally_scored(shared: Mapping[str, Rows], metric: Metric) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """The rows with scores only where all runs have one, and by organ in how many cases only some of them did.

    An organ that is not in the truth has a score of 0 in a run that invents it and none in others: means over other
    cases than one another's cannot be compared.

    Args:
        shared: rows of the same cases and organs (``in_common``).
    """
    known = [{_place(row) for row in rows if not math.isnan(getattr(row, metric))} for rows in shared.values()]
    everywhere = set.intersection(*known)
    uneven = set.union(*known) - everywhere
    unscored: dict[str, Any] = {metric: math.nan}
    even = {
        run: [replace(row, **unscored) if _place(row) in uneven else row for row in rows]
        for run, rows in shared.items()
    }
    return even, dict(Counter(organ for _, organ in sorted(uneven)))


def means(tables: Mapping[str, Rows], metric: Metric) -> pd.DataFrame:
    """Percent by organ (rows) and run (columns), mean over cases; at the end the mean over organs.

    ``n`` are the cases behind an organ's means.

    Args:
        tables: rows with scores in the same cases (``equally_scored``).
    """
    by_run = {
        run: {organ: 100 * mean(getattr(row, metric) for row in _of(rows, organ)) for organ in organ_names(rows)}
        for run, rows in tables.items()
    }
    table = pd.DataFrame(by_run)
    table.loc["mean over organs"] = table.mean()
    rows = next(iter(tables.values()))
    scored = Counter(row.class_name for row in rows if not math.isnan(getattr(row, metric)))
    numbers = [*(scored[organ] for organ in table.index[:-1]), None]
    table.insert(0, "n", pd.array(numbers, dtype="Int64"))
    return table.rename_axis("organ").reset_index()


def differing(configs: Mapping[str, Mapping[str, Any]]) -> tuple[pd.DataFrame, int]:
    """Settings that are not the same in all runs, a column per run, and how many are the same."""
    flat = {run: flatten(config) for run, config in configs.items()}
    names = list(dict.fromkeys(name for each in flat.values() for name in each))
    values = {name: [_shown(each, name) for each in flat.values()] for name in names}
    different = {name: each for name, each in values.items() if len(set(each)) > 1}
    table = pd.DataFrame.from_dict(different, orient="index", columns=list(flat), dtype=str)
    return table.rename_axis("setting").reset_index(), len(names) - len(different)


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return str(settings[name]) if name in settings else "–"


def _place(row: Row) -> tuple[str, str]:
    return row.case, row.class_name


def _of(rows: Rows, organ: str) -> list[Row]:
    return [row for row in rows if row.class_name == organ]
