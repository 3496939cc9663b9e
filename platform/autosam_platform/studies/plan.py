"""From a study and a recipe to the experiments that its cells are made of."""

import functools
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autosam_inference.errors import reasons
from autosam_inference.files import content_hash
from autosam_models import find_model, model_names
from autosam_platform.command_line import load_recipe
from autosam_platform.experiment import DatasetSection, Experiment
from autosam_platform.studies.description import Changes, Column, Part, Row, Study, StudyError

DEMO = "demo"
"""The recipe with which a study is made at demo size, all its columns from embedded data."""

_VERSION = 1  # raise it whenever the same study would make other runs or another report


@dataclass(frozen=True)
class Asked:
    """How a person asked for a study.

    Attributes:
        recipe: by its name or file.
        recipes: folder of those that have names.
        told: what the command line says of the settings, which goes before all else, by dotted names.
        roots: folders of the raw scans by the keys of columns: where any is given, each column with its own recipe is
            made of it.
        seeds: trainings of each cell, with seeds from the recipe's on.
    """

    recipe: str
    recipes: Path
    told: Changes = field(default_factory=dict)
    roots: Mapping[str, Path] = field(default_factory=dict)
    seeds: int = 1


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
    _require_free(study, asked)
    columns = _columns(study, asked)
    made = {name: column for name, column in columns.items() if not _not_asked(column, name, asked)}
    _require_one_dataset(made, asked)
    _require_own_dataset(study, made, asked)
    all_taught = any(row.taught for row in study.rows.values())
    teachers = {
        name: _teacher(study.teacher, study.demo, asked, _settings(column, name, asked), f"{key}, teacher of {name}")
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


def _small(asked: Asked) -> bool:
    """Whether the study is made at demo size."""
    return asked.recipe == DEMO and not asked.roots


def _not_asked(column: Column, name: str, asked: Asked) -> str:
    """Why a column is not made; empty where it is."""
    if column.recipe is None or _small(asked):
        return ""
    if asked.roots:
        return "" if name in asked.roots else f"no folder of its scans was given: --roots {name} FOLDER"
    return "" if column.recipe == asked.recipe else f"not asked for: --recipe {column.recipe} makes it"


def _settings(column: Column, name: str, asked: Asked) -> dict[str, Any]:
    """The recipe's settings for a column, before the rows change them."""
    recipe = column.recipe if asked.roots and column.recipe is not None else asked.recipe
    settings = load_recipe(recipe, asked.recipes)
    if name in asked.roots:
        changed(settings, {"dataset.root": asked.roots[name]})
    # The teacher of a recipe that distils is the study's affair.
    settings.pop("distillation", None)
    return settings


def _teacher(teacher: Part, demo: Changes, asked: Asked, settings: dict[str, Any], place: str) -> Experiment:
    """The study's teacher. What is told goes for it as for the rows: scans, epochs, its model's options.

    Two things do not. ``dataset.labelled`` and ``distillation.*`` are the rows', since they make them its students. And
    what ``demo`` makes the rows small by is theirs at demo size, unless the teacher's own says the same (the grid, the
    patches): a small student's epochs and rate are none of its teacher's.
    """
    apart = {name for name in asked.told if name == "dataset.labelled" or name.startswith("distillation.")}
    if _small(asked):
        apart |= {name for name, value in demo.items() if name not in teacher.demo or teacher.demo[name] != value}
    told = {name: value for name, value in asked.told.items() if name not in apart}
    return _experiment(settings, [teacher], replace(asked, told=told), place)


def _cell(key: str, study: Study, asked: Asked, row_key: str, row: Row, name: str, column: Column) -> Cell:
    reason = _not_asked(column, name, asked)
    if reason:
        return Cell(row_key, name, reason=reason)
    place = f"{key}, {row_key}, {name}"
    settings, taught = _settings(column, name, asked), row.taught or column.taught
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
    changes = [each for part in parts for each in (part.changes, part.demo if _small(asked) else {})]
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
        _require_role(part, experiment, place)
    return experiment


def _require_role(part: Part, experiment: Experiment, place: str) -> None:
    """Refuse another kind of network under the name of the paper's own."""
    model = find_model(experiment.model.name)
    if part.role not in (None, model.role):
        raise StudyError(
            f"{place} has to be the paper's own network, of role {part.role}, and {model.name} is of role "
            f"{model.role}: leave --model.name out, and name a recipe that trains one of that role"
        )


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


def changed(settings: dict[str, Any], changes: Changes) -> None:
    """Change nested settings by dotted names, in place.

    Another model has not the options of the one before it, nor its checkpoint, unless the changes give them; one that
    is asked slice by slice has pictures of its own size.
    """
    name = changes.get("model.name")
    if name is not None and settings.get("model", {}).get("name") != name:
        kept = {key: value for key, value in settings.get("model", {}).items() if key not in ("options", "checkpoint")}
        settings["model"] = kept
        if name in model_names() and find_model(name).prompted:
            kept["patch_DHW"] = find_model(name).defaults["patch"]
    for dotted, value in changes.items():
        *sections, last = dotted.split(".")
        place = settings
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = deepcopy(value)


def _require_free(study: Study, asked: Asked) -> None:
    """Refuse what the study itself says, and folders of columns that there are not."""
    said = _said(study, asked)
    for name in asked.told:
        if name in said:
            raise StudyError(
                f"--{name.replace('_', '-')} is what the study itself says in {said[name]}: leave it out, or copy the "
                "study"
            )
    with_recipe = [name for name, column in study.columns.items() if column.recipe is not None]
    for name in asked.roots:
        if name not in with_recipe:
            known = ", ".join(with_recipe) or "none: give --dataset.root"
            raise StudyError(f"--roots names {name}, which is no dataset of the study: there are {known}")


def _said(study: Study, asked: Asked) -> dict[str, str]:
    """What the study itself says, by the names of settings, and where in words."""
    said = {"name": "all its cells"}
    if study.teacher is not None:
        said["distillation.teacher"] = "its teacher"
    parts: list[tuple[str, Changes]] = [(f"the column {key}", column.changes) for key, column in study.columns.items()]
    for key, row in study.rows.items():
        parts.append((f"the row {key}", row.changes | (row.demo if _small(asked) else {})))
        if row.folds is not None:
            said |= dict.fromkeys(("dataset.folds", "dataset.fold"), f"the row {key}, as its folds")
    for where, changes in parts:
        said = dict.fromkeys(changes, where) | said
        options = [name for name in changes if name.startswith("model.options.")]
        if options and "model.name" not in changes:  # else they are another model's, which is told no options
            said.setdefault("model.options", f"{where}, as {options[0]}")
    return said


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


def _require_one_dataset(made: Mapping[str, Column], asked: Asked) -> None:
    """Refuse a dataset that would take the place of those of several columns, under their names."""
    datasets = [name for name, column in made.items() if column.recipe is not None]
    for name in ("dataset.name", "dataset.root"):
        if name in asked.told and (len(datasets) > 1 or asked.roots):
            raise StudyError(
                f"--{name} would be that of each of {', '.join(datasets)}: leave it out, give --roots, or make one "
                "column with its own --recipe"
            )


def _require_own_dataset(study: Study, made: Mapping[str, Column], asked: Asked) -> None:
    """Refuse another dataset under the name of a column that is one, or that stands for one by its synthetic twin."""
    for name, column in made.items():
        if column.recipe is None:
            continue
        title = column.title or name
        if _small(asked) and "dataset.root" in asked.told:
            raise StudyError(
                f"--dataset.root: at demo size {title} is made of synthetic scans. Leave it out, or add --recipe "
                f"{column.recipe}"
            )
        settings = _settings(column, name, asked)
        for changes in (study.demo, column.changes, column.demo) if _small(asked) else (column.changes,):
            changed(settings, changes)
        own = settings.get("dataset", {}).get("name", DatasetSection.model_fields["name"].default)
        told = asked.told.get("dataset.name", own)
        if told not in (own, str(Path(own).absolute())):
            known = (asked.recipes / f"{told}.yaml").is_file()
            recipe = f"--recipe {told}" if known else "--recipe FILE, a recipe of your own that names it"
            raise StudyError(
                f"--dataset.name {told} would stand under the name of {title}, whose dataset is {own}: make a column "
                f"of its own with {recipe}, or copy the study"
            )


def _resolved(experiment: Experiment) -> dict[str, Any]:
    return experiment.model_dump(mode="json", exclude={"compute"}, exclude_defaults=True)
