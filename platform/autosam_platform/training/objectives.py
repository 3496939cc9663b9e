"""What a fit minimises. The loop knows only: logits and batch in, losses per sample out."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from autosam_platform.training.dice_and_entropy import dice_and_entropy


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
    """

    def forward(self, logits_BKDHW: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Losses of a batch with ``label`` of shape B×1×D×H×W and ``annotated``, B×K: which classes were drawn."""
        logits_BKDHW = _as_annotated(logits_BKDHW.float(), batch["annotated"])
        dice_B, entropy_B = dice_and_entropy(logits_BKDHW, batch["label"][:, 0].long())
        return {"loss": dice_B + entropy_B, "dice_loss": dice_B, "cross_entropy": entropy_B}


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
