"""Finished runs, which have a model to evaluate, to teach or to predict with."""

from collections.abc import Sequence
from dataclasses import dataclass

from autosam_inference.errors import UserError
from autosam_platform.workspace import RunFolder, workspace
from dashboard.components.base.places import inside
from dashboard.components.record.run_files import evaluated_on, read_summary


@dataclass(frozen=True)
class FinishedRun:
    """A run with a model.

    Attributes:
        dice: mean over the test cases, ``cases`` of them, ``evaluated`` on a day; ``None`` where they are not.
        bytes: size of the weights.
    """

    name: str
    network: str
    dataset: str
    dice: float | None
    bytes: int
    cases: int | None = None
    evaluated: str = ""


def finished_runs(*, to_predict: bool = False) -> list[FinishedRun]:
    """The workspace's finished runs, newest first; one whose files cannot be read is left out.

    Args:
        to_predict: without those that need prompts from the label.
    """
    found = (_read(run, to_predict) for run in workspace().finished_runs)
    return [run for run in found if run is not None]


def best_first(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """The run of the highest test Dice on the newest run's dataset, then the others as they were; newest first."""
    alike = [run for run in runs if run.dataset == runs[0].dataset and run.dice is not None]
    best = max(alike, key=lambda run: run.dice or 0.0, default=None)
    return list(runs) if best is None else [best, *(run for run in runs if run is not best)]


def _read(run: RunFolder, to_predict: bool) -> FinishedRun | None:
    try:
        inside(run.folder, [workspace().folder])
        if to_predict and run.prompted:
            return None
        card, told = run.card, read_summary(run)
        size = run.weights.stat().st_size
        figures = (told.get("mean_dice"), size, told.get("n_cases"), evaluated_on(run))
        return FinishedRun(run.name, card.model.name, card.dataset, *figures)
    except (UserError, OSError):
        return None
