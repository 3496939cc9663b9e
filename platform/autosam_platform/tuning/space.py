"""A space: a small YAML file that says which settings of an experiment a sweep varies, from where to where.

Anything in the experiment description that decides a run can be varied, and every option of its model
(``model.options.adapter_ratio``). Not so ``dataset.*``, since runs are compared on the same validation cases, nor what
changes no training: ``compute.*``, ``inference.*`` and the processes that load patches.
"""

import difflib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field, ValidationError, model_validator

from autosam_inference.errors import reasons
from autosam_models import find_model
from autosam_platform.command_line import load_recipe
from autosam_platform.experiment import ConfigError, Experiment, Section
from autosam_platform.tuning.trials import DICE, SIZE, Objectives, Point, Scalar

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every trial, and so do we

_FIXED = {
    "name": "it is the first part of the trials' names",
    "dataset": "trials are compared on the same data",
    "compute": "`compute` changes no result",
    "inference": "it measures trials and trains none (a teacher's windows are distillation.teacher_overlap)",
    "training.loader_workers": "it changes no training",
}
"""Sections and settings that no space varies, and why."""

_MOST = 500
"""Combinations of the others' values that are tried for one in which a parameter makes a difference."""


class SpaceError(ConfigError):
    """A space that cannot be swept; the message names the file, the setting and what to do."""


class _Parameter(Section, ABC):
    unit: str = ""
    """For people: shown beside the values."""
    help: str = ""
    """For people: what it does."""

    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """The values as Optuna describes them."""

    @abstractmethod
    def examples(self) -> list[Scalar]:
        """The values at the ends of what is allowed, and those that are named."""

    @abstractmethod
    def grid_values(self) -> list[Scalar] | None:
        """The values of a grid, if they are named."""

    def setting(self, value: Scalar) -> Any:
        """What the experiment is given for ``value``."""
        return value


class _Number(_Parameter):
    """A number from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False
    """Search the logarithm."""
    step: float | None = None
    """Search multiples of it above ``low``; all numbers where none is given."""
    grid: Annotated[tuple[float, ...], Field(min_length=1)] | None = None
    """The values of a grid."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a logarithm needs a low above 0 and takes no step")
        for value in self.grid or []:
            if not self.distribution()._contains(value):
                raise ValueError(f"{value:g} of the grid is not among the values from {self.low:g} to {self.high:g}")
        return self

    def examples(self) -> list[Scalar]:
        return list(dict.fromkeys([self.low, self.high, *(self.grid or [])]))

    def grid_values(self) -> list[Scalar] | None:
        return None if self.grid is None else list(self.grid)


class FloatParameter(_Number):
    """A real number."""

    type: Literal["float"]

    def distribution(self) -> BaseDistribution:
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)


class IntParameter(_Number):
    """A whole number."""

    type: Literal["int"]
    low: int
    high: int
    step: int | None = None
    grid: Annotated[tuple[int, ...], Field(min_length=1)] | None = None

    def distribution(self) -> BaseDistribution:
        return IntDistribution(self.low, self.high, log=self.log, step=self.step or 1)


class ChoiceParameter(_Parameter):
    """One of several values, which are a grid too."""

    type: Literal["choice"]
    choices: Annotated[tuple[Scalar | list[int] | list[float], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _all_differ(self) -> Self:
        if len(set(map(json.dumps, self.choices))) < len(self.choices):
            raise ValueError("the same choice is there twice")
        return self

    def distribution(self) -> BaseDistribution:
        return CategoricalDistribution(self.examples())

    def examples(self) -> list[Scalar]:
        return [_named(choice) for choice in self.choices]

    def grid_values(self) -> list[Scalar] | None:
        return self.examples()

    def setting(self, value: Scalar) -> Any:
        return next(choice for choice in self.choices if _named(choice) == value)


Parameter = Annotated[FloatParameter | IntParameter | ChoiceParameter, Field(discriminator="type")]


class Space(Section):
    """What a sweep varies, and what it is after."""

    about: str = ""
    """For people: what the sweep asks."""
    recipe: str = "demo"
    """The recipe that everything else is taken from, where the command line names none."""
    objectives: Objectives = {"dice": "max"}
    """Dice to the maximum; beside it, if wanted, trained parameters to the minimum."""
    parameters: Annotated[dict[str, Parameter], Field(min_length=1)]
    """Settings by their dotted names, such as ``training.learning_rate``."""

    @model_validator(mode="after")
    def _objectives_are_sound(self) -> Self:
        if self.objectives.get(DICE) != "max" or self.objectives.get(SIZE, "min") != "min":
            raise ValueError("objectives are {dice: max}, with or without trained_parameters: min")
        return self

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's description of all parameters."""
        return {name: parameter.distribution() for name, parameter in self.parameters.items()}

    def experiment(self, base: Experiment, point: Mapping[str, Scalar]) -> Experiment:
        """``base`` with the values of ``point``.

        Raises:
            ValidationError: the experiment cannot be with these values.
        """
        settings = base.model_dump()
        for name, value in point.items():
            *sections, last = name.split(".")
            place = settings
            for section in sections:
                place = place[section]
            place[last] = self.parameters[name].setting(value)
        return Experiment.model_validate(settings)

    def grid(self) -> list[Point]:
        """All combinations of the parameters' grids, the last parameter varying fastest.

        Raises:
            SpaceError: a parameter has none.
        """
        values = {name: parameter.grid_values() for name, parameter in self.parameters.items()}
        for name, found in values.items():
            if found is None:
                raise SpaceError(f"{name} has no `grid`: name its values in the space, or leave --grid out")
        return [dict(zip(values, point, strict=True)) for point in product(*(found or [] for found in values.values()))]

    def examples(self, base: Experiment) -> Iterator[tuple[str, Scalar, Experiment]]:
        """For every end, grid value and choice: the parameter's name, the value, and ``base`` with it.

        Raises:
            SpaceError: the experiment cannot be with that value.
        """
        for name, parameter in self.parameters.items():
            for value in parameter.examples():
                try:
                    yield name, value, self.experiment(base, {name: value})
                except ValidationError as error:
                    raise SpaceError(f"{name} cannot be {value!r}: {'; '.join(reasons(error))}") from error


def load_space(name: str, folder: Path) -> Space:
    """Read a space: the name of one in ``folder``, or a path to a YAML file.

    Raises:
        SpaceError: there is no such space, or it is none.
    """
    try:
        return Space.model_validate(load_recipe(name, folder, kind="space"))
    except ValidationError as error:
        problems = "\n".join(f"  {each}" for each in reasons(error))
        raise SpaceError(f"the space {name} cannot be used:\n{problems}") from error
    except ConfigError as error:
        raise SpaceError(str(error)) from error


def require_sound(space: Space, base: Experiment) -> None:
    """Refuse a space with settings that ``base`` has not, that would make no difference, or with values it cannot have.

    Whether the models can be built takes torch, and is seen when the sweep starts: ``sweep.require_buildable``.

    Raises:
        SpaceError: names the setting, and what it could be.
        ConfigError: a checkpoint is not there.
    """
    _require_known(space, base)
    for _, _, experiment in space.examples(base):
        experiment.require_files()
    for name in space.parameters:
        _require_difference(space, base, name)


def require_untold(space: Space, told: Mapping[str, Any]) -> None:
    """Refuse a setting that is told although the space sweeps it: it would rename the sweep and change no trial.

    Args:
        told: of the command line, by dotted names, as ``command_line.told_settings`` gives it.

    Raises:
        SpaceError: names the setting.
    """
    names = {*told, *(f"model.options.{option}" for option in told.get("model.options", {}))}
    for name in space.parameters:
        if name in names:
            raise SpaceError(f"{name} is what the space sweeps: do not tell it too, or sweep a copy without it")


def _require_difference(space: Space, base: Experiment, name: str) -> None:
    """Refuse a parameter whose values all come to one run, whatever values the others have.

    A parameter may matter only together with another, such as a temperature with a loss that has one. Where the others
    have too many combinations to try them all, it is let through.
    """
    values = space.parameters[name].examples()
    others = {other: parameter.examples() for other, parameter in space.parameters.items() if other != name}
    if len(values) < 2:
        return  # a constant, which is not there to make a difference
    for number, point in enumerate(product(*others.values())):
        if number == _MOST or _differ(space, base, name, dict(zip(others, point, strict=True))):
            return
    told = ", ".join(f"{value!r}" for value in values)
    raise SpaceError(
        f"{name} makes no difference: {told} come to the same run, since the other settings make no use of it. Set or "
        "sweep what does too, or leave it out"
    )


def _differ(space: Space, base: Experiment, name: str, others: Point) -> bool:
    """Does any value of a parameter come to another run, beside these values of the others?"""
    runs: set[str] = set()
    for value in space.parameters[name].examples():
        try:
            runs.add(json.dumps(space.experiment(base, {**others, name: value}).decisive(), sort_keys=True))
        except ValidationError:  # they do not go together, so no trial is made of them
            continue
    return len(runs) > 1


def _require_known(space: Space, base: Experiment) -> None:
    known = _names(base)
    for name in space.parameters:
        why_not = _FIXED.get(name) or _FIXED.get(name.partition(".")[0])
        if why_not:
            raise SpaceError(f"{name} cannot be swept: {why_not}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known
            raise SpaceError(f"there is no setting '{name}'; did you mean {', '.join(near)}?")
    teacher = "distillation.teacher"
    swept = next((name for name in space.parameters if name.startswith("distillation.")), None)
    if swept and teacher not in space.parameters and base.distillation.teacher is None:
        raise SpaceError(f"{swept} makes no difference without a teacher: add --{teacher} RUN, or --recipe distill")


def _names(base: Experiment) -> list[str]:
    sections = {name: field.annotation for name, field in Experiment.model_fields.items() if name not in _FIXED}
    names = [f"{name}.{each}" for name, part in sections.items() if part is not None for each in part.model_fields]
    names = [name for name in names if name != "model.options" and name not in _FIXED]
    return names + [f"model.options.{option}" for option in find_model(base.model.name).options if option != "patch"]


def _named(choice: Any) -> Scalar:
    return json.dumps(choice) if isinstance(choice, list) else choice
