"""The students that a teacher's knowledge is distilled into: SwinUNETR in two small widths."""

from typing import Any

from torch import nn

from autosam_models.swin_unetr import swin_unetr
from autosam_models.teacher.mask_decoder import ORGAN_PRIOR


def student(**sizes: Any) -> nn.Module:
    """A SwinUNETR that starts from background, as the teacher does; see ``ORGAN_PRIOR``.

    Args:
        sizes: see ``swin_unetr``.
    """
    model = swin_unetr(**sizes)
    bias_K = model.get_parameter("network.out.conv.conv.bias")
    nn.init.constant_(bias_K[1:], ORGAN_PRIOR)
    return model
