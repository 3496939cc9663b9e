"""Networks as their authors' own classes build them, as data, for whoever has those classes and not ours.

Ours are the same networks whose modules' classes were changed for speed (``swin_blocks``, ``convolution``), so weights
fit both, and what is exported is the published code. A configuration is what MONAI's ConfigParser makes a network of.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autosam_models.any_size import up_to_multiple
from autosam_models.sizes import Size
from autosam_models.weights import load_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

OURS = "network."
"""What the names of parameters begin with in our wrapper around the network."""


@dataclass(frozen=True)
class Published:
    """A network of someone else's class.

    Attributes:
        config: for MONAI's ConfigParser: ``_target_`` and its arguments.
        size: D, H, W that an image is padded to at the far ends with its own border, and the logits are cropped from.
        unused: pieces of the names of parameters that the class makes and never uses; our files lack them.
        renamed: beginnings of names → what they are in the published class, where they differ.
        ours_alone: beginnings of the names of parameters that it lacks, since nothing but a training uses them.
    """

    config: dict[str, Any]
    size: Size
    unused: tuple[str, ...] = ()
    renamed: Mapping[str, str] | None = None
    ours_alone: tuple[str, ...] = ()

    def build(self) -> "nn.Module":
        """The network, with random weights."""
        from monai.bundle import ConfigParser  # takes seconds to import

        network: nn.Module = ConfigParser({"network": self.config}).get_parsed_content("network")
        return network

    def load(self, network: "nn.Module", weights: "Mapping[str, Tensor]") -> None:
        """Give a built network our weights.

        Raises:
            RuntimeError: they are those of another network.
        """
        shared = {ours: tensor for ours, tensor in weights.items() if not ours.startswith(self.ours_alone)}
        load_weights(network, {self.name(ours): tensor for ours, tensor in shared.items()}, self.unused)

    def name(self, ours: str) -> str:
        """Name of a parameter in the published class.

        >>> Published({}, (32, 32, 32)).name("network.out.conv.conv.bias")
        'out.conv.conv.bias'
        """
        name = ours.removeprefix(OURS)
        for beginning, theirs in (self.renamed or {}).items():
            if name.startswith(beginning):
                return theirs + name.removeprefix(beginning)
        return name


def swin_unetr(
    *,
    in_channels: int,
    num_classes: int,
    patch: Size,
    feature_size: int,
    deep_supervision: bool = False,
    **training: Any,
) -> Published:
    """MONAI's SwinUNETR.

    Args:
        deep_supervision: our weights are of a training with it, and so hold further heads.
        training: options that only a training feels.
    """
    config = {
        "_target_": "monai.networks.nets.SwinUNETR",
        "in_channels": in_channels,
        "out_channels": num_classes,
        "feature_size": feature_size,
    }
    size = up_to_multiple(patch, 32)
    if not deep_supervision:
        return Published(config, size)
    return Published(config, size, renamed={"network.": ""}, ours_alone=(f"{OURS}heads.",))


def slim_unet(*, in_channels: int, num_classes: int, patch: Size, widths: Sequence[int]) -> Published:
    """MONAI's ``UNet`` with one convolution a floor on each way, instance norm and leaky ReLU.

    Args:
        widths: channels of its maps from the finest, at half the image's resolution, downwards; the last two have one
            grid, every other one half that of the one before.
    """
    config = {
        "_target_": "monai.networks.nets.UNet",
        "spatial_dims": 3,
        "in_channels": in_channels,
        "out_channels": num_classes,
        "channels": list(widths),
        "strides": [2] * (len(widths) - 1),
        "act": ["leakyrelu", {"inplace": True}],
        "norm": ["instance", {"affine": True}],
    }
    return Published(config, up_to_multiple(patch, 2 ** (len(widths) - 1)))


def unetr(*, in_channels: int, num_classes: int, patch: Size, width: int, heads: int) -> Published:
    """MONAI's UNETR, with the sizes of ``baselines.unetr``."""
    size = up_to_multiple(patch, 16)
    config = {
        "_target_": "monai.networks.nets.UNETR",
        "in_channels": in_channels,
        "out_channels": num_classes,
        "img_size": list(size),
        "feature_size": 16,
        "hidden_size": width,
        "mlp_dim": 4 * width,
        "num_heads": heads,
    }
    return Published(config, size, unused=("norm_cross_attn",))


_STRIDES = ((1, 1, 1), *((2, 2, 2),) * 5)
"""By which factor each stage of the plain U-Net makes the map of the one before coarser, along D, H and W."""


def nnunet(*, in_channels: int, num_classes: int, patch: Size, width: int, deep_supervision: bool = False) -> Published:
    """nnU-Net's plain U-Net, with the sizes of ``baselines.nnunet``.

    Args:
        width: channels of the finest map; twice as many a stage below, up to ten times as many.
        deep_supervision: our weights are of a training with it, and so hold further heads.
    """
    blocks = {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2}
    widths = tuple(width * min(2**stage, 10) for stage in range(len(_STRIDES)))
    kernels = ((3, 3, 3),) * len(_STRIDES)
    config = _nnunet("PlainConvUNet", in_channels, num_classes, widths, kernels, _STRIDES) | blocks
    return _of_nnunet(config, patch, deep_supervision)


def resenc(
    *,
    in_channels: int,
    num_classes: int,
    patch: Size,
    blocks: Sequence[int],
    widths: Sequence[int],
    kernels: Sequence[Size],
    strides: Sequence[Size],
    deep_supervision: bool = False,
) -> Published:
    """nnU-Net's U-Net with a residual encoder, and one convolution a floor on the way up.

    Args:
        blocks: residual blocks of each stage, from the finest.
        widths: channels of each stage's map.
        kernels: edges of each stage's kernels.
        strides: by which factor each stage makes the map of the one before coarser, along D, H and W.
        deep_supervision: see ``nnunet``.
    """
    floors = {"n_blocks_per_stage": list(blocks), "n_conv_per_stage_decoder": 1}
    config = _nnunet("ResidualEncoderUNet", in_channels, num_classes, widths, kernels, strides) | floors
    return _of_nnunet(config, patch, deep_supervision)


def edge_of(strides: Sequence[Size]) -> Size:
    """Voxels of the image along D, H and W that one voxel of the coarsest map stands for.

    >>> edge_of([(1, 1, 1), (1, 2, 2), (2, 2, 2)])
    (2, 4, 4)
    """
    depth, height, width = (math.prod(of_axis) for of_axis in zip(*strides, strict=True))
    return depth, height, width


def _nnunet(
    name: str,
    in_channels: int,
    num_classes: int,
    widths: Sequence[int],
    kernels: Sequence[Size],
    strides: Sequence[Size],
) -> dict[str, Any]:
    """What nnU-Net's planner gives any of its networks."""
    return {
        "_target_": f"dynamic_network_architectures.architectures.unet.{name}",
        "input_channels": in_channels,
        "n_stages": len(strides),
        "features_per_stage": list(widths),
        "conv_op": "$torch.nn.Conv3d",
        "kernel_sizes": [list(each) for each in kernels],
        "strides": [list(each) for each in strides],
        "num_classes": num_classes,
        "conv_bias": True,
        "norm_op": "$torch.nn.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "$torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def _of_nnunet(config: dict[str, Any], patch: Size, deep_supervision: bool) -> Published:
    """The class makes a head for each resolution, of which a prediction uses the last."""
    only = {"decoder.seg_layers.0.": f"decoder.seg_layers.{config['n_stages'] - 2}."}
    renamed = None if deep_supervision else only
    size = up_to_multiple(patch, edge_of(config["strides"]))
    return Published(config, size, unused=("decoder.seg_layers.",), renamed=renamed)
