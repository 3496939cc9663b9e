"""Cutting a token grid into windows, every second time shifted, as in SwinUNETR (Sec. 3.2).

A grid that is no multiple of the window is padded at its far end. Shifting rolls the grid, so the last window of an
axis holds tokens from both ends of it. Both are kept apart by *regions*: a token attends to its own region only.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Windows:
    """How a grid of ``grid`` tokens is cut; every field holds one number per axis (D, H, W).

    ``size`` is the window's edge, ``shift`` how far the grid is rolled, ``count`` the number of windows.
    """

    grid: Grid
    size: Grid
    shift: Grid

    @classmethod
    def cut(cls, grid: Grid, window: int, shifted: bool) -> "Windows":
        """Windows of edge ``window``; an axis that fits into one window is neither padded nor shifted."""
        size = tuple(min(window, n) for n in grid)
        shift = tuple(window // 2 if shifted and n > window else 0 for n in grid)
        return cls(grid, size, shift)  # type: ignore[arg-type]

    @property
    def count(self) -> Grid:
        return tuple(-(-n // w) for n, w in zip(self.grid, self.size, strict=True))  # type: ignore[return-value]

    @property
    def padded(self) -> Grid:
        return tuple(c * w for c, w in zip(self.count, self.size, strict=True))  # type: ignore[return-value]

    @property
    def tokens(self) -> int:
        """Tokens of one window."""
        return self.size[0] * self.size[1] * self.size[2]

    def partition(self, x_BDHWC: Tensor) -> Tensor:
        """``(B, D, H, W, C)`` to ``(B * windows, tokens, C)``; tokens added by padding are zero."""
        batch, channels = x_BDHWC.shape[0], x_BDHWC.shape[-1]
        x = _pad(x_BDHWC, self.padded)
        if any(self.shift):
            x = x.roll([-s for s in self.shift], dims=(1, 2, 3))
        (nd, nh, nw), (wd, wh, ww) = self.count, self.size
        x = x.reshape(batch, nd, wd, nh, wh, nw, ww, channels)
        return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, self.tokens, channels)

    def merge(self, x_WNC: Tensor) -> Tensor:
        """The inverse of ``partition``: ``(B * windows, tokens, C)`` to ``(B, D, H, W, C)``, padding cut off."""
        (nd, nh, nw), (wd, wh, ww) = self.count, self.size
        x = x_WNC.reshape(-1, nd, nh, nw, wd, wh, ww, x_WNC.shape[-1])
        x = x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, *self.padded, x_WNC.shape[-1])
        if any(self.shift):
            x = x.roll(self.shift, dims=(1, 2, 3))
        depth, height, width = self.grid
        return x[:, :depth, :height, :width]


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # else a mask first made while validating could not be used in training
def region_mask(windows: Windows, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Additive attention mask ``(windows, 1, tokens, tokens)``: 0 within a region, minus infinity between regions.

    Padding is a region of its own, so no real token attends to it and no row is empty. None where all tokens of
    every window are in one region. Kept for the few grids in use, since building it costs as much as a block.
    """
    if windows.padded == windows.grid and not any(windows.shift):
        return None
    region_WN = windows.partition(_regions(windows)).squeeze(-1)
    foreign = region_WN[:, None, :, None] != region_WN[:, None, None, :]
    return torch.zeros(foreign.shape, dtype=dtype).masked_fill(foreign, float("-inf")).to(device)


def _regions(windows: Windows) -> Tensor:
    """``(1, D, H, W, 1)``: a positive number per token, equal where both ends of each axis are on the same side.

    Rolling brings the first ``shift`` tokens of an axis into the window of its last ones: those two groups are
    different regions. ``partition`` pads with zero, which is thereby the region of padding.
    """
    ends = [
        (torch.arange(n) < shift).long() * weight
        for n, shift, weight in zip(windows.grid, windows.shift, (1, 2, 4), strict=True)
    ]
    return 1 + (ends[0][:, None, None] + ends[1][:, None] + ends[2])[None, ..., None]


def _pad(x_BDHWC: Tensor, padded: Grid) -> Tensor:
    (_, depth, height, width, _) = x_BDHWC.shape
    if padded == (depth, height, width):
        return x_BDHWC
    return F.pad(x_BDHWC, (0, 0, 0, padded[2] - width, 0, padded[1] - height, 0, padded[0] - depth))
