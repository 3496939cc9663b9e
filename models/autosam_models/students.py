"""The students that a teacher's knowledge is distilled into: SwinUNETR in two small widths, and slim U-Nets."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from autosam_models import published
from autosam_models.any_size import AnySize
from autosam_models.sizes import Size
from autosam_models.swin_unetr import SupervisedSwinUNETR, swin_unetr
from autosam_models.teacher.mask_decoder import ORGAN_PRIOR


def student(*, deep_supervision: bool, **sizes: Any) -> nn.Module:
    """A SwinUNETR that starts from background, as the teacher does; see ``ORGAN_PRIOR``.

    Args:
        deep_supervision: see ``swin_unetr``. Not the paper's, and so not the default.
        sizes: see ``swin_unetr``.
    """
    model = swin_unetr(deep_supervision=deep_supervision, **sizes)
    network = model.network
    if isinstance(network, SupervisedSwinUNETR):
        for head in network.heads:
            _start_from_background(head.get_parameter("bias"))
        network = network.network
    _start_from_background(network.get_parameter("out.conv.conv.bias"))
    return model


def slim_unet(*, in_channels: int, num_classes: int, patch: Size, widths: Sequence[int]) -> nn.Module:
    """MONAI's U-Net, small enough for a CPU to compute a scan in about a second; it starts from background, too.

    Its first convolution halves the grid and its last one doubles it again, so that nothing but the logits is made at
    full resolution, where a convolution costs eight times as much as one floor below. Residual units, or a second
    convolution a floor, took two to three times as long and learnt less in the same steps (docs/log.md, 2026-11-26).

    Args:
        patch: D, H, W of the training patch in voxels; no weight depends on it.
        widths: see ``published.slim_unet``. Multiples of 16 are what a CPU's kernels are made for.
    """
    from monai.networks.nets.unet import UNet  # takes seconds to import

    described = published.slim_unet(in_channels=in_channels, num_classes=num_classes, patch=patch, widths=widths)
    network = UNet(**{name: value for name, value in described.config.items() if name != "_target_"})
    model = AnySize(network, 2 ** (len(widths) - 1), patch)
    _start_from_background(model.get_parameter("network.model.2.conv.bias"))
    return model


def _start_from_background(bias_K: Tensor) -> None:
    nn.init.constant_(bias_K[1:], ORGAN_PRIOR)
