"""Cutting a token grid into windows, every second time shifted, as in SwinUNETR (Sec. 3.2).

A grid that is no multiple of the window is padded at its far end. Shifting rolls the grid, so the last window of an
axis holds tokens from both ends of it. Both are kept apart by *regions*: a token attends to its own region only.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from autosam_models.sizes import Size

FOREIGN = -1e4
"""Logit between tokens of different regions: in fp32 and bf16, its exponential is exactly 0."""


@dataclass(frozen=True)
class Windows:
    """How a grid of ``grid`` tokens is cut; every field holds one number per axis (D, H, W).

    ``size`` is the window's edge, ``shift`` how far the grid is rolled, ``count`` the number of windows.
    """

    grid: Size
    size: Size
    shift: Size

    @classmethod
    def cut(cls, grid: Size, window: int, shifted: bool) -> "Windows":
        """Windows of edge ``window``; an axis that fits into one window is neither padded nor shifted."""
        size = tuple(min(window, n) for n in grid)
        shift = tuple(window // 2 if shifted and n > window else 0 for n in grid)
        return cls(grid, size, shift)  # type: ignore[arg-type]

    @property
    def count(self) -> Size:
        return tuple(-(-n // w) for n, w in zip(self.grid, self.size, strict=True))  # type: ignore[return-value]

    @property
    def padded(self) -> Size:
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


def region_codes(windows: Windows, device: torch.device) -> Tensor | None:
    """Columns that keep regions apart when they are appended to queries and keys: ``(windows, tokens, 2, 7)``.

    The product of a query's (``[:, :, 0]``) and a key's is 0 within a region and ``FOREIGN`` or less between two, so
    it is an attention mask, without any tokens-by-tokens tensor. Two columns per axis tell its two sides apart; the
    seventh keeps real tokens from padding (that padding may see real tokens does not matter: it is cut off).
    None where all tokens of every window are in one region.
    """
    if windows.padded == windows.grid and not any(windows.shift):
        return None
    # Rolling brings the first `shift` tokens of an axis into the window of its last ones: the axis has two sides.
    sides = [
        (torch.arange(n, device=device) < shift).float() for n, shift in zip(windows.grid, windows.shift, strict=True)
    ]
    side_DHW3 = torch.stack(torch.meshgrid(*sides, indexing="ij"), dim=-1)
    real_DHW1 = torch.ones_like(side_DHW3[..., :1])
    codes_WNR = windows.partition(torch.cat([side_DHW3, 1 - side_DHW3, real_DHW1], dim=-1)[None])
    keys_WNR = torch.cat([codes_WNR[..., :6], 1 - codes_WNR[..., 6:]], dim=-1)
    queries_WNR = FOREIGN * torch.cat([1 - codes_WNR[..., :6], codes_WNR[..., 6:]], dim=-1)
    return torch.stack([queries_WNR, keys_WNR], dim=2)


def _pad(x_BDHWC: Tensor, padded: Size) -> Tensor:
    (_, depth, height, width, _) = x_BDHWC.shape
    if padded == (depth, height, width):
        return x_BDHWC
    return F.pad(x_BDHWC, (0, 0, 0, padded[2] - width, 0, padded[1] - height, 0, padded[0] - depth))
