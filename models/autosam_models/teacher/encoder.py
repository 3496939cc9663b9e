"""SAM's image encoder made 3D (Sec. 3.2, Fig. 2A): adapted blocks, and a bottleneck after each of four stages."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from autosam_models.convolution import Conv3d
from autosam_models.teacher.attention import WindowAttention
from autosam_models.teacher.parts import in_parts
from autosam_models.teacher.patch_embedding import PatchEmbedding
from autosam_models.teacher.positions import PositionTables
from autosam_models.windows import Size, Windows, region_codes

STAGES = 4
NORM_EPS = 1e-6  # SAM's, for both kinds of normalisation in its encoder


class MLP(nn.Module):
    """SAM's two-layer perceptron of a block, with names as in its checkpoints.

    It is segment_anything's ``MLPBlock``, which is not used: its import brings torchvision and takes 0.9 s, where a
    small model is built in 0.02 s.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.gelu(self.lin1(x)))


class Block(nn.Module):
    """Spatial adapter, then SAM's transformer block: attention and perceptron, each normalised before.

    Args:
        window, shifted: how the token grid is cut for attention; see ``Windows.cut``.
        adapter: a ``SpatialAdapter``, or ``nn.Identity`` for a block without.
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: float, window: int, shifted: bool, adapter: nn.Module) -> None:
        super().__init__()
        self.window, self.shifted = window, shifted
        self.adapter = adapter
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = MLP(dim, round(dim * mlp_ratio))

    def forward(self, x_BDHWC: Tensor) -> Tensor:
        """The shape stays."""
        windows = Windows.cut(tuple(x_BDHWC.shape[1:4]), self.window, self.shifted)  # type: ignore[arg-type]
        x_WNC = windows.partition(self.adapter(x_BDHWC))
        codes_WN2R = region_codes(windows, x_WNC.device)
        codes = [] if codes_WN2R is None else [codes_WN2R.repeat(x_BDHWC.shape[0], 1, 1, 1)]
        return windows.merge(in_parts(partial(self._transform, windows.size), x_WNC, *codes))

    def _transform(self, size: Size, x_WNC: Tensor, codes_WN2R: Tensor | None = None) -> Tensor:
        """SAM's block on some windows: nothing in it looks beyond a window."""
        x_WNC = x_WNC + self.attn(self.norm1(x_WNC), size, codes_WN2R)
        return x_WNC + self.mlp(self.norm2(x_WNC))


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a ``(B, C, D, H, W)`` map; SAM's ``LayerNorm2d`` in 3D."""

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        return super().forward(x_BCDHW.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)


def neck(dim: int, out_channels: int) -> nn.Sequential:
    """The bottleneck: SAM's neck with 3D convolutions, trained from scratch (Sec. 3.2)."""
    return nn.Sequential(
        nn.Conv3d(dim, out_channels, 1, bias=False),
        ChannelNorm(out_channels, eps=NORM_EPS),
        Conv3d(out_channels, out_channels, 3, padding=1, bias=False),
        ChannelNorm(out_channels, eps=NORM_EPS),
    )


class ImageEncoder(nn.Module):
    """Image to the maps of four stages.

    Args:
        patch_embedding: image to tokens.
        positions: the position tables.
        blocks: a multiple of four.
        necks: one per map wanted: four for all stages, fewer for the last ones only.
        activation_checkpointing: keep only each block's input for the backward pass, which computes the block again.
    """

    def __init__(
        self,
        patch_embedding: PatchEmbedding,
        positions: PositionTables,
        blocks: list[Block],
        necks: list[nn.Module],
        *,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if not blocks or len(blocks) % STAGES:
            raise ValueError(f"depth={len(blocks)} cannot be cut into {STAGES} stages: choose a multiple of {STAGES}.")
        self.patch_embedding = patch_embedding
        self.positions = positions
        self.blocks = nn.ModuleList(blocks)
        self.necks = nn.ModuleList(necks)
        self.activation_checkpointing = activation_checkpointing

    def forward(self, image_BCDHW: Tensor) -> list[Tensor]:
        """Encode an image whose D, H and W are multiples of the token's edge.

        Returns:
            One map per neck, earliest stage first, each ``(B, C, D, H, W)`` on the token grid.
        """
        tokens_BDHWC = self.positions(self.patch_embedding(image_BCDHW))
        blocks_per_stage = len(self.blocks) // STAGES
        stages_without = STAGES - len(self.necks)
        maps = []
        for index, block in enumerate(self.blocks, start=1):
            if self.activation_checkpointing and torch.is_grad_enabled():
                tokens_BDHWC = checkpoint(block, tokens_BDHWC, use_reentrant=False)
            else:
                tokens_BDHWC = block(tokens_BDHWC)
            stage, rest = divmod(index, blocks_per_stage)
            if rest == 0 and stage > stages_without:
                stage_neck = self.necks[stage - 1 - stages_without]
                maps.append(stage_neck(tokens_BDHWC.permute(0, 4, 1, 2, 3)))
        return maps
