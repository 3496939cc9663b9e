"""Where a run comes from and what came of it: teacher, students, twin without a teacher, sweep; its matched report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from autosam_platform.distillation.labels import MEAN, STUDENT, TWIN, Label
from autosam_platform.tracking.reading import PARENT, RunSummary
from autosam_platform.workspace import RunFolder, Workspace
from dashboard.components.base.places import ReadingError
from dashboard.components.record import run_files


@dataclass(frozen=True)
class Relative:
    """Another run: what it is to this one, and what is known of the tie."""

    relation: str
    run_id: str
    note: str = ""


def relatives(workspace: Workspace, run_id: str, runs: Sequence[RunSummary]) -> list[Relative]:
    """The runs that a run is tied to: sweep, teacher, twin, students.

    Raises:
        ReadingError: a file that says so is damaged.
    """
    tags = next((run.tags for run in runs if run.run_id == run_id), {})
    found = [Relative("part of the sweep", run.run_id) for run in runs if run.mlflow_id == tags.get(PARENT)]
    card = run_files.read_card(workspace.run(run_id))
    taught = (card.lineage if card else {}) or _taught(tags)
    found += [Relative("learned from the teacher", teacher, _manner(taught)) for teacher in _teachers(taught)]
    found += _twins(workspace, run_id)
    students = [run for run in runs if run_id in _teachers(_taught(run.tags))]
    return found + [Relative("taught", run.run_id, _manner(_taught(run.tags))) for run in students]


def report_means(run: RunFolder) -> pd.DataFrame | None:
    """The matched report's line per model, its mean over organs with its costs; ``None`` where there is no report.

    Raises:
        ReadingError: the file is not a report.
    """
    path = run.report_table
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path)
        return table[table["organ"] == MEAN].drop(columns="organ").dropna(axis="columns", how="all")
    except (ValueError, KeyError, OSError) as error:
        raise ReadingError(f"{path} cannot be read ({error!r}): jobs/distill_student.py writes it anew.") from error


def _taught(tags: Mapping[str, str]) -> dict[str, str]:
    """What the record says of a teacher, in the words of a model's card."""
    names = ("teacher", "teacher_hash", "kd_lambda", "distillation_loss", "unlabelled")
    return {name: tags[f"autosam.{name}"] for name in names if f"autosam.{name}" in tags}


def _teachers(taught: Mapping[str, str]) -> list[str]:
    """The runs that taught: several where their mean did."""
    return [each for each in taught.get("teacher", "").split(", ") if each]


def _manner(taught: Mapping[str, str]) -> str:
    known = {"λ": taught.get("kd_lambda"), "loss": taught.get("distillation_loss")}
    known["without labels:"] = taught.get("unlabelled")
    told = [f"{name} {value}" for name, value in known.items() if value]
    return ", ".join([*told, f"teacher's files {taught['teacher_hash']}"] if "teacher_hash" in taught else told)


def _twins(workspace: Workspace, run_id: str) -> list[Relative]:
    """From the matched reports: the run that differs from this one in having no teacher, or in having one."""
    found = []
    for run in workspace.run_folders:
        student, twin = (_named(run, label) for label in (STUDENT, TWIN))
        if student == run_id and twin:
            found.append(Relative("twin without a teacher", twin))
        elif twin == run_id and student:
            found.append(Relative("twin with a teacher", student))
    return found


def _named(run: RunFolder, label: Label) -> str | None:
    """The run that plays a part in the matched report of ``run``."""
    content: Any = run_files.read_json(run.report_json, "jobs/distill_student.py writes it anew")
    try:
        return str(content["models"][label]["run"])
    except (KeyError, TypeError):
        return None
