"""Finished runs, which have a model to evaluate, to teach or to predict with."""

from dataclasses import dataclass
from pathlib import Path

from autosam_platform.workspace import workspace
from dashboard.components.base.places import ReadingError, run_folder
from dashboard.components.record.run_files import read_card, read_summary


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


def finished_runs() -> list[FinishedRun]:
    """The workspace's finished runs, newest first; one whose files cannot be read is left out."""
    cards = sorted((workspace().folder / "runs").glob("*/model/model.json"), key=_age, reverse=True)
    found = (_read(card.parent.parent.name) for card in cards)
    return [run for run in found if run is not None]


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _read(name: str) -> FinishedRun | None:
    try:
        folder = run_folder(workspace().folder, name)
        card, dice = read_card(folder), read_summary(folder).get("mean_dice")
        size = (folder / "model" / "model.safetensors").stat().st_size
        return FinishedRun(name, str(card["model"]["name"]), str(card["dataset"]), dice, size)
    except (ReadingError, OSError, KeyError, TypeError):
        return None
