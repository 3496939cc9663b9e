"""Scores of many cases as a file, as a summary and as a table for the terminal.

The mean of a run is the mean over classes of each class's mean over the cases where it has a score (nnU-Net's
and the paper's reading): a class that few cases have counts as much as one that all have. A class without any
score is left out of it. ``n``, the number of cases behind a figure, is always shown; HD95 has its own, since
a case without the organ in truth or prediction has no HD95, but has a Dice if one of the two holds it.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.box import SIMPLE_HEAD
from rich.table import Table

from autosam_inference.files import atomic_write

if TYPE_CHECKING:
    from autosam_platform.evaluation.metrics import ClassMetrics  # brings torch, which who reads a table does without


@dataclass(frozen=True)
class Row:
    """One line of ``metrics.csv``: one class in one case."""

    case: str
    class_id: int
    class_name: str
    dice: float
    nsd: float
    nsd_tolerance_mm: float
    hd95_mm: float
    truth_ml: float
    predicted_ml: float

    @classmethod
    def of(cls, case: str, metrics: "ClassMetrics", tolerance_mm: float) -> Self:
        """The row of a class's metrics in ``case``."""
        return cls(
            case=case,
            class_id=metrics.class_id,
            class_name=metrics.class_name,
            dice=metrics.dice,
            nsd=metrics.nsd,
            nsd_tolerance_mm=tolerance_mm,
            hd95_mm=metrics.hd95_mm,
            truth_ml=metrics.truth_ml,
            predicted_ml=metrics.predicted_ml,
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The row that ``as_json`` gave."""
        filled: dict[str, Any] = {name: math.nan if value is None else value for name, value in values.items()}
        return cls(**filled)

    def as_json(self) -> dict[str, Any]:
        """The row with None for NaN, which JSON lacks."""
        return without_nan(asdict(self))


@dataclass(frozen=True)
class Score:
    """Means of one class over the cases where it has a score; NaN where there is none.

    Attributes:
        n: cases with Dice and NSD.
        n_hd95: cases with HD95, those where truth and prediction hold the class: ``n`` at most.
    """

    dice: float
    nsd: float
    hd95_mm: float
    n: int
    n_hd95: int


@dataclass(frozen=True)
class SourceScore:
    """Means over the organs of each one's mean over the cases of one source; NaN where none has a score."""

    mean_dice: float
    mean_nsd: float
    n_cases: int


@dataclass(frozen=True)
class Summary:
    """What an evaluation comes to.

    Attributes:
        per_source: by the names of a dataset's sources, where the cases are of several.
        seconds_per_case: medians of the phases of a case and of their total.
        notice: what a reader of the figures must know of how they were made; empty where there is nothing.
    """

    mean_dice: float
    mean_nsd: float
    mean_hd95_mm: float
    n_cases: int
    nsd_tolerance_mm: float
    per_class: dict[str, Score]
    seconds_per_case: dict[str, float]
    per_source: dict[str, SourceScore] = field(default_factory=dict)
    notice: str = ""

    def as_json(self) -> dict[str, Any]:
        """All fields, with None for NaN, which JSON lacks; no sources and no notice where there are none."""
        told = asdict(self).items()
        return without_nan({name: value for name, value in told if value or name not in ("per_source", "notice")})


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write ``metrics.csv``, whole or not at all; a missing score is written as ``nan``."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(each.name for each in fields(Row))
        writer.writerows(astuple(row) for row in rows)


def read_rows(path: Path) -> list[Row]:
    """Read ``metrics.csv``.

    Raises:
        ValueError: the file is not one of ours.
    """
    names = [each.name for each in fields(Row)]
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != names:
            raise ValueError(f"{path} has the columns {reader.fieldnames}, expected {names}: evaluate the run again")
        try:
            return [_from_text(line) for line in reader]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged at line {reader.line_num}: evaluate the run again") from error


def _from_text(values: dict[str, str]) -> Row:
    kinds = {each.name: each.type for each in fields(Row)}
    return Row(**{name: kinds[name](value) for name, value in values.items()})  # type: ignore[operator]


def summarise(
    rows: Sequence[Row], seconds_per_case: Mapping[str, float], sources: Mapping[str, str] | None = None
) -> Summary:
    """Means per class over cases, and the mean of these over classes; the seconds are passed on.

    Args:
        sources: names of the sources by their cases, of a dataset that has several.

    Raises:
        ValueError: there are no rows, or they were measured with different tolerances.
    """
    tolerances = {row.nsd_tolerance_mm for row in rows}
    if len(tolerances) != 1:
        raise ValueError(f"a summary needs rows of one NSD tolerance, these have {sorted(tolerances) or 'none'}")
    per_class = _per_class(rows)
    return Summary(
        mean_dice=mean(score.dice for score in per_class.values()),
        mean_nsd=mean(score.nsd for score in per_class.values()),
        mean_hd95_mm=mean(score.hd95_mm for score in per_class.values()),
        n_cases=len({row.case for row in rows}),
        nsd_tolerance_mm=tolerances.pop(),
        per_class=per_class,
        seconds_per_case=dict(seconds_per_case),
        per_source=_per_source(rows, sources or {}),
    )


def _per_class(rows: Sequence[Row]) -> dict[str, Score]:
    per_class = {}
    for name in dict.fromkeys(row.class_name for row in rows):
        scored = [row for row in rows if row.class_name == name and not math.isnan(row.dice)]
        far = [row.hd95_mm for row in scored if not math.isnan(row.hd95_mm)]
        dice, nsd = mean(row.dice for row in scored), mean(row.nsd for row in scored)
        per_class[name] = Score(dice, nsd, mean(far), len(scored), len(far))
    return per_class


def _per_source(rows: Sequence[Row], sources: Mapping[str, str]) -> dict[str, SourceScore]:
    found: dict[str, SourceScore] = {}
    for source in dict.fromkeys(sources[row.case] for row in rows if row.case in sources):
        own = [row for row in rows if sources.get(row.case) == source]
        scores = _per_class(own).values()
        dice, nsd = mean(score.dice for score in scores), mean(score.nsd for score in scores)
        found[source] = SourceScore(dice, nsd, len({row.case for row in own}))
    return found if len(found) > 1 else {}


def mean(values: Iterable[float]) -> float:
    """Mean of those that are not NaN; NaN where there are none."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def as_table(summary: Summary, title: str) -> Table:
    """The summary for a terminal, in percent and mm: ``rich.print`` shows it."""
    caption = "n: cases. HD95 only where truth and prediction hold the organ."
    title = f"{title}\n{summary.notice}" if summary.notice else title
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD, show_footer=True)
    table.add_column("organ", "mean over organs")
    table.add_column("Dice %", percent(summary.mean_dice), justify="right")
    table.add_column(f"NSD % ({summary.nsd_tolerance_mm:g} mm)", percent(summary.mean_nsd), justify="right")
    table.add_column("n", str(summary.n_cases), justify="right")
    table.add_column("HD95 mm", _millimetres(summary.mean_hd95_mm), justify="right")
    table.add_column("n (HD95)", justify="right")
    for name, score in summary.per_class.items():
        overlap = percent(score.dice), percent(score.nsd), str(score.n)
        table.add_row(name, *overlap, _millimetres(score.hd95_mm), str(score.n_hd95))
    return table


def sources_table(summary: Summary) -> Table:
    """The scores of each source for a terminal, in percent."""
    table = Table(title="By source", caption="Means over the organs that the source annotates.", box=SIMPLE_HEAD)
    table.add_column("source")
    for name in ("Dice %", f"NSD % ({summary.nsd_tolerance_mm:g} mm)", "n"):
        table.add_column(name, justify="right")
    for source, score in summary.per_source.items():
        table.add_row(source, percent(score.mean_dice), percent(score.mean_nsd), str(score.n_cases))
    return table


def percent(value: float) -> str:
    """A share in percent, as tables show it; NaN as a dash."""
    return "–" if math.isnan(value) else f"{100 * value:.2f}"


def _millimetres(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with None for NaN, which JSON lacks, at any depth of dictionaries."""
    return {key: without_nan(each) if isinstance(each, dict) else _finite(each) for key, each in values.items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
