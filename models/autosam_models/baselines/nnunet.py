"""nnU-Net's networks from its own package: the plain U-Net, and those with residual encoders.

nnU-Net plans a network by the spacing and size of a dataset's scans. Here its plans for CT of the abdomen are fixed,
and none of its preprocessing, augmentation or training is done.
"""

from collections.abc import Sequence
from typing import Any

from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from torch import Tensor, nn

from autosam_models import published
from autosam_models.any_size import AnySize
from autosam_models.published import Published
from autosam_models.sizes import Size


class SupervisedDecoder(UNetDecoder):
    """The package's decoder, which in training answers at every resolution but the coarsest, full size first.

    nnU-Net's trainer gives the coarsest answer the weight 0; here it is not made, and its head is not there.
    """

    def forward(self, skips: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """``logits_BKDHW``, in training a list of them."""
        self.deep_supervision = self.training
        outputs = super().forward(skips)
        return outputs[:-1] if self.training else outputs


def nnunet(*, in_channels: int, num_classes: int, patch: Size, width: int, deep_supervision: bool) -> nn.Module:
    """The U-Net that nnU-Net (Isensee et al. 2021) plans for CT of the abdomen with patches of 128³: six stages.

    Args:
        patch: D, H, W of the training patch in voxels; no weight depends on it.
        width: channels of the finest map, 32 in its plans; see ``published.nnunet``.
        deep_supervision: four answers in training, as nnU-Net trains it. Not the default, since runs are named by what
            differs from the defaults, and those that were trained without it keep their names and weights.
    """
    plan = published.nnunet(in_channels=in_channels, num_classes=num_classes, patch=patch, width=width)
    return _planned(plan, patch, deep_supervision)


def resenc(*, in_channels: int, num_classes: int, patch: Size, deep_supervision: bool, **sizes: Any) -> nn.Module:
    """nnU-Net's U-Net with a residual encoder (Isensee et al. 2024, nnU-Net Revisited), by its planners' presets.

    Source: ``nnUNetPlannerResEncM`` and ``L`` of nnunetv2, for memories of 8 and 24 GB. Their arithmetic, done for CT
    of the abdomen as this project prepares it (1 × 1 × 1.5 mm), gives one network for both: six stages, each of which
    but the first halves all axes, with patches of 128³ for M (of BTCV 112 × 160 × 128, where the last stage keeps the
    depth) and of 160 × 224 × 192 for L. That network is M here; with the larger patch it is the preset L for such data.
    L here is what the preset plans for BTCV at its own spacing (0.76 × 0.76 × 3 mm, patches of 80 × 256 × 256): seven
    stages, the second and the last of which keep the depth, and first kernels of one slice.

    Args:
        patch: D, H, W of the training patch in voxels; no weight depends on it.
        deep_supervision: an answer in training for each resolution but the coarsest, as nnU-Net trains it.
        sizes: see ``published.resenc``.
    """
    plan = published.resenc(in_channels=in_channels, num_classes=num_classes, patch=patch, **sizes)
    return _planned(plan, patch, deep_supervision)


def _planned(plan: Published, patch: Size, deep_supervision: bool) -> nn.Module:
    """The published class with its own initialisation, with the heads that are used."""
    network: Any = plan.build()
    decoder = network.decoder
    if deep_supervision:
        decoder.__class__ = SupervisedDecoder
        decoder.seg_layers[0] = nn.Identity()  # in place of the coarsest head, since the decoder counts them
    else:
        decoder.seg_layers = decoder.seg_layers[-1:]
    network.apply(network.initialize)
    return AnySize(network, published.edge_of(plan.config["strides"]), patch)
