"""What a student minimises: the labels' loss and its distance to the teacher, weighted (Sec. 3.6, Eq. 2)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from autosam_platform.data.probabilities import WHOLE
from autosam_platform.distillation.distances import Distance, distance_of
from autosam_platform.experiment import DistillationSection
from autosam_platform.training.objectives import Objective, SegmentationObjective


class DistillationObjective(nn.Module):
    """``kd_lambda`` · L_seg + (1 − ``kd_lambda``) · distance to the teacher.

    Args:
        kd_lambda: λ of Eq. 2, from 0 (the teacher alone) to 1 (the labels alone).
        distance: between student and teacher; see ``distances``.

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


def build_objective(section: DistillationSection) -> Objective:
    """The objective that the section describes."""
    return DistillationObjective(section.kd_lambda, distance_of(section))
