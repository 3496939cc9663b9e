"""Patch embedding of a volume (Sec. 3.2): SAM's slice-wise convolution, then a depth-wise one along depth.

Literally, the patch is upsampled (trilinear, ``align_corners=False``), every slice of it is convolved with SAM's
``1 x k x k`` kernel, and the result with a depth-wise ``k x 1 x 1`` kernel; both have stride k. All three are linear
and act on one axis at a time, so their product is a kernel of a few taps on the original grid: upsampling by 4 and
k = 16 give 6 taps per axis with stride 4 over a border replicated by one voxel. This is exact, also at the borders,
where interpolation clamps its source index just as replication does.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def upsampling_matrix(kernel: int, upsample: int) -> Tensor:
    """Linear interpolation under one stride of the upsampled axis, as a matrix.

    Returns:
        ``(kernel, taps)``: upsampled voxel ``i`` of a patch is ``matrix[i] @ original``, where the originals are the
        patch's ``kernel / upsample`` voxels and, if there is any upsampling, one more on either side.
    """
    stride = kernel // upsample
    if upsample == 1:
        return torch.eye(kernel)
    source = (torch.arange(kernel, dtype=torch.float64) + 0.5) / upsample - 0.5 + 1  # + 1: the border voxel
    taps = torch.arange(stride + 2, dtype=torch.float64)
    return (1 - (source[:, None] - taps).abs()).clamp(min=0).float()


class PatchEmbedding(nn.Module):
    """Tokens of a volume.

    Args:
        in_channels: channels of the image; SAM's kernel is spread evenly over them.
        embed_dim: width of a token.
        kernel: k, the edge of SAM's 2D patch in upsampled voxels.
        upsample: the factor by which the patch is (in effect) upsampled; a token covers ``(kernel / upsample)**3``
            voxels.
    """

    upsampling: Tensor

    def __init__(self, in_channels: int, embed_dim: int, kernel: int, upsample: int) -> None:
        super().__init__()
        if kernel % upsample:
            raise ValueError(
                f"upsample={upsample} does not divide the patch kernel {kernel}, so a token would not cover whole "
                f"voxels: choose a factor that divides {kernel}."
            )
        self.stride = kernel // upsample
        self.border = int(upsample > 1)
        self.slice_conv = nn.Conv3d(in_channels, embed_dim, (1, kernel, kernel), stride=(1, kernel, kernel))
        self.depth_conv = nn.Conv3d(embed_dim, embed_dim, (kernel, 1, 1), stride=(kernel, 1, 1), groups=embed_dim)
        # Different along depth in each channel, with the variance kept. load_sam makes it a mean; a mean from scratch
        # would hide from every channel at which depth of the token something lies (docs/log.md, 2026-11-23).
        nn.init.normal_(self.depth_conv.weight, std=kernel**-0.5)
        assert self.depth_conv.bias is not None
        nn.init.zeros_(self.depth_conv.bias)
        self.register_buffer("upsampling", upsampling_matrix(kernel, upsample), persistent=False)

    def folded(self) -> tuple[Tensor, Tensor]:
        """The product of upsampling and both convolutions: weight ``(C, in_channels * taps**3)`` and bias ``(C)``.

        Differentiable with respect to all weights; computed in their own precision also under autocast.
        """
        matrix = self.upsampling
        with torch.autocast(matrix.device.type, enabled=False):
            depth_CT = self.depth_conv.weight[:, 0, :, 0, 0]
            slices = torch.einsum("cikl,kh,lw->cihw", self.slice_conv.weight[:, :, 0], matrix, matrix)
            weight = torch.einsum("cihw,cd->cidhw", slices, depth_CT @ matrix)
            assert self.slice_conv.bias is not None
            assert self.depth_conv.bias is not None
            bias = self.slice_conv.bias * depth_CT.sum(1) + self.depth_conv.bias
        return weight.flatten(1), bias

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        """Embed an image whose D, H and W are multiples of the stride.

        Returns:
            ``tokens_BDHWC``, each spatial axis divided by the stride.
        """
        taps = self.stride + 2 * self.border
        padded = F.pad(image_BCDHW, [self.border] * 6, mode="replicate") if self.border else image_BCDHW
        for axis in (2, 3, 4):
            padded = padded.unfold(axis, taps, self.stride)
        cubes_BDHWT = padded.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4)
        weight, bias = self.folded()
        return F.linear(cubes_BDHWT, weight, bias)
