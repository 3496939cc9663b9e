"""What a sweep says of itself for people, in ``sweep.json`` and ``importances.json``; read without Optuna or torch."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from autosam_inference.files import write_json
from autosam_platform.tuning.trials import DICE, Objectives


class DescribedParameter(BaseModel):
    """What people want to know of a setting that is varied; the space says more."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    unit: str = ""
    help: str = ""
    log: bool = False
    """Is its logarithm searched?"""


class SweepDescription(BaseModel):
    """What it is a sweep of."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = ""
    about: str = ""
    dataset: str = ""
    model: str = ""
    trials: int | None = None
    """How many it is to have."""
    objectives: Objectives = {DICE: "max"}
    parameters: dict[str, DescribedParameter] = {}
    """By their dotted names."""
    arguments: list[str] = []
    """Of the job that made it, by which it continues; none of sweeps of earlier versions."""


class Importances(BaseModel):
    """How much of the differences in Dice each parameter explains."""

    model_config = ConfigDict(frozen=True)

    importances: dict[str, float] = {}
    """Shares of the variance by parameter."""
    note: str = ""
    """Where there are none, why."""

    def write(self, path: Path) -> None:
        """Write the file."""
        write_json(path, self.model_dump())
