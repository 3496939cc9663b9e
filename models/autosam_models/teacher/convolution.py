"""The building block of the parts that have no counterpart in SAM: convolution, instance norm, ReLU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """A convolution whose gradient is right on small grids too.

    On CPUs with AVX512-BF16, torch 2.13 leaves parts of a bf16 kernel's gradient unwritten where the grid is two voxels
    deep: values of 1e30 from whatever the memory held (docs/log.md, 2026-11-23). Such grids cost nothing in fp32.
    """

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Convolve."""
        if x_BCDHW.device.type != "cpu" or x_BCDHW.shape[2] > 2:
            return super().forward(x_BCDHW)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x_BCDHW.to(self.weight.dtype))


class InstanceNorm(nn.InstanceNorm3d):
    """Instance normalisation that keeps channels-last memory as it is.

    ``F.instance_norm`` first makes its input contiguous, and so puts two transpositions between any two convolutions
    of the token grid's maps. Batch normalisation of one sample by its own statistics is the same function.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

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
        InstanceNorm(out_channels),
        nn.ReLU(inplace=True),
    )
