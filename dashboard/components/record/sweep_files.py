"""What a sweep wrote into the workspace, read back: its description, its trials, importances."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dashboard.components.base.places import ReadingError
from dashboard.components.record.run_files import read_json

ENDED = ("finished", "stopped", "failed")
_REMEDY = "the command that made the sweep writes it anew"
DICE, SIZE = "dice", "trained_parameters"
_COLUMNS = ("trial", DICE, SIZE, "state", "run", "reason", "validations")


@dataclass(frozen=True)
class Parameter:
    """A setting that the sweep varies, by its dotted name."""

    name: str
    unit: str = ""
    about: str = ""
    log: bool = False

    @property
    def label(self) -> str:
        """Its last name, and the unit."""
        short = self.name.rpartition(".")[2]
        return f"{short} ({self.unit})" if self.unit else short


@dataclass(frozen=True)
class SweepRecord:
    """A sweep.

    Attributes:
        asked: trials that the sweep is to have.
        objectives: "max" or "min" by "dice", "trained_parameters".
        trials: a row per trial: its number, a column per parameter, ``dice`` (0 to 1), ``trained_parameters``,
            ``state``, ``run``, ``reason``, and ``validations``: pairs of epoch and Dice.
        importances: share of the variance of Dice by parameter; where there are none, ``note`` says why.
    """

    name: str
    about: str
    dataset: str
    model: str
    asked: int
    objectives: dict[str, str]
    parameters: list[Parameter]
    trials: pd.DataFrame
    importances: dict[str, float]
    note: str

    @property
    def ended(self) -> int:
        """Trials that have ended, one way or another."""
        return int(self.trials["state"].isin(ENDED).sum())

    @property
    def finished(self) -> pd.DataFrame:
        """The trials that were trained to their end."""
        return self.trials[self.trials["state"] == "finished"]

    @property
    def best(self) -> pd.Series | None:
        """The finished trial of the highest Dice, the first of several."""
        known = self.finished.dropna(subset=DICE)
        return None if known.empty else known.loc[known[DICE].idxmax()]


def sweep_names(workspace: Path) -> list[str]:
    """Names of the sweeps, the one last written first."""
    ledgers = (workspace / "sweeps").glob("*/trials.json")
    return [path.parent.name for path in sorted(ledgers, key=lambda path: path.stat().st_mtime, reverse=True)]


def read_sweep(folder: Path) -> SweepRecord:
    """The sweep in ``folder``.

    Raises:
        ReadingError: a file of it cannot be read.
    """
    about, shares = (read_json(folder / name, _REMEDY) for name in ("sweep.json", "importances.json"))
    trials = _read_list(folder / "trials.json")
    try:
        names = list(trials[0]["values"]) if trials else []
        described = about.get("parameters", {})
        return SweepRecord(
            name=folder.name,
            about=about.get("about", ""),
            dataset=about.get("dataset", ""),
            model=about.get("model", ""),
            asked=about.get("trials", len(trials)),
            objectives=about.get("objectives", {DICE: "max"}),
            parameters=[_parameter(name, described.get(name, {})) for name in names],
            trials=_table(trials, names),
            importances=shares.get("importances", {}),
            note=shares.get("note", ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReadingError(f"{folder} is no sweep of ours ({error!r}): {_REMEDY}.") from error


def pareto_front(finished: pd.DataFrame) -> pd.DataFrame:
    """The trials that no other one beats in Dice without having more trained parameters, the smallest first."""
    ordered = finished.dropna(subset=[DICE, SIZE]).sort_values([SIZE, DICE], ascending=[True, False])
    best_before = ordered[DICE].cummax().shift(fill_value=-np.inf)
    return ordered[ordered[DICE] > best_before]


def _read_list(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ReadingError(f"{path} cannot be read ({error}): {_REMEDY}.") from error


def _parameter(name: str, described: dict[str, Any]) -> Parameter:
    return Parameter(name, described.get("unit", ""), described.get("help", ""), bool(described.get("log")))


def _table(trials: list[dict[str, Any]], names: list[str]) -> pd.DataFrame:
    rows = [
        {"trial": trial["number"]}
        | {name: trial["values"][name] for name in names}
        | {column: trial[column] for column in _COLUMNS[1:]}
        for trial in trials
    ]
    table = pd.DataFrame(rows, columns=["trial", *names, *_COLUMNS[1:]])
    return table.astype({DICE: float, SIZE: float})
