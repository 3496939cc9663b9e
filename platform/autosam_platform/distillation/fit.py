"""A fit with whatever teacher its description names: none, one whose answers are stored, or one that is asked."""

import functools
from collections.abc import Sequence

from autosam_platform.data.patches import Teacher
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.store import StoredCase
from autosam_platform.distillation.file_teacher import FileTeacher
from autosam_platform.distillation.named import named_teacher
from autosam_platform.distillation.objective import build_objective
from autosam_platform.distillation.teacher import OnlineTeacher, TrainedTeacher, stored_teacher
from autosam_platform.distillation.temperature import calibrated_temperature
from autosam_platform.distillation.unlabelled import UnlabelledError, answered, unlabelled_cases
from autosam_platform.experiment import ConfigError, Experiment
from autosam_platform.training.fitting import FitResult, Runner, Supervision, find_fit, fit
from autosam_platform.training.samples import PatchSamples
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
        experiment: its ``distillation.teacher``, if any, is the folder of a trained model, those of several, or one of
            files.
        runner, quiet: see ``training.fitting.fit``.

    Raises:
        MismatchError: teacher and dataset have other classes, spacing or windows.
        ModelFolderError: the teacher's folder holds no usable model.
        AnswerError: a teacher of files has no answer to some cases.
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
    trained = named_teacher(experiment, prepared, workspace)
    if section.unlabelled is not None and isinstance(trained, FileTeacher):
        _require_own_names(trained, unlabelled_cases(section, prepared), prepared)
    teacher: Teacher
    if section.teacher_mode == "cached":
        teacher = stored_teacher(trained, prepared, workspace)
    elif isinstance(trained, TrainedTeacher):
        teacher = OnlineTeacher(trained)
    else:
        raise ConfigError(f"{trained.name} cannot be asked anew for every patch: leave --teacher-mode online out")
    temperature = calibrated_temperature(trained, prepared, workspace) if section.calibrate else 1.0
    unlabelled = answered(section, trained, prepared, workspace) if section.unlabelled is not None else None
    lineage = {
        "teacher": trained.name,
        "teacher_hash": trained.identity,
        "kd_lambda": f"{section.kd_lambda:g}",
        "distillation_loss": section.distance,
    }
    if section.fade:
        lineage["teacher_fades"] = f"in the last {section.fade:.0%} of the training"
    if unlabelled is not None:
        lineage["unlabelled"] = f"{len(unlabelled.cases)} scans, {section.unlabelled_share:.0%} of the patches"
    if section.calibrate:
        lineage["teacher_temperature"] = f"{temperature:.3g}"
        print(f"The teacher's probabilities are taken at a temperature of {temperature:.3g}.", flush=True)
    objective = functools.partial(build_objective, section, temperature, experiment.training)
    return Supervision(objective, PatchSamples(teacher, unlabelled), lineage)


def _require_own_names(teacher: FileTeacher, alone: Sequence[StoredCase], prepared: PreparedDataset) -> None:
    """Files are found by a case's id: refuse a scan without labels that has the id of a training case.

    Raises:
        UnlabelledError: names them.
    """
    shared = {case.case_id for case in alone} & {case.case_id for case in prepared.cases("train")}
    if shared:
        raise UnlabelledError(
            f"scans without labels have the names of training cases: {', '.join(sorted(shared))}. {teacher.name} are "
            "found by these names: rename the scans and their files."
        )
