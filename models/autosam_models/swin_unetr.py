"""SwinUNETR as MONAI has it: the students in two small widths, a baseline in the published one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from autosam_models.any_size import AnySize, Outputs
from autosam_models.sizes import Size

_EDGE = 32  # patch embedding of 2 and four mergings


def swin_unetr(
    *,
    in_channels: int,
    num_classes: int,
    patch: Size,
    feature_size: int,
    activation_checkpointing: bool = False,
    deep_supervision: bool = False,
) -> AnySize:
    """SwinUNETR for images of any D, H, W.

    MONAI writes the axes H, W, D; windows, strides and kernels are the same along all three, so D, H, W are given as
    they are.

    Args:
        patch: D, H, W of the training patch in voxels; no weight depends on it.
        feature_size: channels at full resolution, a multiple of 12.
        activation_checkpointing: less memory in training for more time.
        deep_supervision: three answers in training; see ``SupervisedSwinUNETR``.
    """
    from monai.networks.nets.swin_unetr import SwinUNETR  # takes seconds to import

    from autosam_models.swin_blocks import with_our_attention

    with _LinspaceOnCpu():
        network = SwinUNETR(
            in_channels, num_classes, feature_size=feature_size, use_checkpoint=activation_checkpointing
        )
    ours = with_our_attention(network)
    return AnySize(SupervisedSwinUNETR(ours, num_classes) if deep_supervision else ours, _EDGE, patch)


class SupervisedSwinUNETR(nn.Module):
    """A SwinUNETR that in training also answers from its maps at a half and a quarter of the resolution.

    Each has a head of its own, as in nnU-Net (Isensee et al. 2021); neither MONAI's network nor the paper has them. Out
    of training they compute nothing.

    Args:
        network: MONAI's.
        num_classes: channels of each answer.
    """

    def __init__(self, network: Any, num_classes: int) -> None:
        super().__init__()
        self.network = network
        widths = (floor.transp_conv.conv.out_channels for floor in self._floors())
        self.heads = nn.ModuleList(nn.Conv3d(width, num_classes, 1) for width in widths)

    def forward(self, image_BCDHW: Tensor) -> Outputs:
        """``logits_BKDHW``; in training those at 1, 1/2 and 1/4 of the size."""
        if not self.training:
            logits_BKDHW: Tensor = self.network(image_BCDHW)
            return logits_BKDHW
        maps: list[Tensor] = []  # coarse to fine, as the network computes them
        # Hooks of one call, since a copy of this module would have hooks that write into the original.
        handles = [floor.register_forward_hook(lambda *told: maps.append(told[-1])) for floor in self._floors()]
        try:
            logits_BKDHW = self.network(image_BCDHW)
        finally:
            for handle in handles:
                handle.remove()
        return logits_BKDHW, *(head(map_BCDHW) for head, map_BCDHW in zip(self.heads, reversed(maps), strict=True))

    def _floors(self) -> tuple[Any, Any]:
        """Of the decoder, at 1/2 and 1/4 of the resolution; MONAI numbers them from full resolution, which is 1."""
        return self.network.decoder2, self.network.decoder3


class _LinspaceOnCpu(TorchFunctionMode):
    """MONAI reads the rates of stochastic depth from a tensor, which on the meta device has no values."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        changed = dict(kwargs or {})
        if func is torch.linspace:
            changed.setdefault("device", "cpu")
        return func(*args, **changed)
