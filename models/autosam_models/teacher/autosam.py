"""The AutoSAM Adapter (Fig. 2A), wired: image encoder, auto prompt generator, mask decoder."""

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from autosam_models.sizes import Size, size_text
from autosam_models.teacher.adapter import SpatialAdapter, blocks_with_adapter
from autosam_models.teacher.encoder import STAGES, Block, ImageEncoder, neck
from autosam_models.teacher.mask_decoder import FusionSize, MaskDecoder
from autosam_models.teacher.patch_embedding import PatchEmbedding
from autosam_models.teacher.positions import PositionTables
from autosam_models.teacher.prompt_generator import AutoPromptGenerator
from autosam_models.teacher.sam_weights import SamWeights, freeze_sam, load_sam


class AutoSAM(nn.Module):
    """SAM's encoder made 3D, with a prompt that it generates itself and a mask decoder of 3D convolutions.

    Training starts from SAM's weights, not from SAM's features: windows, every second one shifted, take the place of
    its larger windows and global blocks (docs/design.md, "How close to the paper, and to SAM").

    Args:
        in_channels: channels of the image.
        num_classes: K, background included.
        patch: D, H, W of the training patch in voxels; the position tables are made for it.
        embed_dim: width of a token.
        depth: number of transformer blocks, a multiple of four.
        heads: attention heads, a divisor of ``embed_dim``.
        mlp_ratio: width of a block's perceptron as a multiple of ``embed_dim``.
        patch_kernel: edge of SAM's 2D patch in upsampled voxels.
        upsample: factor by which the patch is upsampled before embedding (1, 2 or 4).
        plane_grid: rows and columns of the position table over the plane; None for the patch's own.
        window: edge of an attention window in tokens; every second block's are shifted by half of it.
        adapter_ratio: bottleneck of the spatial adapters as a share of ``embed_dim``.
        adapter_kernel: edge of their depth-wise convolution, odd.
        adapter_blocks: which blocks have one; see ``blocks_with_adapter``.
        neck_channels: channels of the stages' maps.
        apg: whether stage 4 passes through the auto prompt generator (Table 3).
        apg_widths: its channels per level.
        mlam: whether stages 1 to 3 reach the decoder too (Table 3).
        head_widths: channels of the decoder's heads.
        fusion_width: channels of the decoder's fusion.
        fusion: size of the fusion, ``"half"`` or ``"full"``; see ``MaskDecoder``.
        activation_checkpointing: less memory in training for more time; see ``ImageEncoder``. Results stay the same.
        checkpoint: SAM's own ``.pth`` file. With it SAM's weights are frozen as in the paper; without, everything
            is trained from scratch.

    Attributes:
        pretrained: whether SAM's weights were loaded.
        sam_weights: what was used of the checkpoint and what was not, and why; None without one.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        patch: Size,
        embed_dim: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        patch_kernel: int,
        upsample: int,
        plane_grid: tuple[int, int] | None,
        window: int,
        adapter_ratio: float,
        adapter_kernel: int,
        adapter_blocks: str | int,
        neck_channels: int,
        apg: bool,
        apg_widths: tuple[int, ...],
        mlam: bool,
        head_widths: tuple[int, int],
        fusion_width: int,
        fusion: FusionSize,
        activation_checkpointing: bool = False,
        checkpoint: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, num_classes=num_classes, window=window, patch_kernel=patch_kernel)
        if upsample not in (1, 2, 4):
            raise ValueError(f"upsample={upsample} is not supported: choose 1, 2 or 4.")
        embedding = PatchEmbedding(in_channels, embed_dim, patch_kernel, upsample)
        self.token_edge = embedding.stride
        if self.token_edge < 2:
            raise ValueError(
                f"A patch kernel of {patch_kernel} and upsample={upsample} make a token of one voxel, and the decoder "
                f"doubles the token grid: choose a smaller upsample."
            )
        patch_grid = token_grid(patch, self.token_edge)
        adapted = blocks_with_adapter(adapter_blocks, depth)
        self.encoder = ImageEncoder(
            embedding,
            PositionTables(embed_dim, plane_grid or patch_grid[1:], patch_grid),
            [
                Block(
                    embed_dim,
                    heads,
                    mlp_ratio,
                    window,
                    shifted=index % 2 == 1,
                    adapter=SpatialAdapter(embed_dim, adapter_ratio, adapter_kernel)
                    if index in adapted
                    else nn.Identity(),
                )
                for index in range(depth)
            ],
            [neck(embed_dim, neck_channels) for _ in range(STAGES if mlam else 1)],
            activation_checkpointing=activation_checkpointing,
        )
        self.prompt_generator = AutoPromptGenerator(neck_channels, apg_widths) if apg else None
        self.decoder = MaskDecoder(
            in_channels=in_channels,
            map_channels=neck_channels,
            maps=len(self.encoder.necks),
            token_edge=self.token_edge,
            head_widths=head_widths,
            fusion_width=fusion_width,
            num_classes=num_classes,
            fusion=fusion,
        )
        self.sam_weights: SamWeights | None = None
        if checkpoint is not None:
            self.sam_weights = load_sam(self.encoder, checkpoint)
            freeze_sam(self.encoder)

    @property
    def pretrained(self) -> bool:
        return self.sam_weights is not None

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        """Segment an image of any D, H, W.

        Returns:
            ``logits_BKDHW`` of the same D, H, W.
        """
        depth, height, width = image_BCDHW.shape[2:]
        missing = [-n % self.token_edge for n in (depth, height, width)]
        if any(missing):
            image_BCDHW = F.pad(image_BCDHW, (0, missing[2], 0, missing[1], 0, missing[0]), mode="replicate")
        if max(image_BCDHW.shape[2:]) <= self.token_edge:
            raise ValueError(
                f"An image of {size_text((depth, height, width))} voxels is a single token of {self.token_edge} voxels "
                f"of edge, and there is nothing to normalise over: pad it to more than {self.token_edge} along an axis."
            )
        maps = self.encoder(image_BCDHW)
        if self.prompt_generator is not None:
            maps[-1] = self.prompt_generator(maps[-1])
        logits_BKDHW = self.decoder(maps, image_BCDHW)
        return logits_BKDHW[:, :, :depth, :height, :width]


def freeze(model: AutoSAM) -> None:
    """Freeze what SAM's weights freeze, in a model that was built without them."""
    freeze_sam(model.encoder)


def token_grid(patch: Size, edge: int) -> Size:
    """Tokens of ``edge`` voxels that a patch needs per axis, the last one partly filled if need be.

    >>> token_grid((128, 128, 126), edge=4)
    (32, 32, 32)
    """
    check_positive(patch=min(patch))
    depth, height, width = (-(-n // edge) for n in patch)
    return depth, height, width


def check_positive(**values: int) -> None:
    """Refuse what is less than 1 (``ValueError``), by its name."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name}={value} must be 1 or more.")
