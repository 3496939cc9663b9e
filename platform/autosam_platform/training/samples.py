"""What a fit draws from a dataset, how the network is asked about it, and what tells a good network from a bad one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from autosam_platform.data.patches import PatchDataset, Teacher, Unlabelled
from autosam_platform.data.prepared import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.training.validation import validate
from autosam_platform.training.workers import Workers

Autocast = Callable[[], torch.autocast]


class EpochDataset(Protocol):
    """A map-style dataset whose samples are decided by seed, epoch and place alone. Each has a ``case_id``."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...

    def set_epoch(self, epoch: int) -> None:
        """Every epoch has its own samples; called before a loader's workers start."""
        ...


class Samples(Protocol):
    """Travels to the workers of a fit, each of which asks it for all that is not the loop's own."""

    def dataset(self, prepared: PreparedDataset, experiment: Experiment) -> EpochDataset:
        """What is trained on."""
        ...

    def example(self, experiment: Experiment, device: torch.device) -> dict[str, Tensor]:
        """A batch of zeros, as ``logits`` takes it."""
        ...

    def logits(self, network: nn.Module, batch: Mapping[str, Any]) -> Tensor | Sequence[Tensor]:
        """What the network says of a batch, for the objective; of several sizes, the full one first."""
        ...

    def validate(
        self,
        model: nn.Module,
        prepared: PreparedDataset,
        experiment: Experiment,
        autocast: Autocast,
        workers: Workers,
    ) -> dict[str, float]:
        """Dice per class name over the validation cases, and their ``mean``; workers share the cases."""
        ...


@dataclass(frozen=True)
class PatchSamples:
    """Patches, of which the network gets the image; whole cases by the sliding window. See ``Samples``.

    Attributes:
        teacher: of the patches, beside their labels.
        unlabelled: scans that the teacher alone tells of.
    """

    teacher: Teacher | None = None
    unlabelled: Unlabelled | None = None

    def dataset(self, prepared: PreparedDataset, experiment: Experiment) -> PatchDataset:
        """See ``Samples``."""
        training = experiment.training
        return PatchDataset(
            prepared,
            experiment.model.patch_DHW,
            training.patches_per_case,
            training.seed,
            self.teacher,
            self.unlabelled,
        )

    def example(self, experiment: Experiment, device: torch.device) -> dict[str, Tensor]:
        """See ``Samples``."""
        return {"image": torch.zeros((experiment.batch_at_once, 1, *experiment.model.patch_DHW), device=device)}

    def logits(self, network: nn.Module, batch: Mapping[str, Any]) -> Tensor | Sequence[Tensor]:
        """See ``Samples``: B, K, D, H, W."""
        outputs: Tensor | Sequence[Tensor] = network(batch["image"])
        return outputs

    def validate(
        self,
        model: nn.Module,
        prepared: PreparedDataset,
        experiment: Experiment,
        autocast: Autocast,
        workers: Workers,
    ) -> dict[str, float]:
        """See ``Samples``."""
        overlap = experiment.inference.validation_overlap
        return validate(model, prepared, experiment.model.patch_DHW, overlap, autocast, workers)


PATCHES = PatchSamples()
"""Patches with labels alone."""
