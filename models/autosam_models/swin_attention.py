"""Swin's attention within windows, a few windows at a time, so that no tokens-by-tokens tensor leaves a CPU's cache.

MONAI writes out the logits of all windows at once and adds biases and masks to them: for ``swin_unetr_tiny`` and a
patch of 64 voxels these are 150 million numbers, gone through a dozen times in memory, and four fifths of a training
step (docs/benchmarks.md). Here each window's are made, used and forgotten; the backward pass makes them again. Queries
of padding are left out, since what they give is cropped; its keys stay, because MONAI lets real tokens see them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from autosam_models.windows import Windows

FOREIGN = -100.0
"""What MONAI adds to the logit of two tokens that rolling has brought into one window."""

SIDES = 8
"""Parts that rolling can cut a window into: two along each axis."""

PART = 2**20
"""Logits that a CPU works on at a time; a GPU takes all at once."""


@dataclass(frozen=True)
class Kind:
    """Windows with the same pattern of padding and the same cut: their numbers, and what holds for each of them.

    ``real`` are the tokens that are no padding, ``side`` is for each token the part of the window that it sees.
    """

    numbers: tuple[int, ...]
    real: tuple[int, ...]
    side: tuple[int, ...]


@lru_cache(maxsize=64)
def kinds_of_windows(windows: Windows) -> tuple[Kind, ...]:
    """The windows of one image by kind; at most 27 kinds, however large the grid."""
    axes = [
        _axis(*numbers)
        for numbers in zip(windows.grid, windows.size, windows.shift, windows.count, windows.padded, strict=True)
    ]
    numbers: dict[Any, list[int]] = {}
    for number, kind in enumerate(product(*axes)):
        numbers.setdefault(kind, []).append(number)
    return tuple(_kind(tuple(found), kind) for kind, found in numbers.items())


def sides_of_tokens(windows: Windows) -> Tensor:
    """For each token of each window of one image the part of the window that it sees, 0 up to ``SIDES``: ``(W, N)``."""
    side_WN = torch.empty(math.prod(windows.count), windows.tokens, dtype=torch.long)
    for kind in kinds_of_windows(windows):
        side_WN[list(kind.numbers)] = torch.tensor(kind.side)
    return side_WN


def _axis(n: int, size: int, shift: int, count: int, padded: int) -> list[tuple[tuple[bool, int], ...]]:
    """For each window along an axis: of its tokens, whether it is real and on which side of the cut it lies."""
    tokens = [((place + shift) % padded < n, int(shift > 0 and place >= padded - shift)) for place in range(padded)]
    return [tuple(tokens[window * size : (window + 1) * size]) for window in range(count)]


def _kind(numbers: tuple[int, ...], axes: tuple[tuple[tuple[bool, int], ...], ...]) -> Kind:
    tokens = list(product(*axes))
    real = tuple(place for place, axes in enumerate(tokens) if all(is_real for is_real, _ in axes))
    side = tuple(4 * d + 2 * h + w for (_, d), (_, h), (_, w) in tokens)
    return Kind(numbers, real, side)


def windows_attention(q_WMNC: Tensor, k_WMNC: Tensor, v_WMNC: Tensor, bias_MNN: Tensor, windows: Windows) -> Tensor:
    """``softmax(q k^T + bias + cut) v`` within windows: ``(W, heads, N, C)``, zero for padding.

    The softmax is in fp32, also under autocast, and products are in the format of their factors, as in MONAI.

    Args:
        q_WMNC, k_WMNC, v_WMNC: the tokens of all windows of one or more images, as ``windows.partition`` gives them;
            queries scaled.
        bias_MNN: fp32, what each head adds to the logit of each pair of a window's tokens.
        windows: how the images were cut.
    """
    out_WMNC: Tensor = _WindowsAttention.apply(q_WMNC, k_WMNC, v_WMNC, bias_MNN, windows)
    return out_WMNC


class _WindowsAttention(torch.autograd.Function):
    """Kind by kind and part by part, forward and backward; what is kept in between are the arguments."""

    @staticmethod
    def forward(ctx: Any, q_WMNC: Tensor, k_WMNC: Tensor, v_WMNC: Tensor, bias_MNN: Tensor, windows: Windows) -> Tensor:
        ctx.save_for_backward(q_WMNC, k_WMNC, v_WMNC, bias_MNN)
        ctx.windows = windows
        out_WMNC = torch.zeros_like(q_WMNC)
        for kind in _by_kind(windows, bias_MNN, len(q_WMNC)):
            q, k, v = q_WMNC[kind.queries], k_WMNC[kind.numbers], v_WMNC[kind.numbers]
            out = torch.empty_like(q)
            space = _Space(kind, q.dtype)
            for part in kind.parts:
                torch.matmul(space.probabilities(q[part], k[part]), v[part], out=out[part])
            out_WMNC[kind.queries] = out
        return out_WMNC

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out_WMNC: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        q_WMNC, k_WMNC, v_WMNC, bias_MNN = ctx.saved_tensors
        d_q_WMNC, d_k_WMNC, d_v_WMNC, d_bias_MNN = (torch.zeros_like(t) for t in ctx.saved_tensors)
        for kind in _by_kind(ctx.windows, bias_MNN, len(q_WMNC)):
            q, d_out = q_WMNC[kind.queries], d_out_WMNC[kind.queries]
            k, v = k_WMNC[kind.numbers], v_WMNC[kind.numbers]
            d_q, d_k, d_v, d_bias_MQN = (torch.empty_like(t) for t in (q, k, v, kind.bias_MQN))
            d_bias_MQN.zero_()
            space = _Space(kind, q.dtype)
            for part in kind.parts:
                p = space.probabilities(q[part], k[part])
                torch.matmul(p.transpose(2, 3), d_out[part], out=d_v[part])
                d_logits = space.gradient(d_out[part], v[part], d_bias_MQN)
                torch.matmul(d_logits, k[part], out=d_q[part])
                torch.matmul(d_logits.transpose(2, 3), q[part], out=d_k[part])
            d_q_WMNC[kind.queries], d_k_WMNC[kind.numbers], d_v_WMNC[kind.numbers] = d_q, d_k, d_v
            d_bias_MNN.index_add_(1, kind.queries[2], d_bias_MQN)
        return d_q_WMNC, d_k_WMNC, d_v_WMNC, d_bias_MNN, None


@dataclass(frozen=True)
class _WindowsOfAKind:
    """A kind of windows to work on: ``queries`` index its real queries in ``(W, M, N)``, ``bias`` includes the cut."""

    numbers: Tensor
    queries: tuple[Tensor, Tensor, Tensor]
    bias_MQN: Tensor
    at_once: int

    @property
    def parts(self) -> Iterator[slice]:
        return (slice(first, first + self.at_once) for first in range(0, len(self.numbers), self.at_once))


def _by_kind(windows: Windows, bias_MNN: Tensor, total: int) -> Iterator[_WindowsOfAKind]:
    """The kinds of all ``total`` windows of some images."""
    device = bias_MNN.device
    heads_M1 = torch.arange(len(bias_MNN), device=device)[:, None]
    in_image = windows.count[0] * windows.count[1] * windows.count[2]
    for kind in kinds_of_windows(windows):
        real_Q, side_N = torch.tensor(kind.real, device=device), torch.tensor(kind.side, device=device)
        bias_MQN = bias_MNN[:, real_Q] + FOREIGN * (side_N[real_Q, None] != side_N)
        numbers = [first + number for first in range(0, total, in_image) for number in kind.numbers]
        numbers_W = torch.tensor(numbers, device=device)
        at_once = min(max(PART // bias_MQN.numel(), 1), len(numbers)) if device.type == "cpu" else len(numbers)
        yield _WindowsOfAKind(numbers_W, (numbers_W[:, None, None], heads_M1, real_Q), bias_MQN, at_once)


class _Space:
    """Room for one part's logits, used again for each: fresh memory would cost more than what is written into it."""

    def __init__(self, kind: _WindowsOfAKind, dtype: torch.dtype) -> None:
        self.bias_MQN = kind.bias_MQN
        shape = (kind.at_once, *kind.bias_MQN.shape)
        self.product = kind.bias_MQN.new_empty(shape, dtype=dtype)
        self.softmax = kind.bias_MQN.new_empty(shape)
        self.slope = kind.bias_MQN.new_empty(shape)

    def probabilities(self, q_WMQC: Tensor, k_WMNC: Tensor) -> Tensor:
        """Softmax of the logits, in the format of ``q``, and in fp32 for ``gradient``."""
        product, softmax = self.product[: len(q_WMQC)], self.softmax[: len(q_WMQC)]
        torch.matmul(q_WMQC, k_WMNC.transpose(2, 3), out=product)
        # Made fp32 before the bias is added: adding numbers of two formats takes twenty times as long on CPUs.
        softmax.copy_(product).add_(self.bias_MQN)
        torch.softmax(softmax, -1, out=softmax)
        return product.copy_(softmax)

    def gradient(self, d_out_WMQC: Tensor, v_WMNC: Tensor, d_bias_MQN: Tensor) -> Tensor:
        """The loss's gradient by the logits of the last ``probabilities``, in their format; added to the bias's."""
        at = len(d_out_WMQC)
        product, softmax, slope = self.product[:at], self.softmax[:at], self.slope[:at]
        torch.matmul(d_out_WMQC, v_WMNC.transpose(2, 3), out=product)
        slope.copy_(product)
        torch._softmax_backward_data(slope, softmax, -1, softmax.dtype, grad_input=slope)
        # One by one is six times as fast as their sum on a CPU, and a launch each on a GPU.
        for of_window_MQN in slope if slope.device.type == "cpu" else slope.sum(0, keepdim=True):
            d_bias_MQN.add_(of_window_MQN)
        return product.copy_(slope)
