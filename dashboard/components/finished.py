"""Finished runs, which have a model to evaluate, to teach or to predict with."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosam_platform.files import workspace
from dashboard.components.places import ReadingError, run_folder


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
    cards = sorted((workspace() / "runs").glob("*/model/model.json"), key=_age, reverse=True)
    found = (_read(card.parent.parent.name) for card in cards)
    return [run for run in found if run is not None]


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _read(name: str) -> FinishedRun | None:
    try:
        folder = run_folder(workspace(), name)
        card = _object(folder / "model" / "model.json")
        summary = folder / "evaluation" / "summary.json"
        dice = _object(summary).get("mean_dice") if summary.exists() else None
        size = (folder / "model" / "model.safetensors").stat().st_size
        return FinishedRun(name, str(card["model"]["name"]), str(card["dataset"]), dice, size)
    except (ReadingError, OSError, ValueError, KeyError, TypeError):
        return None


def _object(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no object")
    return content
