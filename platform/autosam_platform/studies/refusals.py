"""What would stand in a study under a wrong name, refused before anything is made."""

from collections.abc import Mapping
from pathlib import Path

from autosam_models import find_model
from autosam_platform.experiment import DatasetSection, Experiment
from autosam_platform.studies.asked import Asked, changed, settings_of
from autosam_platform.studies.description import Changes, Column, Part, Study, StudyError


def require_free(study: Study, asked: Asked) -> None:
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
        parts.append((f"the row {key}", row.changes | (row.demo if asked.small else {})))
        if row.folds is not None:
            said |= dict.fromkeys(("dataset.folds", "dataset.fold"), f"the row {key}, as its folds")
    for where, changes in parts:
        said = dict.fromkeys(changes, where) | said
        options = [name for name in changes if name.startswith("model.options.")]
        if options and "model.name" not in changes:  # else they are another model's, which is told no options
            said.setdefault("model.options", f"{where}, as {options[0]}")
    return said


def require_one_dataset(made: Mapping[str, Column], asked: Asked) -> None:
    """Refuse a dataset that would take the place of those of several columns, under their names."""
    datasets = [name for name, column in made.items() if column.recipe is not None]
    for name in ("dataset.name", "dataset.root"):
        if name in asked.told and (len(datasets) > 1 or asked.roots):
            raise StudyError(
                f"--{name} would be that of each of {', '.join(datasets)}: leave it out, give --roots, or make one "
                "column with its own --recipe"
            )


def require_own_dataset(study: Study, made: Mapping[str, Column], asked: Asked) -> None:
    """Refuse another dataset under the name of a column that is one, or that stands for one by its synthetic twin."""
    for name, column in made.items():
        if column.recipe is None:
            continue
        title = column.title or name
        if asked.small and "dataset.root" in asked.told:
            raise StudyError(
                f"--dataset.root: at demo size {title} is made of synthetic scans. Leave it out, or add --recipe "
                f"{column.recipe}"
            )
        settings = settings_of(column, name, asked)
        for changes in (study.demo, column.changes, column.demo) if asked.small else (column.changes,):
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


def require_role(part: Part, experiment: Experiment, place: str) -> None:
    """Refuse another kind of network under the name of the paper's own."""
    model = find_model(experiment.model.name)
    if part.role not in (None, model.role):
        raise StudyError(
            f"{place} has to be the paper's own network, of role {part.role}, and {model.name} is of role "
            f"{model.role}: leave --model.name out, and name a recipe that trains one of that role"
        )
