"""What share of a student's step each distance to the teacher has: norms of gradients, beside the labels' own."""

from collections.abc import Sequence
from statistics import mean
from typing import get_args

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from autosam_models import trained_parameters
from autosam_models.numerics import autocast
from autosam_platform.data.patches import Patch, PatchDataset
from autosam_platform.distillation.distances import distance_of
from autosam_platform.distillation.objective import DistillationObjective
from autosam_platform.experiment import DistillationSection
from autosam_platform.training.objectives import DeepSupervision, Objective, SegmentationObjective

_NAMES: Sequence[str] = get_args(DistillationSection.model_fields["loss"].annotation)


def gradient_norms(
    model: nn.Module, patches: Sequence[Patch] | PatchDataset, count: int, device: torch.device
) -> dict[str, float]:
    """Norm of the gradient by all weights, mean over ``count`` patches: of the ``labels`` and of each distance by name.

    Args:
        patches: with a teacher's probabilities.
    """
    norms: dict[str, list[float]] = {}
    for index in range(count):
        batch = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in default_collate([patches[index]]).items()
        }
        with autocast("auto", device)():
            outputs = model(batch["image"])
        for name, objective in _objectives().items():
            loss = DeepSupervision(objective)(outputs, batch)["loss"].mean()
            gradients = torch.autograd.grad(loss, trained_parameters(model), retain_graph=True)
            norms.setdefault(name, []).append(float(torch.stack([each.norm() for each in gradients]).norm()))
    return {name: mean(values) for name, values in norms.items()}


def shares(norms: dict[str, float]) -> str:
    """Of each distance at λ = 0.5, in words."""
    labels = norms["labels"]
    texts = [f"{name} {100 * norm / (norm + labels):.2g} %" for name, norm in norms.items() if name != "labels"]
    return f"gradient, labels {labels:.3g}; share of the teacher at λ = 0.5: {', '.join(texts)}"


def _objectives() -> dict[str, Objective]:
    """The labels' loss, and each distance alone."""
    sections = {name: DistillationSection.model_validate({"loss": name}) for name in _NAMES}
    distances = {name: DistillationObjective(0.0, distance_of(section)) for name, section in sections.items()}
    return {"labels": SegmentationObjective()} | distances
