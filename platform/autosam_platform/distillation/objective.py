"""What a student minimises: the labels' loss and its distance to the teacher, weighted (Sec. 3.6, Eq. 2)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autosam_platform.data.probabilities import WHOLE
from autosam_platform.distillation.distances import Distance, distance_of, softened
from autosam_platform.experiment import DistillationSection, TrainingSection
from autosam_platform.training.objectives import Objective, SegmentationObjective


class DistillationObjective(nn.Module):
    """``kd_lambda`` · L_seg + (1 − ``kd_lambda``) · distance to the teacher.

    Args:
        kd_lambda: λ of Eq. 2, from 0 (the teacher alone) to 1 (the labels alone).
        distance: between student and teacher; see ``distances``.
        confidence: where the teacher's largest probability is less, it has no say.
        temperature: at which the teacher's probabilities are taken, before all else; see ``temperature``.
        fade: share of the training at its end in which 1 − λ sinks in a straight line to 0; 0 keeps it as it is.
        segmentation: L_seg; Eq. 1 where none is given.

    Raises:
        ValueError: λ is not in [0, 1].
    """

    def __init__(
        self,
        kd_lambda: float,
        distance: Distance,
        confidence: float = 0.0,
        temperature: float = 1.0,
        fade: float = 0.0,
        segmentation: SegmentationObjective | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= kd_lambda <= 1:
            raise ValueError(f"a kd_lambda of {kd_lambda} is not possible: give a weight from 0 to 1")
        self._lambda, self._distance, self._confidence = kd_lambda, distance, confidence
        self._temperature, self._fade = temperature, fade
        self._segmentation = segmentation or SegmentationObjective()

    def forward(self, logits_BKDHW: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Losses of a batch with ``label``, ``annotated`` and ``probabilities`` (B×K×D×H×W, in 255ths).

        Where the teacher fades, ``progress`` is in it too: the share of the training that is done.
        """
        losses = self._segmentation(logits_BKDHW, batch)
        teacher_BKDHW = batch["probabilities"].float() / WHOLE
        if self._temperature != 1:
            teacher_BKDHW = softened(teacher_BKDHW, self._temperature)
        distance_B = self._distance(self._heard(logits_BKDHW.float(), teacher_BKDHW), teacher_BKDHW)
        labels = self._lambda
        if self._fade:
            labels = 1 - (1 - labels) * min(1.0, (1 - batch["progress"]) / self._fade)
        loss_B = labels * losses["loss"] + (1 - labels) * distance_B
        return {**losses, "loss": loss_B, "segmentation_loss": losses["loss"], "distillation_loss": distance_B}

    def _heard(self, logits_BKDHW: Tensor, teacher_BKDHW: Tensor) -> Tensor:
        """The student's logits, but the teacher's own answer where it is not sure: there both agree, at no distance."""
        if not self._confidence:
            return logits_BKDHW
        sure_B1DHW = teacher_BKDHW.amax(1, keepdim=True) >= self._confidence
        return torch.where(sure_B1DHW, logits_BKDHW, teacher_BKDHW.clamp(min=_NEVER).log())


_NEVER = 1e-30  # a probability whose logarithm is finite in fp32


def build_objective(section: DistillationSection, temperature: float, training: TrainingSection) -> Objective:
    """The objective that the sections describe, with a teacher of this ``temperature``."""
    return DistillationObjective(
        section.kd_lambda,
        distance_of(section, training.places),
        section.confidence,
        temperature,
        fade=section.fade,
        segmentation=SegmentationObjective.of(training),
    )
