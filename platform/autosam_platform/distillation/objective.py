"""What a student minimises: the labels' loss and its distance to the teacher, weighted (Sec. 3.6, Eq. 2)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from autosam_platform.data.probabilities import WHOLE
from autosam_platform.experiment import DistillationSection
from autosam_platform.training.objectives import Objective, SegmentationObjective

Distance = Callable[[Tensor, Tensor], Tensor]
"""Of ``logits_BKDHW`` of the student and ``probabilities_BKDHW`` of the teacher: shape B."""


class DistillationObjective(nn.Module):
    """``kd_lambda`` · L_seg + (1 − ``kd_lambda``) · distance to the teacher.

    Args:
        kd_lambda: λ of Eq. 2, from 0 (the teacher alone) to 1 (the labels alone).
        distance: between student and teacher.

    Raises:
        ValueError: λ is not in [0, 1].
    """

    def __init__(self, kd_lambda: float, distance: Distance) -> None:
        super().__init__()
        if not 0 <= kd_lambda <= 1:
            raise ValueError(f"a kd_lambda of {kd_lambda} is not possible: give a weight from 0 to 1")
        self._lambda, self._distance = kd_lambda, distance
        self._segmentation = SegmentationObjective()

    def forward(self, logits_BKDHW: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Losses of a batch with ``label``, ``annotated`` and ``probabilities`` (B×K×D×H×W, in 255ths)."""
        losses = self._segmentation(logits_BKDHW, batch)
        distance_B = self._distance(logits_BKDHW.float(), batch["probabilities"].float() / WHOLE)
        loss_B = self._lambda * losses["loss"] + (1 - self._lambda) * distance_B
        return {**losses, "loss": loss_B, "segmentation_loss": losses["loss"], "distillation_loss": distance_B}


def squared_error(logits_BKDHW: Tensor, teacher_BKDHW: Tensor) -> Tensor:
    """The paper's L_MSE: mean over classes and voxels of the squared difference of probabilities. Shape B."""
    return (logits_BKDHW.softmax(1) - teacher_BKDHW).square().flatten(1).mean(1)


def softened_divergence(logits_BKDHW: Tensor, teacher_BKDHW: Tensor, temperature: float) -> Tensor:
    """KL divergence from student to teacher at a temperature T, times T²; mean over voxels. Shape B.

    Source: Hinton, Vinyals, Dean 2015, Sec. 2: T² keeps the gradient's size. softmax(logits / T) of the teacher is its
    probabilities to the power of 1/T, normalised, so its logits are not needed; what the store rounded to 0 stays 0.
    """
    softened_BKDHW = teacher_BKDHW.pow(1 / temperature)
    softened_BKDHW = softened_BKDHW / softened_BKDHW.sum(1, keepdim=True)
    student_BKDHW = (logits_BKDHW / temperature).log_softmax(1)
    divergence_BKDHW = F.kl_div(student_BKDHW, softened_BKDHW, reduction="none")
    return temperature**2 * divergence_BKDHW.sum(1).flatten(1).mean(1)


def build_objective(section: DistillationSection) -> Objective:
    """The objective that the section describes."""
    distances: dict[str, Distance] = {
        "mse": squared_error,
        "kl": partial(softened_divergence, temperature=section.temperature),
    }
    return DistillationObjective(section.kd_lambda, distances[section.loss])
