"""The learning rate as a pure function of the step, so that a checkpoint needs no scheduler of its own."""

import math
from typing import Literal

Decay = Literal["exponential", "linear", "cosine", "poly"]


def learning_rate(
    step: int, *, peak: float, final: float, decay: Decay, steps_per_epoch: int, epochs: int, warmup_epochs: float
) -> float:
    """Linear warm-up, then decay to ``final · peak`` at the last epoch: exponential in the paper (Sec. 4).

    Args:
        step: steps done before this one, counted over all epochs from 0.
        peak: rate at the end of the warm-up.
        final: rate at the end of training, as a fraction of ``peak``.
        decay: ``"linear"`` stays near the peak for longer, which pays in short runs; ``"cosine"`` is half a wave,
            ``"poly"`` nnU-Net's power of 0.9 of what is left.
    """
    epoch = step / steps_per_epoch
    if epoch < warmup_epochs:
        return peak * (step + 1) / (warmup_epochs * steps_per_epoch + 1)
    share = (epoch - warmup_epochs) / (epochs - warmup_epochs)
    if decay == "linear":
        return peak * (1 - share * (1 - final))
    if decay == "cosine":
        return peak * (final + (1 - final) * (1 + math.cos(math.pi * share)) / 2)
    if decay == "poly":
        return peak * (final + (1 - final) * max(1 - share, 0.0) ** 0.9)
    return peak * final**share
