"""The best runs on a dataset, and what the paper has on it: two tables, since ours are not ranked with its."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from safetensors import SafetensorError, safe_open

from autosam_inference.errors import UserError
from autosam_platform.evaluation.paper import published
from autosam_platform.prompted.prompts import ORACLE
from autosam_platform.tracking.reading import RunSummary
from autosam_platform.workspace import Workspace
from dashboard.components.base.places import ReadingError, run_folder
from dashboard.components.record import run_files

MOST = 20
"""So many runs are shown; their files are read, so they are the best only."""

_PARTS = ("train", "val", "test")
_COLUMNS = ("run", "model", "role", "dice", "nsd", "cases", "evaluated", "parameters", "split", "unread")


def evaluated_datasets(runs: Sequence[RunSummary]) -> list[str]:
    """Datasets on which a run was evaluated, sorted."""
    return sorted({run.dataset for run in runs if run.mean_dice is not None})


def ours(workspace: Workspace, runs: Sequence[RunSummary], dataset: str) -> pd.DataFrame:
    """Our runs on a dataset with the highest mean Dice, best first.

    Dice and NSD are in percent; ``cases`` are those evaluated, ``parameters`` in millions, ``split`` how many cases the
    model was trained, validated and tested on. What a run has no file for is missing; ``unread`` says what is broken.
    """
    known = [run for run in runs if run.dataset == dataset and run.mean_dice is not None]
    best = sorted(known, key=lambda run: run.mean_dice or 0.0, reverse=True)[:MOST]
    return pd.DataFrame([_row(workspace, run) for run in best], columns=list(_COLUMNS))


def papers(dataset: str) -> pd.DataFrame:
    """The paper's results on a dataset: model, Dice and NSD in percent, number of the table; none it does not have."""
    return pd.DataFrame(published(dataset), columns=["model", "dice", "nsd", "table"]).astype({"nsd": float})


def _row(workspace: Workspace, run: RunSummary) -> dict[str, Any]:
    figures = {"dice": percent(run.mean_dice), "nsd": percent(run.mean_nsd)}
    model = f"{run.model} · {ORACLE}" if run.role == "prompted" else run.model
    row = {"run": run.run_id, "model": model, "role": run.role} | figures
    try:
        folder = run_folder(workspace, run.run_id)
        cases, card = run_files.read_summary(folder).get("n_cases"), run_files.read_card(folder)
        split = split_in_words(card.split) if card else None
        row |= {"evaluated": run_files.evaluated_on(folder)}
        return row | {"cases": cases, "split": split, "parameters": _millions(folder.weights), "unread": None}
    except UserError as error:
        return row | {"unread": str(error)}


def split_in_words(split: dict[str, list[str]]) -> str | None:
    """``24 / – / 6``: cases to train, validate and test on."""
    return " / ".join(str(len(split.get(part, []))) if split.get(part) else "–" for part in _PARTS) if split else None


def percent(share: float | None) -> float:
    """A Dice or NSD (a share) in percent; NaN where there is none."""
    return math.nan if share is None else 100 * share


def _millions(weights: Path) -> float | None:
    """Parameters in millions, counted in the file's header."""
    if not weights.is_file():
        return None
    try:
        return _counted(str(weights), weights.stat().st_mtime) / 1e6
    except (SafetensorError, OSError) as error:
        raise ReadingError(f"{weights} cannot be read ({error}): copy the model again, or train it again.") from error


@st.cache_data(max_entries=1000, show_spinner=False)
def _counted(weights: str, changed: float) -> int:
    """Numbers in the tensors of floating type: the others are tables that a network makes itself."""
    with safe_open(weights, "numpy") as file:
        tensors = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118  # no mapping
        return sum(math.prod(each.get_shape()) for each in tensors if "F" in each.get_dtype())
