"""What a study came to, cell by cell: numbers, where they come from, and who is better than whom."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from autosam_inference.errors import reasons
from autosam_inference.files import write_json
from autosam_inference.frozen import Frozen
from autosam_platform.evaluation.statistics import FEWEST, Metric, compare_cases
from autosam_platform.evaluation.table import Row, mean
from autosam_platform.studies.description import Column, Study, StudyError

Score = float | None
"""A share; None where there is none."""


class MemberResult(Frozen):
    """One training, and what it scored on its test cases.

    Attributes:
        label: which seed or fold it is; empty where there is one only.
        cases: for training, validation and test.
        split: hash of the ids of the cases.
        weights: hash of the trained weights.
        steps, patch, batch: how much it was trained on.
        seconds: spent training.
    """

    label: str
    run: str
    seed: int
    dice: Score
    nsd: Score
    cases: tuple[int, int, int]
    split: str
    weights: str
    steps: int
    patch: tuple[int, int, int]
    batch: int
    seconds: float | None = None


class CellResult(Frozen):
    """Where a row and a column meet.

    Attributes:
        members: trainings that are done.
        wanted: how many there are to be.
        parameters: that are trained.
        reason: why nothing, or not all, is there.
        oracle: its prompts come from the labels.
    """

    row: str
    column: str
    members: tuple[MemberResult, ...] = ()
    wanted: int = 1
    parameters: int | None = None
    reason: str = ""
    oracle: bool = False

    @property
    def whole(self) -> bool:
        """Is all there that is to be there?"""
        return bool(self.members) and len(self.members) == self.wanted

    def score(self, metric: Metric) -> float:
        """Mean over the trainings; NaN where there is none."""
        return mean(_number(getattr(each, metric)) for each in self.members)

    def spread(self, metric: Metric) -> float:
        """Standard deviation over the trainings; NaN of fewer than two."""
        found = [value for each in self.members if (value := getattr(each, metric)) is not None]
        return statistics.stdev(found) if len(found) > 1 else math.nan

    @property
    def tested(self) -> int:
        """Test cases: those of all folds, or of one training, since seeds are tested on the same."""
        folds = {each.split: each.cases[2] for each in self.members}
        return sum(folds.values())


class Difference(Frozen):
    """The starred row beside another one in a column, ours − theirs, as a share."""

    column: str
    other: str
    metric: Metric
    n: int
    difference: Score
    p: Score


class StudyResults(Frozen):
    """All of a study that is known.

    Attributes:
        recipe: that it is made by, in words.
        columns: as they were made; see ``plan.StudyPlan``.
        demo: it was made at demo size.
        teachers: runs by column.
        tolerances: of the NSD in mm, by column.
        remarks: what is to be said of a study that has no table.
    """

    name: str
    recipe: str
    demo: bool
    study: Study
    columns: dict[str, Column]
    cells: tuple[CellResult, ...]
    teachers: dict[str, str] = {}
    differences: tuple[Difference, ...] = ()
    tolerances: dict[str, float] = {}
    remarks: tuple[str, ...] = ()

    @property
    def has_table(self) -> bool:
        """Is there a table? A map of embeddings has no scores."""
        return self.study.figure != "embeddings"

    def cell(self, row: str, column: str) -> CellResult:
        """The cell of that row and column."""
        return next(each for each in self.cells if (each.row, each.column) == (row, column))

    @property
    def done(self) -> int:
        """Cells that are whole."""
        return sum(each.whole for each in self.cells)

    def starred(self, row: str, column: str, metric: Metric) -> bool:
        """Is this row better than each other one of the column, by a test that can tell?

        Nothing is starred without ``FEWEST`` cases, nor while another row of the column is missing.
        """
        study = self.study
        if row != study.starred or not self.cell(row, column).whole:
            return False
        others = [each for each in study.rows if each != row]
        found = {each.other: each for each in self.differences if (each.column, each.metric) == (column, metric)}
        return bool(others) and all(
            other in found
            and found[other].n >= FEWEST
            and (found[other].difference or 0.0) > 0
            and found[other].p is not None
            and (found[other].p or 0.0) < study.level
            for other in others
        )

    def best(self, column: str, metric: Metric) -> str | None:
        """The row with the highest score of a column; None where there is none."""
        scores = {each.row: each.score(metric) for each in self.cells if each.column == column}
        known = {row: score for row, score in scores.items() if not math.isnan(score)}
        return max(known, key=lambda row: known[row]) if known else None


def differences(study: Study, column: str, rows: Mapping[str, Sequence[Row]]) -> list[Difference]:
    """The starred row of a study beside each other one of ``column``, as far as both are there.

    Args:
        rows: scores by the keys of rows; of several trainings all of them, see ``merged``.
    """
    ours = rows.get(study.starred or "")
    if not ours:
        return []
    found = []
    for other, theirs in rows.items():
        if other == study.starred or not theirs:
            continue
        for metric in study.metrics:
            compared = compare_cases(ours, theirs, metric)
            values = {"difference": compared.mean_difference, "p": compared.p_value}
            known = {name: None if math.isnan(value) else value for name, value in values.items()}
            found.append(Difference(column=column, other=other, metric=metric, n=compared.n, **known))
    return found


def merged(trainings: Sequence[Sequence[Row]]) -> list[Row]:
    """Scores of several trainings as those of one: of each organ of each case the mean, where several have the case."""
    together: dict[tuple[str, str], list[Row]] = {}
    for rows in trainings:
        for row in rows:
            together.setdefault((row.case, row.class_name), []).append(row)
    return [
        alike[0]
        if len(alike) == 1
        else Row(
            **{
                **alike[0].__dict__,
                "dice": mean(each.dice for each in alike),
                "nsd": mean(each.nsd for each in alike),
                "hd95_mm": mean(each.hd95_mm for each in alike),
                "predicted_ml": mean(each.predicted_ml for each in alike),
            }
        )
        for alike in together.values()
    ]


def write_results(path: Path, results: StudyResults) -> None:
    """Write ``study.json``, whole or not at all."""
    write_json(path, results.model_dump(mode="json"))


def read_results(path: Path) -> StudyResults:
    """
    Raises:
        StudyError: the file cannot be read.
    """
    try:
        return StudyResults.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StudyError(
            f"{path} is no study of ours ({'; '.join(reasons(error))}): the command that made it writes it anew"
        ) from error
    except OSError as error:
        raise StudyError(
            f"{path} cannot be read ({error.strerror}): the command that made it writes it anew"
        ) from error


def _number(value: Score) -> float:
    return math.nan if value is None else value
