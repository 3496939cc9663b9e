"""What a sweep is: a space of settings around a base, and the name that follows from all that decides its trials."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autosam_inference.files import content_hash
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.distillation.named import identity_of
from autosam_platform.experiment import ConfigError, Experiment
from autosam_platform.training.size import ModelSettingsError, count_parameters
from autosam_platform.tuning.space import Space, SpaceError
from autosam_platform.tuning.trials import Point
from autosam_platform.workspace import SweepFolder, Workspace

_VERSION = 1  # raise it whenever the same sweep would make other trials


class SweepError(ConfigError):
    """A sweep that cannot be run; the message says why and what to do."""


@dataclass(frozen=True)
class Sweep:
    """What is swept.

    Attributes:
        title: of the space.
        base: what all trials have in common.
        teachers: their folders by the names that ``base`` and the space have for them; commas stand
            between those of several.
        trials: how many; a grid has as many as its product.
        seed: of the search.
        arguments: of the job, which do not decide the sweep's name.
    """

    title: str
    space: Space
    base: Experiment
    prepared: PreparedDataset
    workspace: Workspace
    trials: int
    grid: bool = False
    seed: int = 0
    teachers: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()

    def experiment(self, point: Point) -> Experiment:
        """The experiment of a trial.

        Raises:
            ValidationError: there can be none with these values together.
        """
        experiment = self.space.experiment(self.base, point)
        section = experiment.distillation
        if section.teacher is None:
            return experiment
        section = section.model_copy(update={"teacher": self.teachers.get(section.teacher, section.teacher)})
        return experiment.model_copy(update={"distillation": section})

    @functools.cached_property
    def name(self) -> str:
        """Title and a hash of all that decides which trials are made."""
        run = self.experiment({}).run_id(self.prepared.fingerprint)
        space = self.space.model_dump(mode="json", exclude={"about", "recipe"})
        teachers = {name: identity_of(each) for name, each in self.teachers.items()}
        made_of = content_hash(_VERSION, space, run, teachers, self.trials, self.grid, self.seed)
        return f"{self.title}-{made_of[:8]}"

    def as_json(self) -> dict[str, Any]:
        """What people want to know of it: the space, and what it is a sweep of."""
        about = {"name": self.name, "model": self.base.model.name, "dataset": self.prepared.name}
        how = {"trials": self.trials, "grid": self.grid, "arguments": list(self.arguments)}
        return about | how | self.space.model_dump(mode="json")

    @property
    def folder(self) -> SweepFolder:
        """Where the sweep keeps what it knows."""
        return self.workspace.sweep(self.name)


def require_buildable(space: Space, base: Experiment) -> None:
    """Refuse a space with values that no model can be built with; nothing is allocated.

    Raises:
        SpaceError: names the setting, and the model's own reason.
    """
    for name, value, experiment in space.examples(base):
        try:
            if name.startswith("model."):
                count_parameters(experiment, num_classes=2)
        except (ModelSettingsError, TypeError) as error:
            raise SpaceError(f"{name} cannot be {value!r}: {error}") from error
