"""What a fit minimises. The loop knows only: logits and batch in, losses per sample out."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autosam_platform.experiment import TrainingSection
from autosam_platform.training.dice_and_entropy import dice_and_entropy
from autosam_platform.training.places import divergence_of_places


class Objective(Protocol):
    """Turns logits, of shape B × K × any, and the batch they came from into losses.

    Losses are per sample, so that their mean does not depend on how workers share a batch.
    """

    def __call__(self, logits_BK: Tensor, batch: Mapping[str, Any], /) -> dict[str, Tensor]:
        """Return ``loss`` (shape B) and, under other names, the parts worth a curve (shape B)."""
        ...


class SegmentationObjective(nn.Module):
    """Soft Dice plus cross entropy over the softmax of all classes (Sec. 3.6, Eq. 1).

    The paper does not say which classes its Dice counts. Here: the organs that are in the sample's label. A class
    that a patch does not show has no Dice; cross entropy still punishes it where it is predicted. A class that the
    sample's case does not annotate may be anywhere in its background, so there it counts as background.

    Args:
        places: share of ``divergence_of_places`` in the loss; the rest is Eq. 1.
    """

    def __init__(self, places: float = 0.0) -> None:
        super().__init__()
        self._places = places

    @classmethod
    def of(cls, training: TrainingSection) -> Self:
        """The objective that the section describes."""
        return cls(training.places)

    def forward(self, logits_BKDHW: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Losses of a batch with ``label`` of shape B×1×D×H×W and ``annotated``, B×K: which classes were drawn."""
        logits_BKDHW = _as_annotated(logits_BKDHW.float(), batch["annotated"])
        label_BDHW = batch["label"][:, 0].long()
        dice_B, entropy_B = dice_and_entropy(logits_BKDHW, label_BDHW)
        parts = {"dice_loss": dice_B, "cross_entropy": entropy_B}
        if not self._places:
            return {"loss": dice_B + entropy_B, **parts}
        places_B = divergence_of_places(logits_BKDHW, label_BDHW)
        loss_B = (1 - self._places) * (dice_B + entropy_B) + self._places * places_B
        return {"loss": loss_B, **parts, "places_loss": places_B}


class DeepSupervision(nn.Module):
    """An objective for networks that in training answer at several resolutions, and for those that do not.

    Each answer is held against truth of its own size; the losses count with 1, ½, ¼ and so on, the first for the full
    size, divided by their sum. So do the trainers of nnU-Net and nnFormer; nnU-Net's gives its coarsest answer the
    weight 0, and here a network does not make it. Of labels the nearest voxel counts, as in nnU-Net; of a teacher's
    probabilities the mean over the voxels that one of the answer stands for.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self._objective = objective

    def forward(self, outputs: Tensor | Sequence[Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Losses as ``Objective`` gives them: ``loss`` is of all answers, its parts are of the full size alone."""
        if isinstance(outputs, Tensor):
            return self._objective(outputs, batch)
        losses = [self._objective(logits_BKDHW, _at(logits_BKDHW.shape[2:], batch)) for logits_BKDHW in outputs]
        weights = [0.5**number for number in range(len(losses))]
        weighted = [weight * each["loss"] for weight, each in zip(weights, losses, strict=True)]
        return losses[0] | {"loss": torch.stack(weighted).sum(0) / sum(weights)}


def _at(size: torch.Size, batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """The batch with what its voxels are known to be at another size."""
    label_B1DHW = batch["label"]
    if label_B1DHW.shape[2:] == size:
        return batch
    coarse = {"label": F.interpolate(label_B1DHW.float(), size, mode="nearest-exact").to(label_B1DHW.dtype)}
    if "probabilities" in batch:
        coarse["probabilities"] = F.interpolate(batch["probabilities"].float(), size, mode="area")
    return {**batch, **coarse}


def _as_annotated(logits_BKDHW: Tensor, annotated_BK: Tensor) -> Tensor:
    """Logits whose background holds the probability of all that is not annotated, which itself becomes 0."""
    if annotated_BK.all():
        return logits_BKDHW
    known_BK111 = annotated_BK[:, :, None, None, None]
    organs_BK111 = known_BK111.clone()
    organs_BK111[:, 0] = False
    background_B1DHW = logits_BKDHW.masked_fill(organs_BK111, -torch.inf).logsumexp(1, keepdim=True)
    lowest = torch.finfo(torch.float16).min  # e to this power is 0, and unlike infinity it has a gradient
    return torch.cat([background_B1DHW, logits_BKDHW.masked_fill(~known_BK111, lowest)[:, 1:]], dim=1)
