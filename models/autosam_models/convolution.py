"""Convolution and instance norm that are right and fast on CPUs too, and the building block made of them."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import conv_flop_count, register_flop_formula

SMALL_GRID = 2
"""Voxels of a grid's shortest axis up to which a CPU convolves in fp32, under autocast too.

On CPUs with AVX512-BF16, torch 2.13 leaves parts of a bf16 kernel's gradient unwritten where the grid is two voxels
deep, or one across: values of 1e30 from whatever the memory held (docs/log.md, 2026-11-23). Such grids cost nothing.
"""

_TORCH_TAKES_ONEDNN = 20480
"""Channels × D × H of a single sample above which torch 2.13 computes in fp32 by oneDNN by itself."""


class Conv3d(nn.Conv3d):
    """``nn.Conv3d``, right on small grids and fast on CPUs too; see ``conv3d``."""

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Convolve; the result is in fp32 where the grid is small and the device a CPU."""
        if x_BCDHW.device.type == "cpu" and min(x_BCDHW.shape[2:]) <= SMALL_GRID:
            with torch.autocast("cpu", enabled=False):
                return self._convolve(x_BCDHW.to(self.weight.dtype))
        return self._convolve(x_BCDHW)

    def _convolve(self, x_BCDHW: Tensor) -> Tensor:
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super().forward(x_BCDHW)
        return conv3d(x_BCDHW, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups)


class ConvTranspose3d(nn.ConvTranspose3d):
    """``nn.ConvTranspose3d`` whose result has the channels of a voxel side by side on CPUs, as ``Conv3d`` likes it."""

    def forward(self, x_BCDHW: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve."""
        if x_BCDHW.device.type != "cpu":
            return super().forward(x_BCDHW, output_size)
        x_BCDHW = x_BCDHW.contiguous(memory_format=torch.channels_last_3d)
        return super().forward(x_BCDHW, output_size).contiguous(memory_format=torch.channels_last_3d)


def conv3d(
    x_BCDHW: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: tuple[int, ...] = (0, 0, 0),
    stride: tuple[int, ...] = (1, 1, 1),
    dilation: tuple[int, ...] = (1, 1, 1),
    groups: int = 1,
) -> Tensor:
    """``F.conv3d``, on a CPU in fp32 by oneDNN, in training too.

    For a single sample of small maps in fp32 torch 2.13 prefers a kernel of its own that takes 3 to 10 times as long,
    on the way back too: three quarters of a step of the demo's teacher were spent there (docs/benchmarks.md).
    """
    fp32_on_cpu = x_BCDHW.device.type == "cpu" and x_BCDHW.dtype == weight.dtype == torch.float32
    if not fp32_on_cpu or torch.is_autocast_enabled("cpu") or not torch.backends.mkldnn.is_available():
        return F.conv3d(x_BCDHW, weight, bias, stride, padding, dilation, groups)
    if not torch.is_grad_enabled():
        return torch.mkldnn_convolution(x_BCDHW, weight, bias, padding, stride, dilation, groups)
    # Of groups torch takes oneDNN by itself, dilation nothing here has, and turning round a large kernel for a map of
    # few voxels costs more than it spares.
    large_kernel = weight[0, 0].numel() * min(weight.shape[:2]) > 16 * x_BCDHW[:, 0].numel() // prod(stride)
    if groups > 1 or max(dilation) > 1 or large_kernel:
        return F.conv3d(x_BCDHW, weight, bias, stride, padding, dilation, groups)
    result: Tensor = _OneDnnConvolution.apply(x_BCDHW, weight, bias, padding, stride)
    return result


@torch.library.custom_op("autosam::onednn_conv3d", mutates_args=())
def _onednn(
    x_BCDHW: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int], stride: Sequence[int]
) -> Tensor:
    """An operator of its own, so that tensors without data (of an estimate of memory) may go through it."""
    return torch.mkldnn_convolution(x_BCDHW, weight, bias, padding, stride, (1, 1, 1), 1)


@_onednn.register_fake
def _(x_BCDHW: Tensor, weight: Tensor, bias: Tensor | None, padding: Sequence[int], stride: Sequence[int]) -> Tensor:
    result = F.conv3d(x_BCDHW, weight, bias, tuple(stride), tuple(padding))
    channels_last = x_BCDHW.is_contiguous(memory_format=torch.channels_last_3d)
    return result.contiguous(memory_format=torch.channels_last_3d) if channels_last else result


@register_flop_formula(torch.ops.autosam.onednn_conv3d)
def _flop(image: list[int], weight: list[int], *_: Any, out_shape: list[int], **__: Any) -> int:
    """Operations, for whoever counts them by torch's ``FlopCounterMode``, which leaves out what it does not know."""
    return conv_flop_count(image, weight, out_shape)


class _OneDnnConvolution(torch.autograd.Function):
    """A convolution without groups or dilation, whose gradients are oneDNN's as well as its result."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BCDHW: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: tuple[int, ...],
        stride: tuple[int, ...],
    ) -> Tensor:
        """Convolve."""
        ctx.save_for_backward(x_BCDHW, weight)
        ctx.padding, ctx.stride = padding, stride
        return _onednn(x_BCDHW, weight, bias, padding, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BCDHW: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of image, weight and bias."""
        x_BCDHW, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        grad_x = _image_gradient(grad_BCDHW, x_BCDHW, weight, ctx.padding, ctx.stride) if of_x else None
        grad_weight = _weight_gradient(grad_BCDHW, x_BCDHW, weight, ctx.padding, ctx.stride) if of_weight else None
        grad_bias = grad_BCDHW.sum((0, 2, 3, 4)) if of_bias else None
        return grad_x, grad_weight, grad_bias, None, None


def _image_gradient(
    grad_BCDHW: Tensor, x_BCDHW: Tensor, weight: Tensor, padding: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    """With a stride of 1 this is a convolution too, by the kernel turned round."""
    kernel = weight.shape[2:]
    if max(stride) > 1 or any(pad >= edge for pad, edge in zip(padding, kernel, strict=True)):
        return _gradients(grad_BCDHW, x_BCDHW, weight, padding, stride, (True, False))[0]
    turned = weight.flip(2, 3, 4).transpose(0, 1).contiguous()
    outwards = [edge - 1 - pad for pad, edge in zip(padding, kernel, strict=True)]
    return _onednn(grad_BCDHW, turned, None, outwards, (1, 1, 1))


def _weight_gradient(
    grad_BCDHW: Tensor, x_BCDHW: Tensor, weight: Tensor, padding: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    """A single sample goes as two, its upper and its lower half: torch takes oneDNN for two."""
    depth = grad_BCDHW.shape[2]
    if len(x_BCDHW) > 1 or depth == 1 or x_BCDHW[0, :, :, :, 0].numel() > _TORCH_TAKES_ONEDNN:
        return _gradients(grad_BCDHW, x_BCDHW, weight, padding, stride, (False, True))[1]
    half = (depth + 1) // 2
    seen = (half - 1) * stride[0] + weight.shape[2]  # slices of the image under half of the result
    after = half * stride[0] + seen - padding[0] - x_BCDHW.shape[2]
    padded = F.pad(x_BCDHW, (0, 0, 0, 0, padding[0], after))
    halves = torch.cat([padded[:, :, :seen], padded[:, :, half * stride[0] :]])
    grads = torch.cat([grad_BCDHW[:, :, :half], F.pad(grad_BCDHW[:, :, half:], (0, 0, 0, 0, 0, 2 * half - depth))])
    return _gradients(grads, halves, weight, (0, *padding[1:]), stride, (False, True))[1]


def _gradients(
    grad_BCDHW: Tensor,
    x_BCDHW: Tensor,
    weight: Tensor,
    padding: tuple[int, ...],
    stride: tuple[int, ...],
    wanted: tuple[bool, bool],
) -> tuple[Tensor, Tensor]:
    """Torch's own, of image and weight."""
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad_BCDHW, x_BCDHW, weight, None, stride, padding, (1, 1, 1), False, (0, 0, 0), 1, (*wanted, False)
    )
    return grad_x, grad_weight


class InstanceNorm(nn.InstanceNorm3d):
    """Instance normalisation, without running statistics, that keeps channels-last memory as it is.

    ``F.instance_norm`` first makes its input contiguous, and so puts two transpositions between any two convolutions
    of the token grid's maps. Batch normalisation of one sample by its own statistics is the same function.
    """

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Normalise each sample's channels over D, H, W; the shape stays."""
        normed = [
            F.batch_norm(sample, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for sample in x_BCDHW.split(1)
        ]
        return normed[0] if len(normed) == 1 else torch.cat(normed)


def conv_norm_relu(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 x 3 convolution, instance normalisation with learned scale and shift, ReLU."""
    return nn.Sequential(
        Conv3d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        InstanceNorm(out_channels, affine=True),
        nn.ReLU(inplace=True),
    )


OURS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv3d: Conv3d,
    nn.ConvTranspose3d: ConvTranspose3d,
    nn.InstanceNorm3d: InstanceNorm,
}


def with_our_layers(network: nn.Module) -> nn.Module:
    """Let our classes do the work of torch's in someone else's network; its weights and their names stay.

    Raises:
        ValueError: its instance norms keep running statistics, which ours do not.
    """
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm3d) and module.track_running_stats:
            raise ValueError(f"{module} keeps running statistics: build the network with track_running_stats=False.")
        if type(module) in OURS:
            module.__class__ = OURS[type(module)]
    return network
