"""Auto prompt generator, APG (Sec. 3.3, Fig. 2C): a light 3D U-Net in the place of SAM's prompt encoder."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autosam_models.convolution import conv_norm_relu


class AutoPromptGenerator(nn.Module):
    """The prompt embedding, from the map after the encoder's last block; no manual prompt.

    Each level has two convolutions; the first one of a lower level halves the grid. The way up doubles it by a
    transposed convolution and joins the level's own map.

    Args:
        channels: of the map that comes in and of the embedding that goes out.
        widths: channels per level, finest first; at least two.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"apg_widths={tuple(widths)} has no level to go down to: give at least two widths.")
        pairs = list(pairwise(widths))
        self.enter = nn.Sequential(conv_norm_relu(channels, widths[0]), conv_norm_relu(widths[0], widths[0]))
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm_relu(fine, coarse, stride=2), conv_norm_relu(coarse, coarse))
            for fine, coarse in pairs
        )
        self.up = nn.ModuleList(nn.ConvTranspose3d(coarse, fine, 2, stride=2) for fine, coarse in reversed(pairs))
        self.join = nn.ModuleList(
            nn.Sequential(conv_norm_relu(2 * fine, fine), conv_norm_relu(fine, fine)) for fine, _ in reversed(pairs)
        )
        self.leave = nn.Conv3d(widths[0], channels, 1)

    def forward(self, map_BCDHW: Tensor) -> Tensor:
        """The embedding; the shape stays, whatever the grid."""
        levels = [self.enter(map_BCDHW)]
        for down in self.down:
            levels.append(down(pad_for_halving(levels[-1])))
        x = levels.pop()
        for up, join in zip(self.up, self.join, strict=True):
            skip = levels.pop()
            depth, height, width = skip.shape[2:]
            x = join(torch.cat([up(x)[:, :, :depth, :height, :width], skip], dim=1))
        return self.leave(x)


def pad_for_halving(x_BCDHW: Tensor) -> Tensor:
    """Replicate the far end until every axis is even and at least 4 long.

    The halved grid then has two or more voxels per axis, without which instance norm has nothing to compare.
    """
    missing = [max(n + n % 2, 4) - n for n in x_BCDHW.shape[2:]]
    if not any(missing):
        return x_BCDHW
    return F.pad(x_BCDHW, (0, missing[2], 0, missing[1], 0, missing[0]), mode="replicate")
