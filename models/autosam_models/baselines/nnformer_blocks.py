"""nnFormer's blocks: attention within windows, of tokens to each other or to a skip connection, and a perceptron."""

import torch
from monai.networks.layers.drop_path import DropPath
from torch import Tensor, nn

from autosam_models.sizes import Size
from autosam_models.swin_attention import windows_attention
from autosam_models.windows import Windows

_PERCEPTRON = 4  # hidden units for each channel


def cut(grid: Size, edge: int, *, shifted: bool) -> Windows:
    """Cubes of ``edge`` tokens, shifted by half an edge or not.

    Where the grid's smallest edge is no larger than a window, windows are cubes of that edge and never shifted; so all
    axes are cut alike, unlike in SwinUNETR.
    """
    least = min(grid)
    if least <= edge:
        return Windows(grid, (least, least, least), (0, 0, 0))
    shift = edge // 2 if shifted else 0
    return Windows(grid, (edge, edge, edge), (shift, shift, shift))


def position_index(edge: int) -> Tensor:
    """The table's row for each pair of tokens of a window: ``(N, N)``, N = edge³.

    An offset (d, h, w), each counted from 0, would have row d · (2 edge - 1)² + h · (2 edge - 1) + w of its own. The
    published code multiplies d by 3 edge - 1 instead, so that offsets share rows and most rows are never used: 115 of
    343 are at edge 4, and 547 of 3375 at edge 8. What was published is kept, since weights and figures are of it.
    """
    axis = torch.arange(edge)
    places_N3 = torch.cartesian_prod(axis, axis, axis)
    offsets_NN3 = places_N3[:, None] - places_N3 + edge - 1
    return (offsets_NN3 * torch.tensor([3 * edge - 1, 2 * edge - 1, 1])).sum(-1)


class PositionBias(nn.Module):
    """What each head adds to the logit of a pair of a window's tokens, by their offset.

    Args:
        edge: of a window, in tokens.
    """

    def __init__(self, heads: int, edge: int) -> None:
        super().__init__()
        self.table = nn.Parameter(nn.init.trunc_normal_(torch.empty((2 * edge - 1) ** 3, heads), std=0.02))
        self.register_buffer("index_NN", position_index(edge), persistent=False)

    def forward(self) -> Tensor:
        """``(heads, N, N)``."""
        index_NN = self.get_buffer("index_NN")
        return self.table.index_select(0, index_NN.flatten()).view(*index_NN.shape, -1).permute(2, 0, 1).contiguous()


class WindowAttention(nn.Module):
    """Multi-head attention of a window's tokens to each other.

    Args:
        dim: channels of a token.
        windows: how the grid of tokens is cut. What pads it has zeros for channels and is seen by real tokens.
    """

    def __init__(self, dim: int, heads: int, windows: Windows) -> None:
        super().__init__()
        self.heads, self.windows = heads, windows
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.positions = PositionBias(heads, windows.size[0])

    def forward(self, x_BDHWC: Tensor) -> Tensor:
        """Attend; the shape stays."""
        qkv_WNC = self.qkv(self.windows.partition(x_BDHWC))
        q_WMNC, k_WMNC, v_WMNC = (_by_head(part_WNC, self.heads) for part_WNC in qkv_WNC.chunk(3, dim=-1))
        return self.windows.merge(self.proj(_attended(q_WMNC, k_WMNC, v_WMNC, self.positions(), self.windows)))


class SkipAttention(nn.Module):
    """Multi-head attention of a window's tokens to those of a skip connection in the same window.

    The paper's skip attention (Sec. 3.4): what comes from below asks as it is, without a projection; keys and values
    are projections of the skip connection.

    Args:
        dim, windows: see ``WindowAttention``.
    """

    def __init__(self, dim: int, heads: int, windows: Windows) -> None:
        super().__init__()
        self.heads, self.windows = heads, windows
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.positions = PositionBias(heads, windows.size[0])

    def forward(self, up_BDHWC: Tensor, skip_BDHWC: Tensor) -> Tensor:
        """Attend from ``up`` to ``skip``; the shape stays."""
        kv_WNC = self.kv(self.windows.partition(skip_BDHWC))
        k_WMNC, v_WMNC = (_by_head(part_WNC, self.heads) for part_WNC in kv_WNC.chunk(2, dim=-1))
        q_WMNC = _by_head(self.windows.partition(up_BDHWC), self.heads).to(k_WMNC.dtype)  # keys are bf16 under autocast
        return self.windows.merge(self.proj(_attended(q_WMNC, k_WMNC, v_WMNC, self.positions(), self.windows)))


class Block(nn.Module):
    """Pre-norm attention within windows and a perceptron, with residuals that training leaves out now and then.

    Args:
        dim, heads, windows: see ``WindowAttention``.
        drop_path: how often a sample goes without either part (stochastic depth).
    """

    def __init__(self, dim: int, heads: int, windows: Windows, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, heads, windows)
        self.norm2 = nn.LayerNorm(dim)
        self.perceptron = _perceptron(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x_BDHWC: Tensor) -> Tensor:
        """The tokens after the block; the shape stays."""
        x_BDHWC = x_BDHWC + self.drop_path(self.attention(self.norm1(x_BDHWC)))
        return x_BDHWC + self.drop_path(self.perceptron(self.norm2(x_BDHWC)))


class SkipBlock(nn.Module):
    """A block whose tokens attend to a skip connection, under one norm; its residual is the sum of both.

    Args:
        dim, heads, windows, drop_path: see ``Block``.
    """

    def __init__(self, dim: int, heads: int, windows: Windows, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = SkipAttention(dim, heads, windows)
        self.norm2 = nn.LayerNorm(dim)
        self.perceptron = _perceptron(dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, up_BDHWC: Tensor, skip_BDHWC: Tensor) -> Tensor:
        """The tokens after the block; the shape stays."""
        attended_BDHWC = self.attention(self.norm1(up_BDHWC), self.norm1(skip_BDHWC))
        x_BDHWC = up_BDHWC + skip_BDHWC + self.drop_path(attended_BDHWC)
        return x_BDHWC + self.drop_path(self.perceptron(self.norm2(x_BDHWC)))


def _perceptron(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, _PERCEPTRON * dim), nn.GELU(), nn.Linear(_PERCEPTRON * dim, dim))


def _by_head(x_WNC: Tensor, heads: int) -> Tensor:
    """``(W, heads, N, C / heads)``."""
    return x_WNC.unflatten(-1, (heads, -1)).transpose(1, 2)


def _attended(q_WMNC: Tensor, k_WMNC: Tensor, v_WMNC: Tensor, bias_MNN: Tensor, windows: Windows) -> Tensor:
    """``(W, N, C)``, all heads side by side."""
    scale = q_WMNC.shape[-1] ** -0.5
    return windows_attention(q_WMNC * scale, k_WMNC, v_WMNC, bias_MNN, windows).transpose(1, 2).flatten(2)
