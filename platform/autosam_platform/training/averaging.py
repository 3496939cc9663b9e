"""The running mean of a model's weights over its steps, which is often better than the last of them."""

import copy
from typing import Self

import torch
from torch import nn


class WeightAverage:
    """A copy of a model whose weights follow it slowly: w ← d · w + (1 − d) · w_model after each step.

    Source: Polyak and Juditsky 1992; as exponential mean in Tarvainen and Valpola 2017 (Mean Teacher). The first steps,
    when the weights have no past worth keeping, have a shorter memory: d is (1 + n) / (10 + n) where that is less,
    after n steps. So d is a function of the step, and a checkpoint needs the mean alone.

    Attributes:
        model: the copy, which needs no gradients.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._decay = decay

    @classmethod
    def of(cls, model: nn.Module, decay: float) -> Self | None:
        """None where ``decay`` is 0, which is no averaging."""
        return cls(model, decay) if decay else None

    @torch.no_grad()
    def follow(self, model: nn.Module, steps: int) -> None:
        """Take in the weights after ``steps`` steps, counted from 1."""
        decay = min(self._decay, steps / (9 + steps))
        for mean, now in zip(self.model.parameters(), model.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)
        for ours, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            ours.copy_(theirs)
