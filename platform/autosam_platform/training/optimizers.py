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
    matrices alone, so it is given flat views: they share their memory with the parameters. It rounds them to bf16,
    which many CPUs imitate at a hundredth of their speed (docs/log.md, 2026-11-29): on CPUs the step is ours, in fp32.
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
            muon = _CpuMuon if self._flat[0].device.type == "cpu" else torch.optim.Muon
            self._parts["muon"] = muon(self._flat, **both, adjust_lr_fn="match_rms_adamw")
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


class _CpuMuon(torch.optim.Muon):
    """torch's Muon with a step in fp32; groups and state are torch's."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # the loop has no closure
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in (each for each in group["params"] if each.grad is not None):
                state = self.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                direction = orthogonalised(matrix.grad.lerp(mean, momentum))  # Nesterov's
                matrix.mul_(1 - rate * group["weight_decay"])
                matrix.add_(direction, alpha=-rate * 0.2 * max(matrix.shape) ** 0.5)  # Liu et al. 2025, Eq. 4


_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix with its singular values brought near 1 (to 0.7 to 1.2), all but those that are next to 0.

    Source: Jordan et al. 2024: five steps X ← (a + b·XXᵀ + c·(XXᵀ)²)·X. All factors are polynomials of the first XXᵀ,
    so they are multiplied among themselves, as squares of the shorter side, and with X once, at the end: a third of the
    time for the long rows of convolutions, and the same to 1e-4, where bf16 is the same to 1e-2 at best.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if tall else matrix
    wide = wide / wide.norm().clamp(min=1e-7)
    gram = wide @ wide.T
    product = factor = _newton_schulz(gram)
    for _ in range(_NEWTON_SCHULZ_STEPS - 1):
        gram = factor @ gram @ factor
        factor = _newton_schulz(gram)
        product = factor @ product
    found = product @ wide
    return found.T if tall else found


def _newton_schulz(gram: Tensor) -> Tensor:
    a, b, c = _NEWTON_SCHULZ
    factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor


def _forget(parameters: Iterable[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None
