"""The trials of a sweep as they are written down, read without Optuna, Ray or torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

Scalar = bool | int | float | str
Point = dict[str, Scalar]
"""A trial's values by the names of the settings; a choice that is a list is named by its JSON."""

DICE: Final = "dice"
SIZE: Final = "trained_parameters"
"""What a trial can be judged by: mean Dice of the validation cases, and how many parameters training changes."""

Objectives = dict[Literal["dice", "trained_parameters"], Literal["max", "min"]]
"""Dice to the maximum; beside it, if wanted, trained parameters to the minimum."""

State = Literal["waiting", "running", "finished", "stopped", "failed"]
"""``stopped`` early, since others were better at the same epoch; ``failed`` for a reason that is kept."""

ENDED: tuple[State, ...] = ("finished", "stopped", "failed")


class Trial(BaseModel):
    """One trial."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, populate_by_name=True)

    number: int
    """From 1, in the order of their starts."""
    values: Point
    state: State = "waiting"
    run: str = ""
    """Name of its run; none before it starts."""
    made: bool = False
    """Was the run's folder made for this trial? Otherwise it had been there before."""
    dice: float | None = None
    """Best mean Dice of the validation cases so far, of the weights that are kept."""
    validations: Annotated[
        list[tuple[int, float]], Field(validation_alias=AliasChoices("validations", "heard"))
    ] = []  # "heard" in files of earlier versions
    """Every validation before the last one, as the epochs done and the mean Dice."""
    trained_parameters: int | None = None
    reason: str = ""
    """Why it failed, or how it was lost."""
    losses: int = 0
    """How often its process was lost, with its machine or by itself."""


def read_trials(path: Path) -> list[Trial]:
    """All trials of a sweep.

    Raises:
        OSError, ValueError: the file is missing or damaged.
    """
    told = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(told, list):
        raise ValueError("it holds no list of trials")
    return [Trial.model_validate(each) for each in told]


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """The finished trial of the highest Dice, the first of several; failed and stopped ones never are."""
    finished = [trial for trial in trials if trial.state == "finished" and trial.dice is not None]
    return max(finished, key=lambda trial: (trial.dice or 0.0, -trial.number), default=None)


def pareto_front(trials: Sequence[Trial], objectives: Objectives) -> list[Trial]:
    """The finished trials that no other one beats: none is as good in all objectives and better in one.

    With one objective these are the trials of the highest Dice.
    """
    scores = [(trial, _score(trial, objectives)) for trial in trials if _is_scored(trial, objectives)]
    return [trial for trial, score in scores if not any(_beats(other, score) for _, other in scores)]


def _is_scored(trial: Trial, objectives: Objectives) -> bool:
    return trial.state == "finished" and all(getattr(trial, name) is not None for name in objectives)


def _score(trial: Trial, objectives: Objectives) -> tuple[float, ...]:
    """The more the better."""
    return tuple(float(getattr(trial, name)) * (1 if mode == "max" else -1) for name, mode in objectives.items())


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(ours >= theirs for ours, theirs in zip(one, other, strict=True))
