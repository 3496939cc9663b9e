"""Position of a token (Sec. 3.2): SAM's table over the plane, plus a table along depth that starts at zero."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autosam_models.sizes import Size


class PositionTables(nn.Module):
    """What is added to the token at ``(d, h, w)``: ``plane[h, w] + depth[d]``.

    The tables belong to ``patch_grid``, the token grid of the training patch. SAM's plane is larger than that
    (64 x 64 of vit_* against 32 x 32) and is average-pooled to it. For an input of another size both are
    interpolated, so that its extent stands for the patch's.

    Args:
        embed_dim: width of a token.
        plane_grid: rows and columns of the stored plane.
        patch_grid: tokens of the training patch along D, H, W.
    """

    def __init__(self, embed_dim: int, plane_grid: tuple[int, int], patch_grid: Size) -> None:
        super().__init__()
        self.patch_grid = patch_grid
        self.plane_HWC = nn.Parameter(torch.empty(*plane_grid, embed_dim))
        self.depth_DC = nn.Parameter(torch.zeros(patch_grid[0], embed_dim))
        nn.init.trunc_normal_(self.plane_HWC, std=0.02)

    def plane(self, height: int, width: int) -> Tensor:
        """The plane for a token grid of ``height x width``: ``(height, width, C)``."""
        plane_1CHW = self.plane_HWC.permute(2, 0, 1)[None]
        patch_hw = self.patch_grid[1:]
        if plane_1CHW.shape[2:] != patch_hw:
            shrinks = all(old >= new for old, new in zip(plane_1CHW.shape[2:], patch_hw, strict=True))
            plane_1CHW = (
                F.adaptive_avg_pool2d(plane_1CHW, patch_hw)
                if shrinks
                else F.interpolate(plane_1CHW, patch_hw, mode="bilinear")
            )
        if (height, width) != patch_hw:
            plane_1CHW = F.interpolate(plane_1CHW, (height, width), mode="bilinear")
        return plane_1CHW[0].permute(1, 2, 0)

    def depth(self, depth: int) -> Tensor:
        """The table along an axis of ``depth`` tokens: ``(depth, C)``."""
        if depth == self.patch_grid[0]:
            return self.depth_DC
        return F.interpolate(self.depth_DC.T[None], depth, mode="linear")[0].T

    def forward(self, tokens_BDHWC: Tensor) -> Tensor:
        """Add the positions; the shape stays."""
        _, depth, height, width, _ = tokens_BDHWC.shape
        return tokens_BDHWC + (self.plane(height, width) + self.depth(depth)[:, None, None])
