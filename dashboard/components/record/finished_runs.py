"""Finished runs, which have a model to evaluate, to teach or to predict with."""

from dataclasses import dataclass

from autosam_inference.errors import UserError
from autosam_platform.workspace import RunFolder, workspace
from dashboard.components.base.places import inside
from dashboard.components.record.run_files import read_summary


@dataclass(frozen=True)
class FinishedRun:
    """A run with a model.

    Attributes:
        dice: mean over the test cases; ``None`` where they are not evaluated.
        bytes: size of the weights.
    """

    name: str
    network: str
    dataset: str
    dice: float | None
    bytes: int


def finished_runs(*, to_predict: bool = False) -> list[FinishedRun]:
    """The workspace's finished runs, newest first; one whose files cannot be read is left out.

    Args:
        to_predict: without those that need prompts from the label.
    """
    found = (_read(run, to_predict) for run in workspace().finished_runs)
    return [run for run in found if run is not None]


def _read(run: RunFolder, to_predict: bool) -> FinishedRun | None:
    try:
        inside(run.folder, [workspace().folder])
        if to_predict and run.prompted:
            return None
        card, dice = run.card, read_summary(run).get("mean_dice")
        return FinishedRun(run.name, card.model.name, card.dataset, dice, run.weights.stat().st_size)
    except (UserError, OSError):
        return None
