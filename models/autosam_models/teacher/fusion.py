"""Fusing upsampled maps with the image by one convolution (Sec. 3.4), without making the upsampled maps.

Trilinear upsampling by f and a 3 x 3 x 3 convolution are linear. The f**3 upsampled voxels inside one voxel of the
map see its 3 x 3 x 3 neighbourhood only, each through a kernel of its own; so the product of the two is a convolution
of the map itself that gives all f**3 of them as channels. It costs the same products, and spares the largest tensor
of the whole model, forward and backward. With replicated borders on both sides this is exact everywhere.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autosam_models.convolution import conv3d


def phase_matrix(factor: int) -> Tensor:
    """Linear upsampling as a 3-tap convolution sees it, along one axis.

    Returns:
        ``(phase, map tap, upsampled tap)``: the weight of the map's voxel ``i + tap - 1`` in upsampled voxel
        ``factor * i + phase + upsampled tap - 1``.
    """
    taps = torch.arange(-1, 2, dtype=torch.float64)
    source = (torch.arange(factor)[:, None] + taps + 0.5) / factor - 0.5
    return (1 - (source[:, None, :] - taps[:, None]).abs()).clamp(min=0).float()


class Fusion(nn.Module):
    """``conv(concat(upsample(maps), image))``, a 3 x 3 x 3 convolution with replicated borders and no bias.

    Args:
        map_channels: of the maps together.
        image_channels: of the image.
        out_channels: of the result.
        factor: how many times finer than the maps the image is, along each axis.
    """

    matrix: Tensor

    def __init__(self, map_channels: int, image_channels: int, out_channels: int, factor: int) -> None:
        super().__init__()
        self.factor, self.map_channels = factor, map_channels
        self.conv = nn.Conv3d(
            map_channels + image_channels, out_channels, 3, padding=1, padding_mode="replicate", bias=False
        )
        self.register_buffer("matrix", phase_matrix(factor), persistent=False)

    def folded(self) -> Tensor:
        """The maps' kernel with upsampling folded in: ``(factor**3 * out_channels, map_channels, 3, 3, 3)``."""
        matrix = self.matrix
        with torch.autocast(matrix.device.type, enabled=False):
            kernel = self.conv.weight[:, : self.map_channels]
            kernel = torch.einsum("oidhw,rnw->roidhn", kernel, matrix)
            kernel = torch.einsum("roidhn,qmh->qroidmn", kernel, matrix)
            return torch.einsum("qroidmn,pld->pqroilmn", kernel, matrix).flatten(0, 3)

    def forward(self, maps_BCDHW: Tensor, image_BCDHW: Tensor) -> Tensor:
        """Fuse.

        Args:
            maps_BCDHW: all maps, concatenated.
            image_BCDHW: ``factor`` times as long along each axis.

        Returns:
            ``(B, out_channels, D, H, W)`` at the image's size.
        """
        f = self.factor
        phases = conv3d(replicate_border(maps_BCDHW), self.folded()).permute(0, 2, 3, 4, 1)
        batch, depth, height, width, _ = phases.shape
        phases = phases.reshape(batch, depth, height, width, f, f, f, -1).permute(0, 7, 1, 4, 2, 5, 3, 6)
        from_maps = phases.reshape(batch, -1, f * depth, f * height, f * width)
        from_image = conv3d(replicate_border(image_BCDHW), self.conv.weight[:, self.map_channels :])
        return from_maps + from_image


def replicate_border(x_BCDHW: Tensor) -> Tensor:
    """One more voxel on all sides, equal to its neighbour."""
    return F.pad(x_BCDHW, [1] * 6, mode="replicate")
