"""Which run is exported where none is named: the distilled student, if it is the only one, and never a guess."""

from autosam_models import find_model
from autosam_platform.export.network import ExportError
from autosam_platform.workspace import RunFolder, Workspace


def student_to_export(workspace: Workspace) -> RunFolder:
    """The only finished run that was distilled; where there is none, the only other one that can be exported.

    A distillation leaves two students, the distilled one and its twin without a teacher, and the twin is the newer.

    Raises:
        ExportError: there is none, or more than one; the message lists them.
        ModelFolderError: a finished run's description is damaged, so that it cannot be told what it is.
    """
    runs = [run for run in workspace.finished_runs if find_model(run.card.model.name).exportable]
    distilled = [run for run in runs if run.distilled]
    candidates = distilled or runs
    if not candidates:
        raise ExportError(f"there is no finished student in {workspace}: python jobs/distill_student.py makes one.")
    if len(candidates) > 1:
        lines = "\n".join(f"  --run {run.name}    {_told(run)}" for run in candidates)
        raise ExportError(
            f"there are {len(candidates)} finished students in {workspace}, so name one of them:\n{lines}"
        )
    return candidates[0]


def _told(run: RunFolder) -> str:
    card = run.card
    made = f"distilled, λ = {card.lineage.get('kd_lambda', '?')}" if "teacher" in card.lineage else "without a teacher"
    return f"{card.model.name}, {card.dataset}, {made}"
