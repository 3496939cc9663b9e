"""What a fit minimises. The loop knows only: logits and batch in, losses per sample out."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F


class Objective(Protocol):
    """Turns logits and the batch they came from into losses.

    Losses are per sample, so that their mean does not depend on how workers share a batch.
    """

    def __call__(self, logits_BKDHW: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return ``loss`` (shape B) and, under other names, the parts worth a curve (shape B)."""
        ...


class SegmentationObjective(nn.Module):
    """Soft Dice plus cross entropy over the softmax of all classes (PAPER.md Sec. 2, Eq. 1).

    The paper does not say which classes its Dice counts. Here: the organs that are in the sample's label. A class
    that a patch does not show has no Dice; cross entropy still punishes it where it is predicted.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, reduction="none")

    def forward(self, logits_BKDHW: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Losses of a batch with ``label`` of shape B×1×D×H×W."""
        logits_BKDHW = logits_BKDHW.float()
        label_B1DHW = batch["label"].long()
        dice_BK = self._dice(logits_BKDHW, label_B1DHW).flatten(1)
        shown_BK = _shown(label_B1DHW, logits_BKDHW.shape[1])[:, 1:]
        dice_B = (dice_BK * shown_BK).sum(1) / shown_BK.sum(1).clamp(min=1)
        entropy_B = F.cross_entropy(logits_BKDHW, label_B1DHW[:, 0], reduction="none").flatten(1).mean(1)
        return {"loss": dice_B + entropy_B, "dice_loss": dice_B, "cross_entropy": entropy_B}


def _shown(label_B1DHW: Tensor, num_classes: int) -> Tensor:
    """1 where a sample's label has the class, else 0: B×K."""
    counts = [torch.bincount(label.flatten(), minlength=num_classes) for label in label_B1DHW]
    return (torch.stack(counts) > 0).to(torch.float32)
