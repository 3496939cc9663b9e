"""Working through a large tensor part by part, so that what is made of each part stays in a CPU's cache.

A perceptron's hidden layer for 32,768 tokens is 400 MB that are written to memory and read again; in parts of a
thousand tokens it never leaves the cache (docs/benchmarks.md). A GPU wants the whole at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor

PART = 2**20
"""Numbers of the tensor that a CPU works on at a time."""


def in_parts(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """``function(*tensors)``, for a function that treats each row (first axis) by itself.

    Args:
        function: keeps the number of rows; called with the same rows of every tensor.
        tensors: with the same number of rows. The size of the first one decides how many make a part.
    """
    rows = len(tensors[0])
    at_once = rows if tensors[0].device.type != "cpu" else max(PART // max(tensors[0][:1].numel(), 1), 1)
    if at_once >= rows:
        return function(*tensors)
    parts = (function(*part) for part in zip(*(tensor.split(at_once) for tensor in tensors), strict=True))
    if torch.is_grad_enabled():
        return torch.cat(list(parts))
    first = next(parts)
    out = first.new_empty((rows, *first.shape[1:]))
    out[:at_once] = first
    for number, part in enumerate(parts, start=1):
        out[number * at_once : number * at_once + len(part)] = part
    return out
