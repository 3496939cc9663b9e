"""The learning rate as a pure function of the step, so that a checkpoint needs no scheduler of its own."""


def learning_rate(
    step: int, *, peak: float, final: float, steps_per_epoch: int, epochs: int, warmup_epochs: float
) -> float:
    """Linear warm-up, then exponential decay to ``final · peak`` at the last epoch (PAPER.md Sec. 4).

    Args:
        step: steps done before this one, counted over all epochs from 0.
        peak: rate at the end of the warm-up.
        final: rate at the end of training, as a fraction of ``peak``.
    """
    epoch = step / steps_per_epoch
    if epoch < warmup_epochs:
        return peak * (step + 1) / (warmup_epochs * steps_per_epoch + 1)
    return peak * final ** ((epoch - warmup_epochs) / (epochs - warmup_epochs))
