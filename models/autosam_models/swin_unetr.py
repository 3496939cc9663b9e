"""SwinUNETR as MONAI has it: the students in two small widths, a baseline in the published one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from autosam_models.any_size import AnySize
from autosam_models.sizes import Size

_EDGE = 32  # patch embedding of 2 and four mergings


def swin_unetr(
    *, in_channels: int, num_classes: int, patch: Size, feature_size: int, activation_checkpointing: bool = False
) -> nn.Module:
    """SwinUNETR for images of any D, H, W.

    MONAI writes the axes H, W, D; windows, strides and kernels are the same along all three, so D, H, W are given as
    they are.

    Args:
        patch: D, H, W of the training patch in voxels; no weight depends on it.
        feature_size: channels at full resolution, a multiple of 12.
        activation_checkpointing: less memory in training for more time.
    """
    from monai.networks.nets.swin_unetr import SwinUNETR  # takes seconds to import

    from autosam_models.swin_blocks import with_our_attention

    with _LinspaceOnCpu():
        network = SwinUNETR(
            in_channels, num_classes, feature_size=feature_size, use_checkpoint=activation_checkpointing
        )
    return AnySize(with_our_attention(network), _EDGE, patch)


class _LinspaceOnCpu(TorchFunctionMode):
    """MONAI reads the rates of stochastic depth from a tensor, which on the meta device has no values."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        changed = dict(kwargs or {})
        if func is torch.linspace:
            changed.setdefault("device", "cpu")
        return func(*args, **changed)
