"""Who takes a step: AdamW as in the paper, SGD as in nnU-Net, or Muon for what is a matrix."""

from collections.abc import Iterable
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from autosam_models import trained_parameters
from autosam_platform.experiment import TrainingSection

_MATRICES = (nn.Linear, nn.modules.conv._ConvNd)


class Optimizer(Protocol):
    """What the loop and its checkpoints ask of an optimiser; each of torch's is one."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Each with its rate, ``lr``."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        ...

    def step(self) -> None:
        """Change the weights."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that a continued run needs."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave."""
        ...


def build_optimizer(model: nn.Module, settings: TrainingSection) -> Optimizer:
    """The optimiser that the settings name, over what is trained: a frozen parameter costs no state."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "muon":
        return Muon(model, rate, decay)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(trained_parameters(model), rate, settings.momentum, weight_decay=decay, nesterov=True)
    return torch.optim.AdamW(trained_parameters(model), lr=rate, weight_decay=decay)


class Muon:
    """Muon over the kernels of convolutions and linear layers, AdamW over biases, norms, tables of positions.

    Source: Jordan et al. 2024 (Muon): a step along the orthogonalised momentum, kernels flattened to (first axis, all
    others); with the scale of Liu et al. 2025 (Muon is Scalable), by which both take AdamW's rate. torch's Muon takes
    matrices alone, so it is given flat views: they share their memory with the parameters.
    """

    def __init__(self, model: nn.Module, rate: float, weight_decay: float) -> None:
        kernels = {id(module.weight) for module in model.modules() if isinstance(module, _MATRICES)}
        trained = trained_parameters(model)
        self._kernels = [each for each in trained if id(each) in kernels]
        self._flat = [nn.Parameter(each.detach().view(len(each), -1)) for each in self._kernels]
        rest = [each for each in trained if id(each) not in kernels]
        both: dict[str, Any] = {"lr": rate, "weight_decay": weight_decay}
        self._parts: dict[str, torch.optim.Optimizer] = {}
        if self._flat:
            self._parts["muon"] = torch.optim.Muon(self._flat, **both, adjust_lr_fn="match_rms_adamw")
        if rest:
            self._parts["adamw"] = torch.optim.AdamW(rest, **both)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return list(chain.from_iterable(part.param_groups for part in self._parts.values()))

    def zero_grad(self, set_to_none: bool = True) -> None:
        _forget(chain(self._kernels, self._flat))
        for part in self._parts.values():
            part.zero_grad(set_to_none)

    def step(self) -> None:
        """Change the weights in place; the gradients are those of the model's own parameters."""
        for kernel, flat in zip(self._kernels, self._flat, strict=True):
            flat.grad = None if kernel.grad is None else kernel.grad.reshape(flat.shape)
        for part in self._parts.values():
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state_dict[name])


def _forget(parameters: Iterable[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None
