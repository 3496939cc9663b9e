"""What a sweep wrote into the workspace, read back: its description, its trials, importances."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
from pydantic import BaseModel

from autosam_platform.locks import is_locked
from autosam_platform.tuning.description import Importances, SweepDescription
from autosam_platform.tuning.trials import DICE, ENDED, SIZE, Trial, best_trial, pareto_front, read_trials
from autosam_platform.workspace import SweepFolder
from dashboard.components.base.places import ReadingError

Told = TypeVar("Told", bound=BaseModel)

LEFT = "interrupted"
"""State of a trial whose sweep was stopped or killed while it ran."""
_REMEDY = "the command that made the sweep writes it anew"
_COLUMNS = (DICE, SIZE, "state", "run", "reason", "validations")


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
    """A sweep: what it is one of, its trials, and how much each setting explains."""

    name: str
    description: SweepDescription
    trials: list[Trial]
    importances: Importances

    @property
    def asked(self) -> int:
        """Trials that the sweep is to have."""
        return self.description.trials or len(self.trials)

    @property
    def ended(self) -> int:
        """Trials that have ended, one way or another."""
        return sum(trial.state in ENDED for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The finished trial of the highest Dice, the first of several."""
        return best_trial(self.trials)

    @functools.cached_property
    def parameters(self) -> list[Parameter]:
        """The settings that it varies; the description may lack some."""
        known = self.description.parameters
        names = self.trials[0].values if self.trials else {}
        return [
            Parameter(name, each.unit, each.help, each.log) if (each := known.get(name)) else Parameter(name)
            for name in names
        ]

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """A row per trial: its number as ``trial``, a column per parameter, and the trial's own by their names."""
        names = [parameter.name for parameter in self.parameters]
        rows = [
            {"trial": trial.number}
            | {name: trial.values[name] for name in names}
            | {column: getattr(trial, column) for column in _COLUMNS}
            for trial in self.trials
        ]
        table = pd.DataFrame(rows, columns=["trial", *names, *_COLUMNS])
        return table.astype({DICE: float, SIZE: float})

    @property
    def finished(self) -> pd.DataFrame:
        """The rows of the trials that were trained to their end."""
        return self.table[self.table["state"] == "finished"]

    @property
    def front(self) -> pd.DataFrame:
        """The rows of the trials that no other one beats in the sweep's objectives, the smallest model first."""
        numbers = [trial.number for trial in pareto_front(self.trials, self.description.objectives)]
        return self.table[self.table["trial"].isin(numbers)].sort_values([SIZE, DICE])


def read_sweep(folder: SweepFolder) -> SweepRecord:
    """The sweep in ``folder``.

    Raises:
        ReadingError: a file of it cannot be read.
    """
    description = _read(folder.about, SweepDescription)
    importances = _read(folder.importances, Importances)
    try:
        trials = read_trials(folder.trials)
    except (ValueError, OSError) as error:
        raise _unreadable(folder.trials, error) from error
    if not is_locked(folder.lock):  # nobody of this machine runs them
        trials = [each.model_copy(update={"state": LEFT}) if each.state == "running" else each for each in trials]
    if len({frozenset(trial.values) for trial in trials}) > 1:
        raise ReadingError(f"{folder.trials} is of several sweeps: its trials have different settings. Remove it.")
    return SweepRecord(folder.name, description, trials, importances)


def _read(path: Path, kind: type[Told]) -> Told:
    """What a file says; nothing before there is one."""
    try:
        return kind.model_validate_json(path.read_bytes()) if path.exists() else kind()
    except (ValueError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ReadingError:
    return ReadingError(f"{path} cannot be read ({str(error).splitlines()[0]}): {_REMEDY}.")
