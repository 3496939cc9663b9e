"""A fit with whatever teacher its description names: none, one whose answers are stored, or one that is asked."""

import functools
from collections.abc import Sequence
from pathlib import Path

import ray.train

from autosam_inference.card import read_card
from autosam_platform.data.patches import Teacher
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.distillation.objective import build_objective
from autosam_platform.distillation.teacher import OnlineTeacher, TrainedTeacher, require_match, stored_teacher
from autosam_platform.experiment import Experiment
from autosam_platform.training.launch import FitResult, Lesson, find_fit, fit
from autosam_platform.workspace import Workspace


def fit_student(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
    callbacks: Sequence[ray.train.UserCallback] = (),
    quiet: bool = False,
) -> FitResult:
    """Train ``experiment`` on ``prepared``, with its teacher if it has one; found where it is done.

    Args:
        experiment: its ``distillation.teacher``, if any, is the folder of a trained model.
        callbacks, quiet: see ``training.launch.fit``.

    Raises:
        MismatchError: teacher and dataset have other classes, spacing or windows.
        ModelFolderError: the teacher's folder holds no usable model.
        TrainingStopped: see ``training.launch.fit``.
    """
    found = find_fit(experiment, prepared, workspace)
    if found is not None:
        return found
    return fit(experiment, prepared, workspace, lesson_of(experiment, prepared, workspace), callbacks, quiet)


def lesson_of(experiment: Experiment, prepared: PreparedDataset, workspace: Workspace) -> Lesson:
    """What ``experiment`` teaches; a teacher's probabilities are computed now, where they are to be stored."""
    section = experiment.distillation
    if section.teacher is None or not experiment.distils:
        return Lesson()
    folder = Path(section.teacher)
    card = read_card(folder)
    require_match(card, prepared)
    trained = TrainedTeacher.of(folder, experiment.teacher_overlap)
    teacher: Teacher = OnlineTeacher(trained)
    if section.teacher_mode == "cached":
        teacher = stored_teacher(trained, prepared, workspace)
    lineage = {
        "teacher": card.run_id,
        "teacher_hash": trained.identity,
        "kd_lambda": f"{section.kd_lambda:g}",
        "distillation_loss": section.loss if section.loss == "mse" else f"kl, temperature {section.temperature:g}",
    }
    return Lesson(functools.partial(build_objective, section), teacher, lineage)
