"""A fit with whatever teacher its description names: none, one whose answers are stored, or one that is asked."""

import functools
from pathlib import Path

from autosam_platform.data.patches import Teacher
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.distillation.objective import build_objective
from autosam_platform.distillation.teacher import OnlineTeacher, TrainedTeacher, require_match, stored_teacher
from autosam_platform.distillation.unlabelled import answered
from autosam_platform.experiment import Experiment
from autosam_platform.training.fitting import FitResult, Runner, Supervision, find_fit, fit
from autosam_platform.workspace import Workspace


def fit_student(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
    runner: Runner | None = None,
    quiet: bool = False,
) -> FitResult:
    """Train ``experiment`` on ``prepared``, with its teacher if it has one; found where it is done.

    Args:
        experiment: its ``distillation.teacher``, if any, is the folder of a trained model, or those of several.
        runner, quiet: see ``training.fitting.fit``.

    Raises:
        MismatchError: teacher and dataset have other classes, spacing or windows.
        ModelFolderError: the teacher's folder holds no usable model.
        TrainingStopped: see ``training.fitting.fit``.
    """
    found = find_fit(experiment, prepared, workspace)
    if found.found:
        return found
    return fit(experiment, prepared, workspace, supervision_of(experiment, prepared, workspace), runner, quiet)


def supervision_of(experiment: Experiment, prepared: PreparedDataset, workspace: Workspace) -> Supervision:
    """What ``experiment`` learns from; a teacher's probabilities are computed now, where they are to be stored."""
    section = experiment.distillation
    if not experiment.distils:
        return Supervision()
    trained = TrainedTeacher.of([Path(each) for each in section.teachers], experiment.teacher_overlap)
    cards = trained.models.cards
    for card in cards:
        require_match(card, prepared)
    teacher: Teacher = OnlineTeacher(trained)
    if section.teacher_mode == "cached":
        teacher = stored_teacher(trained, prepared, workspace)
    unlabelled = answered(section, trained, prepared, workspace) if section.unlabelled is not None else None
    lineage = {
        "teacher": ", ".join(sorted(card.run_id for card in cards)),
        "teacher_hash": trained.identity,
        "kd_lambda": f"{section.kd_lambda:g}",
        "distillation_loss": section.distance,
    }
    if unlabelled is not None:
        lineage["unlabelled"] = f"{len(unlabelled.cases)} scans, {section.unlabelled_share:.0%} of the patches"
    return Supervision(functools.partial(build_objective, section), teacher, lineage, unlabelled)
