"""The matched report: a student with and without its teacher, and the teacher, on the same cases, in one table.

Files: ``report.csv`` (a line per model and organ, and one for their mean), ``report.json``, and ``report.png`` in the
form of the paper's Fig. 4.
"""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from autosam_inference.files import atomic_write, write_json
from autosam_models.sizes import size_text
from autosam_platform.distillation.compared import Compared, Models, by_label, counts, organs, retention, runs
from autosam_platform.distillation.labels import MEAN, STUDENT, TEACHER, TWIN, Label
from autosam_platform.distillation.picture import save_report_picture
from autosam_platform.evaluation.cost import ModelCost
from autosam_platform.evaluation.statistics import Metric, PairedComparison, compare_cases
from autosam_platform.evaluation.table import percent, without_nan
from autosam_platform.workspace import RunFolder

_PAIRS: tuple[tuple[Label, Label], ...] = ((STUDENT, TWIN), (STUDENT, TEACHER))
_NONE = "–"  # in place of a number that there is not
METRICS: dict[Metric, str] = {"dice": "Dice", "nsd": "NSD"}


@dataclass(frozen=True)
class Comparison:
    """Two models by one metric, ``ours`` − ``theirs``."""

    ours: Label
    theirs: Label
    metric: Metric
    found: PairedComparison

    def __str__(self) -> str:
        return f"{self.ours} vs {self.theirs}, {METRICS[self.metric]}: {self.found}"


@dataclass(frozen=True)
class Report:
    """Models in the order teacher, student without distillation, student, and how the student compares."""

    models: Models
    comparisons: tuple[Comparison, ...]

    def as_table(self) -> Table:
        """The report for a terminal: ``rich.print`` shows it."""
        models = list(self.models.values())
        table = Table(title="Distillation", caption=self._caption(), caption_justify="left", box=SIMPLE_HEAD)
        table.add_column(f"Dice % / NSD % ({models[0].summary.nsd_tolerance_mm:g} mm)")
        for each in models:
            table.add_column(each.label, justify="right")
        table.add_column("n", justify="right")
        for organ in (*organs(self.models), MEAN):
            scores = [each.overlap(organ) for each in models]
            cells = [f"{percent(score.dice)} / {percent(score.nsd)}" for score in scores]
            table.add_row(organ, *cells, counts(self.models, organ))
        table.add_section()
        for name, cells in self._costs():
            table.add_row(name, *cells)
        return table

    def as_json(self) -> dict[str, Any]:
        """``{"models": {label: …}, "wilcoxon": {"student vs …": {metric: …}}}``, None for NaN.

        Dice, NSD and differences are shares, as in ``summary.json``; what is in percent has it in its name.
        """
        wilcoxon: dict[str, dict[str, Any]] = {}
        for each in self.comparisons:
            wilcoxon.setdefault(f"{each.ours} vs {each.theirs}", {})[each.metric] = each.found.as_json()
        return {"models": {label: self._model(label) for label in self.models}, "wilcoxon": wilcoxon}

    def _model(self, label: Label) -> dict[str, Any]:
        model = self.models[label]
        values = {"run": model.run, "retention_percent": retention(self.models, label)}
        nested = {"cost": model.cost and model.cost.as_json(), "lineage": dict(model.lineage)}
        return without_nan(values) | model.summary.as_json() | nested

    def _caption(self) -> str:
        conditions = " | ".join(dict.fromkeys(each.cost.conditions for each in self.models.values() if each.cost))
        tests = [str(each) for each in self.comparisons]
        first = "n: cases. p: Wilcoxon's signed-rank test over cases, two-sided."
        return "\n".join([first, *tests, f"CPU: {conditions}.", runs(self.models)])

    def _costs(self) -> list[tuple[str, list[str]]]:
        costs = [each.cost for each in self.models.values()]

        def cells(told: Callable[[ModelCost], str]) -> list[str]:
            return [told(cost) if cost else _NONE for cost in costs]

        return [
            ("% of the teacher's Dice", [_number(retention(self.models, label), 1) for label in self.models]),
            ("parameters, million", cells(lambda cost: _number(cost.parameters / 1e6, 2))),
            ("GFLOP per patch", cells(lambda cost: _number(cost.gflop_per_patch, 1))),
            ("patch, voxels", cells(lambda cost: size_text(cost.patch))),
            ("CPU seconds per scan", cells(lambda cost: _number(cost.seconds_per_scan, 2))),
            ("peak memory, MB", cells(lambda cost: _number(cost.peak_mb, 0))),
        ]


def matched_report(run: RunFolder, models: Sequence[Compared]) -> Report:
    """Compare the models, and write a table, the figures as JSON and a picture into the run's folder.

    Args:
        models: whichever of teacher, student and the student's twin without distillation there are, in any order. A
            student of λ = 1 is its own twin: give it as one of the two.

    Raises:
        ValueError: there is no model, two have one label, or they were evaluated on different cases or with different
            NSD tolerances.
    """
    known = by_label(models)
    pairs = [pair for pair in _PAIRS if all(label in known for label in pair)]
    report = Report(known, tuple(_compare(known, *pair, metric) for pair in pairs for metric in METRICS))
    _write_table(run.report_table, report)
    save_report_picture(run.report_picture, known, [str(each) for each in report.comparisons if each.metric == "dice"])
    write_json(run.report_json, report.as_json())
    return report


def _compare(models: Models, ours: Label, theirs: Label, metric: Metric) -> Comparison:
    return Comparison(ours, theirs, metric, compare_cases(models[ours].rows, models[theirs].rows, metric))


def _write_table(path: Path, report: Report) -> None:
    """Scores of every organ, costs with the mean; an empty field where there is no number."""
    lines = [line for label in report.models for line in _lines(report.models, label)]
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[-1]))
        writer.writeheader()
        writer.writerows(without_nan(line) for line in lines)


def _lines(models: Models, label: Label) -> Iterator[dict[str, Any]]:
    model = models[label]
    for organ in (*model.summary.per_class, MEAN):
        score = model.overlap(organ)
        line = {
            "model": label,
            "run": model.run,
            "organ": organ,
            "n_cases": score.n,
            "dice_percent": 100 * score.dice,
            "nsd_percent": 100 * score.nsd,
            "nsd_tolerance_mm": model.summary.nsd_tolerance_mm,
            "retention_percent": retention(models, label, organ),
        }
        yield line | _cost_fields(model.cost) if organ == MEAN and model.cost else line


def _cost_fields(cost: ModelCost) -> dict[str, Any]:
    return {
        "parameters": cost.parameters,
        "gflop_per_patch": cost.gflop_per_patch,
        "patch_voxels": "x".join(str(n) for n in cost.patch),
        "cpu_seconds_per_scan": cost.seconds_per_scan,
        "peak_memory_mb": cost.peak_mb,
        "conditions": cost.conditions,
    }


def _number(value: float, digits: int) -> str:
    return _NONE if math.isnan(value) else f"{value:,.{digits}f}"
