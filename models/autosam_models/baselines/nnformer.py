"""nnFormer (Zhou et al. 2023, IEEE TIP 32), the interleaved transformer that the paper compares with.

No maintained package has it, so it is written here, from the paper and from what its authors' code
(github.com/282857341/nnFormer, the configuration for Synapse) computes: with the same weights the answers are the same.
"""

from itertools import pairwise

from torch import Tensor, nn

from autosam_models.any_size import FixedSize, up_to_multiple
from autosam_models.baselines.nnformer_blocks import Block, SkipBlock, cut
from autosam_models.sizes import Size

TOKEN: Size = (2, 4, 4)
"""Voxels of a token."""

WINDOWS = (4, 4, 8, 4)
"""Edges of the stages' windows in tokens, finest first; each stage halves the grid of the one before."""

BLOCKS = 2
"""Blocks of a stage, every second one shifted, and of a level of the decoder."""


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel of a map."""

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Normalise; the shape stays."""
        normed_BDHWC = super().forward(x_BCDHW.permute(0, 2, 3, 4, 1))
        return normed_BDHWC.permute(0, 4, 1, 2, 3)


class Stage(nn.Module):
    """Two blocks of the encoder, the second one shifted.

    Args:
        dim, heads: see ``Block``.
        grid: D, H, W in tokens.
        window: edge in tokens.
        rates: of stochastic depth, a block each.
    """

    def __init__(self, dim: int, heads: int, grid: Size, window: int, rates: list[float]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(Block(dim, heads, cut(grid, window, shifted=bool(number % 2)), rate) for number, rate in enumerate(rates))
        )

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """The map after the blocks; the shape stays."""
        x_BDHWC = self.blocks(x_BCDHW.permute(0, 2, 3, 4, 1))
        return x_BDHWC.permute(0, 4, 1, 2, 3)


class Level(nn.Module):
    """A level of the decoder: the coarser map made finer, skip attention, a shifted block.

    Args:
        dim, heads, grid, window, rates: see ``Stage``; of the level, which has half of the channels from below.
    """

    def __init__(self, dim: int, heads: int, grid: Size, window: int, rates: list[float]) -> None:
        super().__init__()
        self.expanding = nn.Sequential(ChannelNorm(2 * dim), nn.ConvTranspose3d(2 * dim, dim, 2, stride=2))
        self.skip_block = SkipBlock(dim, heads, cut(grid, window, shifted=False), rates[0])
        self.block = Block(dim, heads, cut(grid, window, shifted=True), rates[1])

    def forward(self, below_BCDHW: Tensor, skip_BCDHW: Tensor) -> Tensor:
        """A map of the skip connection's shape."""
        up_BDHWC, skip_BDHWC = (x.permute(0, 2, 3, 4, 1) for x in (self.expanding(below_BCDHW), skip_BCDHW))
        x_BDHWC: Tensor = self.block(self.skip_block(up_BDHWC, skip_BDHWC))
        return x_BDHWC.permute(0, 4, 1, 2, 3)


class NNFormer(nn.Module):
    """Four stages down, three levels up, and a head for each level that is asked for its answer.

    Args:
        size: D, H, W in voxels, which fixes the windows: multiples of 16, 32, 32.
        width: channels of the finest tokens; twice as many a stage below.
        heads: of attention in the finest stage; as the channels.
        drop_path: the largest rate of stochastic depth. It rises evenly from 0, over the encoder's blocks and again
            over the decoder's, where the coarsest level comes first.
        deep_supervision: in training the answers of all three levels are given, finest first.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        size: Size,
        *,
        width: int,
        heads: int,
        drop_path: float,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(len(WINDOWS))]
        shapes = [
            (dim, heads * 2**stage, _grid(size, stage), window)
            for stage, (dim, window) in enumerate(zip(widths, WINDOWS, strict=True))
        ]
        rates = _rates(drop_path, len(WINDOWS))
        rates_up = _rates(drop_path, len(WINDOWS) - 1)[::-1]
        self.embedding = embedding(in_channels, width)
        self.stages = nn.ModuleList(Stage(*shape, rates=each) for shape, each in zip(shapes, rates, strict=True))
        self.norms = nn.ModuleList(ChannelNorm(dim) for dim in widths)
        self.mergings = nn.ModuleList(
            nn.Sequential(nn.GELU(), ChannelNorm(fine), nn.Conv3d(fine, coarse, 3, stride=2, padding=1))
            for fine, coarse in pairwise(widths)
        )
        self.levels = nn.ModuleList(
            Level(*shape, rates=each) for shape, each in zip(shapes[:-1], rates_up, strict=True)
        )
        answering = widths[:-1] if deep_supervision else widths[:1]
        self.heads = nn.ModuleList(nn.ConvTranspose3d(dim, num_classes, TOKEN, stride=TOKEN) for dim in answering)

    def forward(self, image_BCDHW: Tensor) -> Tensor | tuple[Tensor, ...]:
        """``logits_BKDHW``; in training with deep supervision those at 1, 1/2 and 1/4 of the size."""
        x_BCDHW = self.embedding(image_BCDHW)
        skips = []
        for stage, norm, merging in zip(self.stages, self.norms, [*self.mergings, nn.Identity()], strict=True):
            x_BCDHW = stage(x_BCDHW)
            skips.append(norm(x_BCDHW))
            x_BCDHW = merging(x_BCDHW)
        maps = [skips.pop()]
        for level in reversed(self.levels):
            maps.insert(0, level(maps[0], skips.pop()))
        if self.training and len(self.heads) > 1:
            return tuple(head(x_BCDHW) for head, x_BCDHW in zip(self.heads, maps[:-1], strict=True))
        return self.heads[0](maps[0])


def embedding(in_channels: int, width: int) -> nn.Sequential:
    """A token for each 2 × 4 × 4 voxels, by four convolutions that overlap."""
    half = width // 2
    return nn.Sequential(
        nn.Conv3d(in_channels, half, 3, stride=(2, 2, 2), padding=1),
        nn.GELU(),
        ChannelNorm(half),
        nn.Conv3d(half, half, 3, padding=1),
        nn.GELU(),
        ChannelNorm(half),
        nn.Conv3d(half, width, 3, stride=(1, 2, 2), padding=1),
        nn.GELU(),
        ChannelNorm(width),
        nn.Conv3d(width, width, 3, padding=1),
        ChannelNorm(width),
    )


def nnformer(
    *,
    in_channels: int,
    num_classes: int,
    patch: Size,
    width: int,
    heads: int,
    drop_path: float,
    deep_supervision: bool,
) -> nn.Module:
    """nnFormer for images of up to one size.

    Args:
        patch: D, H, W of the training patch in voxels. The windows tie the network to it, rounded up to multiples of
            16, 32, 32: smaller images are padded, larger ones refused.
        width, heads, drop_path, deep_supervision: see ``NNFormer``.

    Raises:
        ValueError: width, heads or drop_path are not possible.
    """
    if heads < 1 or width < 1 or width % heads or width % 2:
        raise ValueError(f"width={width} cannot be split into heads={heads}: take an even multiple of the heads.")
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path={drop_path} is no rate: take one from 0 up to, but not, 1.")
    coarsest = 2 ** (len(WINDOWS) - 1)
    size = up_to_multiple(patch, (TOKEN[0] * coarsest, TOKEN[1] * coarsest, TOKEN[2] * coarsest))
    network = NNFormer(
        in_channels,
        num_classes,
        size,
        width=width,
        heads=heads,
        drop_path=drop_path,
        deep_supervision=deep_supervision,
    )
    return FixedSize(network, size)


def _grid(size: Size, stage: int) -> Size:
    depth, height, width = (n // edge // 2**stage for n, edge in zip(size, TOKEN, strict=True))
    return depth, height, width


def _rates(largest: float, groups: int) -> list[list[float]]:
    """Rates from 0 to ``largest``, evenly over the blocks of so many groups."""
    last = groups * BLOCKS - 1
    rates = [largest * number / last for number in range(last + 1)]
    return [rates[first : first + BLOCKS] for first in range(0, len(rates), BLOCKS)]
