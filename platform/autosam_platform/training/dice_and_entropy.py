"""Soft Dice and cross entropy in one operation: their gradient is known, so little is kept and less is gone through."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_SMOOTH = 1e-5  # MONAI's, above and below the fraction line


def dice_and_entropy(logits_BKDHW: Tensor, label_BDHW: Tensor) -> tuple[Tensor, Tensor]:
    """Soft Dice loss, mean over the organs in a sample's label, and cross entropy, mean over voxels. Both of shape B.

    The Dice of class k is (2 I + s) / (P + Y + s): I its probability where the label has it, P its probability
    everywhere, Y its voxels, as MONAI's ``DiceLoss`` has it, which with torch's ``cross_entropy`` takes twice as long
    on a CPU (docs/benchmarks.md). The Dice loss of a sample without organs is 0.

    Args:
        logits_BKDHW: float32 or float64; class 0 is background.
        label_BDHW: class ids, int64.
    """
    dice_B, entropy_B = _DiceAndEntropy.apply(logits_BKDHW.flatten(2), label_BDHW.flatten(1))
    return dice_B, entropy_B


class _DiceAndEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_BKN: Tensor, label_BN: Tensor) -> tuple[Tensor, Tensor]:
        logarithms_BKN = logits_BKN.log_softmax(1)
        own_B1N = label_BN[:, None]
        entropy_B = -logarithms_BKN.gather(1, own_B1N).flatten(1).mean(1)
        probabilities_BKN = logarithms_BKN.exp_()
        right_BN = probabilities_BKN.gather(1, own_B1N)[:, 0]
        empty_BK = logits_BKN.new_zeros(logits_BKN.shape[:2])
        inside_BK = empty_BK.scatter_add(1, label_BN, right_BN)
        voxels_BK = empty_BK.scatter_add(1, label_BN, torch.ones_like(right_BN))
        sizes_BK = probabilities_BKN.sum(2) + voxels_BK + _SMOOTH
        dice_BK = (2 * inside_BK + _SMOOTH) / sizes_BK
        share_BK = (voxels_BK > 0).to(dice_BK.dtype)
        share_BK[:, 0] = 0
        share_BK /= share_BK.sum(1, keepdim=True).clamp(min=1)
        ctx.save_for_backward(
            probabilities_BKN, label_BN, right_BN, 2 * share_BK / sizes_BK, dice_BK * share_BK / sizes_BK
        )
        return ((1 - dice_BK) * share_BK).sum(1), entropy_B

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dice_B: Tensor, entropy_B: Tensor) -> tuple[Tensor, None]:
        """Through the softmax: p · (g − Σ p g), where g is what the loss gains per probability.

        Of Dice, g is ``everywhere``, less ``where_right`` in the voxels of the label's own class; cross entropy has p
        less 1 there.
        """
        probabilities_BKN, label_BN, right_BN, where_right_BK, everywhere_BK = ctx.saved_tensors
        everywhere_BK, where_right_BK = dice_B[:, None] * everywhere_BK, dice_B[:, None] * where_right_BK
        of_entropy_B1 = entropy_B[:, None] / label_BN.shape[1]
        own_BN = where_right_BK.gather(1, label_BN) * right_BN
        mean_BN = torch.einsum("bk,bkn->bn", everywhere_BK, probabilities_BKN) - own_BN
        gradient_BKN = everywhere_BK[:, :, None] - (mean_BN - of_entropy_B1)[:, None]
        gradient_BKN *= probabilities_BKN
        return gradient_BKN.scatter_add_(1, label_BN[:, None], -(own_BN + of_entropy_B1)[:, None]), None
