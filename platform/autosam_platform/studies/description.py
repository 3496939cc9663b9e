"""A study: a small YAML file that says which runs a table or figure of a paper is made of.

Rows are systems, columns are datasets or ways to train; where both meet is an experiment: the recipe's, with what the
column changes and then what the row changes. ``jobs/studies`` has those of the paper.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from autosam_inference.errors import reasons
from autosam_inference.frozen import Frozen
from autosam_platform.command_line import load_recipe
from autosam_platform.evaluation.paper import PaperTable, load_paper
from autosam_platform.evaluation.statistics import Metric
from autosam_platform.experiment import ConfigError

Changes = dict[str, Any]
"""Settings of an experiment by their dotted names, such as ``training.epochs``."""

Key = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
FigureKind = Literal["dots", "curve", "bars", "slices", "embeddings"]


class StudyError(ConfigError):
    """A study that cannot be made; the message names the file or the cell, what is wrong and what to do."""


class PaperPlace(Frozen):
    """Where a study's numbers stand in a paper.

    Attributes:
        name: of its file in ``evaluation/papers``.
        table: key of the table, whose rows and columns have the study's keys.
    """

    name: str
    table: str

    def find(self) -> PaperTable:
        """
        Raises:
            StudyError: the paper has no such table.
        """
        tables = load_paper(self.name).tables
        if self.table not in tables:
            raise StudyError(f"{self.name} has no table '{self.table}': there are {', '.join(tables)}")
        return tables[self.table]


class Part(Frozen):
    """What makes a row, a column or the teacher.

    Attributes:
        changes: of the recipe's settings.
        demo: further ones at demo size, after them, with ``--recipe demo``.
        taught: its runs learn from the study's teacher, too.
        role: that its model must have, whatever recipe is asked for: ``teacher`` where it stands for the paper's own
            network.
    """

    title: str = ""
    changes: Changes = {}
    demo: Changes = {}
    taught: bool = False
    role: Annotated[Literal["teacher"] | None, Field(exclude=True)] = None  # it refuses, so it is in no study's name


class Column(Part):
    """A dataset, or a way to train.

    Attributes:
        recipe: that is the column's own; where there is none, any recipe goes.
    """

    recipe: str | None = None


class Row(Part):
    """A system.

    Attributes:
        folds: it is trained so many times, with another group of patients to test on each time.
        at: its place on the axis of a curve.
    """

    folds: Annotated[int, Field(ge=3, le=100)] | None = None
    at: float | None = None


class Study(Frozen):
    """What a table or figure is made of.

    Attributes:
        paper: whose numbers stand beside ours.
        metrics: that the table shows.
        starred: the row that has a star where it is better than each other row, by Wilcoxon's signed-rank test over
            cases with p below ``level``.
        axis: what ``Row.at`` is, for a curve.
        figure: how the results are drawn.
        demo: changes of all rows at demo size, before what columns and rows change.
        teacher: of the runs that are taught.
    """

    title: str
    about: str = ""
    paper: PaperPlace | None = None
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = ("dice", "nsd")
    starred: Key | None = None
    level: Annotated[float, Field(gt=0, lt=1)] = 0.01
    axis: str = ""
    figure: FigureKind = "dots"
    demo: Changes = {}
    teacher: Part | None = None
    columns: Annotated[dict[Key, Column], Field(min_length=1)]
    rows: Annotated[dict[Key, Row], Field(min_length=1)]

    @model_validator(mode="after")
    def _keys_are_known(self) -> Self:
        if self.starred is not None and self.starred not in self.rows:
            raise ValueError(f"starred is {self.starred}, which is no row: there are {', '.join(self.rows)}")
        taught = [key for key, part in {**self.rows, **self.columns}.items() if part.taught]
        if taught and self.teacher is None:
            raise ValueError(f"{taught[0]} is taught, and the study names no teacher: add `teacher: {{}}`")
        if self.figure == "curve" and any(row.at is None for row in self.rows.values()):
            raise ValueError("a curve needs `at` in every row: its place on the axis")
        return self


def _extended(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A study's fields over those of the one that it ``extends``: what it names takes the place of the other's."""
    if "extends" not in fields:
        return fields
    other = load_recipe(str(fields["extends"]), folder, kind="study")
    if "extends" in other:
        raise StudyError(f"{fields['extends']} itself extends {other['extends']}: extend that one")
    return other | {name: value for name, value in fields.items() if name != "extends"}


def load_study(name: str, folder: Path) -> Study:
    """Read a study: the name of one in ``folder``, or a path to a YAML file; it may extend another one.

    Raises:
        StudyError: there is no such study, or it is none.
    """
    try:
        study = Study.model_validate(_extended(load_recipe(name, folder, kind="study"), folder))
    except ValidationError as error:
        problems = "\n".join(f"  {each}" for each in reasons(error))
        raise StudyError(f"the study {name} cannot be used:\n{problems}") from error
    except ConfigError as error:
        raise StudyError(str(error)) from error
    if study.paper is not None:
        study.paper.find()
    return study
