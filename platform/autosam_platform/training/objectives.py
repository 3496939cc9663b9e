"""What a fit minimises. The loop knows only: logits and batch in, losses per sample out."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
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
    """Soft Dice plus cross entropy over the softmax of all classes (Sec. 3.6, Eq. 1).

    The paper does not say which classes its Dice counts. Here: the organs that are in the sample's label. A class
    that a patch does not show has no Dice; cross entropy still punishes it where it is predicted. A class that the
    sample's case does not annotate may be anywhere in its background, so there it counts as background.
    """

    def __init__(self) -> None:
        from monai.losses import DiceLoss  # MONAI takes seconds to import, and most processes of a fit only wait

        super().__init__()
        self._dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, reduction="none")

    def forward(self, logits_BKDHW: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Losses of a batch with ``label`` of shape B×1×D×H×W and ``annotated``, B×K: which classes were drawn."""
        logits_BKDHW = _as_annotated(logits_BKDHW.float(), batch["annotated"])
        label_B1DHW = batch["label"].long()
        dice_BK = self._dice(logits_BKDHW, label_B1DHW).flatten(1)
        shown_BK = _shown(label_B1DHW, logits_BKDHW.shape[1])[:, 1:]
        dice_B = (dice_BK * shown_BK).sum(1) / shown_BK.sum(1).clamp(min=1)
        entropy_B = F.cross_entropy(logits_BKDHW, label_B1DHW[:, 0], reduction="none").flatten(1).mean(1)
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


def _shown(label_B1DHW: Tensor, num_classes: int) -> Tensor:
    """1 where a sample's label has the class, else 0: B×K."""
    counts = [torch.bincount(label.flatten(), minlength=num_classes) for label in label_B1DHW]
    return (torch.stack(counts) > 0).to(torch.float32)
