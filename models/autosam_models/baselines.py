"""What the paper compares with beside SwinUNETR: UNETR from MONAI, nnU-Net's network from its own package.

Both are built as published and trained through our loop, so what differs between two rows of a table is the network.
"""

from torch import nn

from autosam_models.any_size import AnySize, FixedSize, up_to_multiple
from autosam_models.sizes import Size

_UNETR_TOKEN = 16
_NNUNET_EDGE = 32  # five halvings
_NNUNET_WIDTHS = (32, 64, 128, 256, 320, 320)


def unetr(*, in_channels: int, num_classes: int, patch: Size) -> nn.Module:
    """UNETR (Hatamizadeh et al. 2022) in the sizes of its BTCV experiments: ViT-B, feature size 16.

    MONAI writes the axes H, W, D; all layers treat the three alike, so D, H, W are given as they are.

    Args:
        patch: D, H, W of the training patch in voxels. The table of positions ties the network to it, rounded up to
            whole tokens of 16: smaller images are padded, larger ones refused.
    """
    from monai.networks.nets.unetr import UNETR  # takes seconds to import

    size = up_to_multiple(patch, _UNETR_TOKEN)
    if max(size) <= _UNETR_TOKEN:
        raise ValueError(f"patch={patch} is a single token: take (32, 16, 16) or more.")
    network = UNETR(in_channels, num_classes, size, feature_size=16, hidden_size=768, mlp_dim=3072, num_heads=12)
    for block in network.vit.blocks:
        block.norm_cross_attn = nn.Identity()  # MONAI makes it and uses it only where there is cross attention
    return FixedSize(network, size)


def nnunet(*, in_channels: int, num_classes: int, patch: Size) -> nn.Module:
    """The U-Net that nnU-Net (Isensee et al. 2021) plans for CT of the abdomen with patches of 128³: six stages.

    Without deep supervision, since the one loop has one output; the heads for it are taken out.

    Args:
        patch: D, H, W of the training patch in voxels; no weight depends on it.
    """
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    network = PlainConvUNet(
        input_channels=in_channels,
        n_stages=len(_NNUNET_WIDTHS),
        features_per_stage=_NNUNET_WIDTHS,
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2, 2, 2),
        n_conv_per_stage=2,
        num_classes=num_classes,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    network.decoder.seg_layers = network.decoder.seg_layers[-1:]
    network.apply(network.initialize)
    return AnySize(network, _NNUNET_EDGE, patch)
