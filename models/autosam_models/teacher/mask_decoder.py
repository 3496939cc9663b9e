"""Mask decoder with multi-layer aggregation, MLAM (Sec. 3.4): 3D convolutions, trained from scratch."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autosam_models.convolution import Conv3d, InstanceNorm, conv_norm_relu
from autosam_models.teacher.fusion import Fusion

FusionSize = Literal["half", "full"]

ORGAN_PRIOR = -4.0
"""Logit of every organ against the background, before training."""


class MaskDecoder(nn.Module):
    """Maps of the token grid and the image to logits.

    One head per map; the heads' outputs are upsampled together, concatenated with the image at that size and fused
    into the mask. There is one mask and no head for ambiguity.

    Args:
        in_channels: of the image.
        map_channels: of each map.
        maps: how many maps come: 4 with MLAM, 1 without.
        token_edge: voxels of the image per token, along each axis.
        head_widths: channels after the two convolutions of a head.
        fusion_width: channels between the two convolutions that fuse.
        num_classes: K, background included.
        fusion: ``"half"`` fuses at twice the token grid (half the image, where a token's edge is 4 voxels);
            ``"full"`` at the image's own size.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        map_channels: int,
        maps: int,
        token_edge: int,
        head_widths: tuple[int, int],
        fusion_width: int,
        num_classes: int,
        fusion: FusionSize,
    ) -> None:
        super().__init__()
        if fusion not in ("half", "full"):
            raise ValueError(f"fusion={fusion!r} is no size to fuse at: choose 'half' or 'full'.")
        first, second = head_widths
        self.heads = nn.ModuleList(
            nn.Sequential(conv_norm_relu(map_channels, first), conv_norm_relu(first, second)) for _ in range(maps)
        )
        factor = 2 if fusion == "half" else token_edge
        self.fuse = Fusion(maps * second, in_channels, fusion_width, factor)
        self.norm = InstanceNorm(fusion_width, affine=True)
        self.classify = Conv3d(fusion_width, num_classes, 3, padding=1)
        # Nearly all voxels are background. Told so from the start, no organ has to be unlearned everywhere first;
        # without it, small ones stay at zero for hundreds of steps (docs/log.md, 2026-11-23).
        assert self.classify.bias is not None
        nn.init.constant_(self.classify.bias, ORGAN_PRIOR)
        nn.init.zeros_(self.classify.bias[:1])

    def forward(self, maps_BCDHW: Sequence[Tensor], image_BCDHW: Tensor) -> Tensor:
        """Decode.

        Args:
            maps_BCDHW: one map per head, on the token grid.
            image_BCDHW: the image that was encoded.

        Returns:
            ``logits_BKDHW`` at the image's size.
        """
        heads_BCDHW = torch.cat([head(x) for head, x in zip(self.heads, maps_BCDHW, strict=True)], dim=1)
        size = [self.fuse.factor * n for n in heads_BCDHW.shape[2:]]
        # Averaging over whole cells; at half the size it is what trilinear interpolation gives.
        resized = F.interpolate(image_BCDHW, size, mode="area") if size != list(image_BCDHW.shape[2:]) else image_BCDHW
        logits_BKDHW = self.classify(F.relu(self.norm(self.fuse(heads_BCDHW, resized)), inplace=True))
        if logits_BKDHW.shape[2:] == image_BCDHW.shape[2:]:
            return logits_BKDHW
        return F.interpolate(logits_BKDHW, image_BCDHW.shape[2:], mode="trilinear")
