"""How much memory a model needs, found without running it: its operations are gone through on tensors without data.

torch's fake tensors have shapes, types and devices but no memory, so a training step of any model is gone through in
seconds on any machine, for a GPU too that is not there. What is counted is what torch would allocate; what kernels
need for themselves comes on top. The tests compare with measurements.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from autosam_models import trained_parameters


def bytes_of_step(
    build: Callable[[], nn.Module],
    ask: Callable[[nn.Module], Tensor | Sequence[Tensor]],
    *,
    device: torch.device,
    dtype: torch.dtype,
    as_trained: Callable[[nn.Module], None] | None = None,
    averaged: bool = False,
    shared: bool = False,
) -> int:
    """Bytes in use at most in a training step: weights, gradients, AdamW's two moments, and what the step makes.

    The loss is cross entropy and a mean of probabilities; others of softmax and labels take about as much.

    Args:
        build: makes the model; nothing in it may depend on values.
        ask: puts a batch to the model and gives its logits, B × K × any, of one or several sizes.
        dtype: of autocast; float32 for none.
        as_trained: marks what is not trained, where that is not the model's own doing.
        averaged: a running mean of the weights is kept, which is a second model.
        shared: several workers share their gradients, of which torch keeps another copy for that (DDP's buckets).
    """
    with torch.device("meta"):
        model = build()
    if as_trained is not None:
        as_trained(model)
    trained = sum(parameter.nbytes for parameter in trained_parameters(model))
    beside = 2 * trained  # the moments
    if averaged:
        beside += sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()])
    if shared:
        beside += trained
    with FakeTensorMode(allow_non_fake_inputs=True), _LiveBytes() as live:
        _materialise(model, device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            outputs = ask(model)
        losses = [_loss(logits_BK) for logits_BK in ([outputs] if isinstance(outputs, Tensor) else outputs)]
        torch.autograd.backward(torch.stack(losses).sum())
    return live.peak + beside


def _materialise(model: nn.Module, device: torch.device) -> None:
    """What ``to_empty`` does, also where a module has two places in the network, as nnU-Net's encoder has."""
    known: dict[int, Tensor] = {}

    def made(old: Tensor) -> Tensor:
        if id(old) not in known:
            new = torch.empty_like(old, device=device)
            known[id(old)] = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
        return known[id(old)]

    for module in model.modules():
        for name, old in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            setattr(module, name, made(old))


def _loss(logits_BK: Tensor) -> Tensor:
    label_B = torch.zeros_like(logits_BK[:, 0], dtype=torch.long)
    logits_BK = logits_BK.float()
    return nn.functional.cross_entropy(logits_BK, label_B) + logits_BK.softmax(1).mean()


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors made inside it that are still alive, and their largest sum."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._live = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, out)
        return out

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known.add(storage)
            size = storage.nbytes()
            self._live += size
            self.peak = max(self.peak, self._live)
            weakref.finalize(storage, self._forget, size)
        return tensor

    def _forget(self, size: int) -> None:
        self._live -= size
