"""From a study and a recipe to the experiments that its cells are made of."""

import functools
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autosam_inference.errors import reasons
from autosam_inference.files import content_hash
from autosam_models import find_model, model_names
from autosam_platform.experiment import Experiment
from autosam_platform.studies.asked import DEMO, Asked, changed, not_asked, settings_of
from autosam_platform.studies.description import Changes, Column, Part, Row, Study, StudyError
from autosam_platform.studies.refusals import require_free, require_one_dataset, require_own_dataset, require_role

_VERSION = 1  # raise it whenever the same study would make other runs or another report


@dataclass(frozen=True)
class Member:
    """One training of a cell: which seed or fold it is, in words, and what is trained."""

    label: str
    experiment: Experiment


@dataclass(frozen=True)
class Cell:
    """Where a row and a column meet.

    Attributes:
        members: trainings; none where it is not to be made.
        taught: they learn from the teacher of the column.
        reason: why it is not made.
    """

    row: str
    column: str
    members: tuple[Member, ...] = ()
    taught: bool = False
    reason: str = ""


@dataclass(frozen=True)
class StudyPlan:
    """What is to be made.

    Attributes:
        key: the study's name.
        recipe: that it is made by, in words.
        columns: the study's, or one that stands for a recipe which is none of theirs.
        teachers: by column.
    """

    key: str
    study: Study
    recipe: str
    columns: Mapping[str, Column]
    cells: tuple[Cell, ...]
    teachers: Mapping[str, Experiment]

    @functools.cached_property
    def name(self) -> str:
        """Study, recipe, and a hash of all that decides what is made."""
        cells = [[cell.row, cell.column, *(_resolved(each.experiment) for each in cell.members)] for cell in self.cells]
        teachers = {column: _resolved(each) for column, each in self.teachers.items()}
        made_of = content_hash(_VERSION, self.study.model_dump(mode="json", exclude={"about"}), cells, teachers)
        return f"{self.key}-{Path(self.recipe).stem}-{made_of[:8]}"

    def cell(self, row: str, column: str) -> Cell:
        """The cell of that row and column."""
        return next(each for each in self.cells if (each.row, each.column) == (row, column))

    @property
    def experiments(self) -> Iterator[tuple[str, Experiment]]:
        """All that may be trained, teachers first, each with its place in words."""
        for column, experiment in self.teachers.items():
            yield f"teacher, {column}", experiment
        for cell in self.cells:
            for member in cell.members:
                yield ", ".join(filter(None, (cell.row, cell.column, member.label))), member.experiment


def plan_study(key: str, study: Study, asked: Asked) -> StudyPlan:
    """The experiments of all cells.

    Raises:
        StudyError: a setting was told that the study itself says, a folder is given of no column, a dataset or model is
            not what its place is called, an experiment cannot be, or two rows or columns come to the same; the message
            names the cell.
        ConfigError: a recipe cannot be read.
    """
    require_free(study, asked)
    columns = _columns(study, asked)
    made = {name: column for name, column in columns.items() if not not_asked(column, name, asked)}
    require_one_dataset(made, asked)
    require_own_dataset(study, made, asked)
    all_taught = any(row.taught for row in study.rows.values())
    teachers = {
        name: _teacher(study.teacher, study.demo, asked, settings_of(column, name, asked), f"{key}, teacher of {name}")
        for name, column in made.items()
        if study.teacher is not None and (column.taught or all_taught)
    }
    cells = tuple(
        _cell(key, study, asked, row_key, row, name, column)
        for row_key, row in study.rows.items()
        for name, column in columns.items()
    )
    _require_cells_differ(key, cells, teachers)
    return StudyPlan(key, study, ",".join(asked.roots) or asked.recipe, columns, cells, teachers)


def _columns(study: Study, asked: Asked) -> Mapping[str, Column]:
    """The study's; where a recipe is asked for that is none of theirs, one like their first for it, in place of all."""
    own = [column for column in study.columns.values() if column.recipe is not None]
    known = [column.recipe for column in own]
    if asked.recipe == DEMO or asked.roots or not own or asked.recipe in known:
        return study.columns
    title = Path(asked.recipe).stem
    return {title.replace("-", "_").lower(): own[0].model_copy(update={"title": title, "recipe": asked.recipe})}


def _teacher(teacher: Part, demo: Changes, asked: Asked, settings: dict[str, Any], place: str) -> Experiment:
    """The study's teacher. What is told goes for it as for the rows: scans, epochs, its model's options.

    Two things do not. ``dataset.labelled`` and ``distillation.*`` are the rows', since they make them its students. And
    what ``demo`` makes the rows small by is theirs at demo size, unless the teacher's own says the same (the grid, the
    patches): a small student's epochs and rate are none of its teacher's.
    """
    apart = {name for name in asked.told if name == "dataset.labelled" or name.startswith("distillation.")}
    if asked.small:
        apart |= {name for name, value in demo.items() if name not in teacher.demo or teacher.demo[name] != value}
    told = {name: value for name, value in asked.told.items() if name not in apart}
    return _experiment(settings, [teacher], replace(asked, told=told), place)


def _cell(key: str, study: Study, asked: Asked, row_key: str, row: Row, name: str, column: Column) -> Cell:
    reason = not_asked(column, name, asked)
    if reason:
        return Cell(row_key, name, reason=reason)
    place = f"{key}, {row_key}, {name}"
    settings, taught = settings_of(column, name, asked), row.taught or column.taught
    if taught:
        changed(settings, {"distillation.teacher": f"the teacher of {name}"})  # a run, which is known when it is made
    parts = [Part(demo=study.demo), column, row]
    base = _experiment(settings, parts, asked, place)
    members = [Member("", base)]
    if row.folds is not None:
        members = [
            Member(f"fold {fold + 1}", _with(base, f"{place}, fold {fold + 1}", folds=row.folds, fold=fold))
            for fold in range(row.folds)
        ]
    if asked.seeds > 1:
        members = [
            replace(each, label=f"{each.label} seed {seed}".strip(), experiment=_with_seed(each.experiment, seed))
            for each in members
            for seed in range(base.training.seed, base.training.seed + asked.seeds)
        ]
    return Cell(row_key, name, tuple(members), taught)


def _experiment(settings: dict[str, Any], parts: list[Part], asked: Asked, place: str) -> Experiment:
    """The recipe's settings as the parts change them one after the other, and the command line after all of them.

    At demo size each part's settings for it come after its own changes, and before the next part's: what a row varies
    is never hidden by what makes the whole study small.

    It has the recipe's name where nothing is changed, so that a run which the recipe's own job has made is found; else
    it is called by dataset and model, so that one which another study has made is.
    """
    settings = deepcopy(settings)
    changes = [each for part in parts for each in (part.changes, part.demo if asked.small else {})]
    own = settings.get("model", {}).get("name")
    for each in changes:
        changed(settings, each)
    changed(settings, _for_model(asked.told, settings.get("model", {}).get("name"), own))
    try:
        if any(changes):
            experiment = Experiment.model_validate(settings)
            settings["name"] = f"{Path(experiment.dataset.name).stem}-{experiment.model.name}".replace("_", "-")
        experiment = Experiment.model_validate(settings)
        experiment.require_files()
    except ValidationError as error:
        raise StudyError(f"{place} cannot be trained: {'; '.join(reasons(error))}") from error
    for part in parts:
        require_role(part, experiment, place)
    return experiment


def _for_model(told: Changes, name: Any, own: Any) -> Changes:
    """What was told without what is meant for the recipe's own model: its options, and SAM's checkpoint."""
    foreign = set() if name == own else {"model.options"}
    if name in model_names():
        foreign |= set() if "checkpoint" in find_model(name).options else {"model.checkpoint"}
        foreign |= {"model.patch_DHW"} if find_model(name).prompted else set()
    return {key: value for key, value in told.items() if key not in foreign}


def _with(experiment: Experiment, place: str, **changes: Any) -> Experiment:
    try:
        dataset = type(experiment.dataset).model_validate(experiment.dataset.model_dump() | changes)
    except ValidationError as error:
        raise StudyError(f"{place} cannot be trained: {'; '.join(reasons(error))}") from error
    return experiment.model_copy(update={"dataset": dataset})


def _with_seed(experiment: Experiment, seed: int) -> Experiment:
    return experiment.model_copy(update={"training": experiment.training.model_copy(update={"seed": seed})})


def _require_cells_differ(key: str, cells: tuple[Cell, ...], teachers: Mapping[str, Experiment]) -> None:
    """Refuse two rows or columns that are one run under two names: what either seems to show would be untrue."""
    seen: dict[tuple[str, str], str] = {}
    for cell in (each for each in cells if each.members):
        teacher = teachers.get(cell.column) if cell.taught else None
        runs = json.dumps([_run(each.experiment, teacher) for each in cell.members], sort_keys=True)
        in_column, in_row = f"in the column {cell.column}", f"in the row {cell.row}"
        for kind, own, where in (("rows", cell.row, in_column), ("columns", cell.column, in_row)):
            other = seen.setdefault((where, runs), own)
            if other != own:
                raise StudyError(
                    f"{key}: the {kind} {other} and {own} come to the same experiment {where}, since nothing that has "
                    "an influence tells them apart. Give each what it changes, or leave one out"
                )


def _run(experiment: Experiment, teacher: Experiment | None) -> dict[str, Any]:
    """What names the run of an experiment, with the description of its data and its teacher in place of their files."""
    settings = experiment.decisive()
    if experiment.distils and teacher is not None:
        settings["distillation.teacher"] = _run(teacher, None)
    return settings | {"dataset": experiment.dataset.model_dump(mode="json", exclude={"allow_rejected"})}


def _resolved(experiment: Experiment) -> dict[str, Any]:
    return experiment.model_dump(mode="json", exclude={"compute"}, exclude_defaults=True)
