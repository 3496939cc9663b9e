"""Convolution and instance norm that are right and fast on CPUs too, and the building block made of them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL_GRID = 2
"""Voxels of a grid's shortest axis up to which a CPU convolves in fp32, under autocast too.

On CPUs with AVX512-BF16, torch 2.13 leaves parts of a bf16 kernel's gradient unwritten where the grid is two voxels
deep, or one across: values of 1e30 from whatever the memory held (docs/log.md, 2026-11-23). Such grids cost nothing.
"""


class Conv3d(nn.Conv3d):
    """``nn.Conv3d``, right on small grids and fast in inference on CPUs too; see ``conv3d``."""

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
    """``F.conv3d``, in inference on a CPU by oneDNN.

    For a single sample of small maps in fp32 torch 2.13 prefers a kernel of its own that takes 3 to 9 times as long:
    the demo's forward pass spent two thirds of its time there (docs/benchmarks.md).
    """
    fp32_on_cpu = x_BCDHW.device.type == "cpu" and x_BCDHW.dtype == weight.dtype == torch.float32
    plain = fp32_on_cpu and not torch.is_autocast_enabled("cpu") and not torch.is_grad_enabled()
    if plain and torch.backends.mkldnn.is_available():
        return torch.mkldnn_convolution(x_BCDHW, weight, bias, padding, stride, dilation, groups)
    return F.conv3d(x_BCDHW, weight, bias, stride, padding, dilation, groups)


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
