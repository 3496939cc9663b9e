"""UNETR, as MONAI has it."""

from torch import nn

from autosam_models.any_size import FixedSize, up_to_multiple
from autosam_models.sizes import Size

_TOKEN = 16


def unetr(*, in_channels: int, num_classes: int, patch: Size, width: int, heads: int) -> nn.Module:
    """UNETR (Hatamizadeh et al. 2022) in the sizes of its BTCV experiments: ViT-B, feature size 16.

    MONAI writes the axes H, W, D; all layers treat the three alike, so D, H, W are given as they are.

    Args:
        patch: D, H, W of the training patch in voxels. The table of positions ties the network to it, rounded up to
            whole tokens of 16: smaller images are padded, larger ones refused.
        width: numbers of a token, which the heads share.
        heads: of each attention.

    Raises:
        ValueError: the patch is a single token, or the width no multiple of the heads.
    """
    from monai.networks.nets.unetr import UNETR  # takes seconds to import

    size = up_to_multiple(patch, _TOKEN)
    if max(size) <= _TOKEN:
        raise ValueError(f"patch={patch} is a single token: take (32, 16, 16) or more.")
    if width % heads:
        raise ValueError(f"width={width} cannot be shared by {heads} heads: take a multiple of them.")
    network = UNETR(
        in_channels, num_classes, size, feature_size=16, hidden_size=width, mlp_dim=4 * width, num_heads=heads
    )
    for block in network.vit.blocks:
        block.norm_cross_attn = nn.Identity()  # MONAI makes it and uses it only where there is cross attention
    return FixedSize(network, size)
