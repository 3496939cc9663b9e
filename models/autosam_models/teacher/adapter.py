"""Spatial adapter (Sec. 3.2, Fig. 2B): a bottleneck with a depth-wise 3D convolution inside."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autosam_models.teacher.parts import in_parts

CHOICES: dict[str, Callable[[int, int], bool]] = {
    "all": lambda block, depth: True,
    "none": lambda block, depth: False,
    "even": lambda block, depth: block % 2 == 0,
    "odd": lambda block, depth: block % 2 == 1,
    "first_half": lambda block, depth: block < depth // 2,
    "last_half": lambda block, depth: block >= depth // 2,
}
"""Names for some of a number of blocks, which are counted from 0."""


def blocks_with_adapter(choice: str | int, depth: int) -> frozenset[int]:
    """Numbers of the blocks that have a spatial adapter; in the paper all.

    Args:
        choice: one of ``CHOICES``, or numbers of blocks such as ``"0,3,5"``. A single one may be an integer, which is
            what a recipe and a command line make of it.
        depth: how many blocks there are.

    Raises:
        ValueError: it is neither, or names a block that is not there.

    >>> sorted(blocks_with_adapter("odd", 6)), sorted(blocks_with_adapter("0,5", 6))
    ([1, 3, 5], [0, 5])
    """
    if choice in CHOICES:
        return frozenset(block for block in range(depth) if CHOICES[str(choice)](block, depth))
    words = [word.strip() for word in str(choice).split(",")]
    if not all(word.isdecimal() and int(word) < depth for word in words):
        raise ValueError(
            f"adapter_blocks={choice!r} is no choice of the {depth} blocks: give {', '.join(CHOICES)}, or numbers "
            f"from 0 to {depth - 1} such as {depth // 2},{depth - 1}."
        )
    return frozenset(int(word) for word in words)


class SpatialAdapter(nn.Module):
    """``X + Act(Conv(X W_down)) W_up``, where Conv is a depth-wise 3D convolution over the token grid.

    ``W_up`` starts at zero, so that at the start a block is what it is without an adapter.

    Args:
        dim: width of a token.
        ratio: width of the bottleneck as a share of ``dim``.
        kernel: edge of the convolution, odd.
    """

    def __init__(self, dim: int, ratio: float, kernel: int) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"adapter_kernel={kernel} has no centre: choose an odd number such as 3.")
        width = round(dim * ratio)
        if width < 1:
            raise ValueError(f"adapter_ratio={ratio} leaves no channel of {dim}: choose at least {1 / dim:.3g}.")
        self.down = nn.Linear(dim, width)
        self.conv = nn.Conv3d(width, width, kernel, padding=kernel // 2, groups=width)
        self.up = nn.Linear(width, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x_BDHWC: Tensor) -> Tensor:
        """Adapt the tokens; the shape stays."""
        x_NC = x_BDHWC.flatten(0, 3)
        hidden_BCDHW = in_parts(self.down, x_NC).unflatten(0, x_BDHWC.shape[:4]).permute(0, 4, 1, 2, 3)
        # In fp32 also under autocast: on CPUs the gradient of a depth-wise kernel takes four times as long in bf16.
        with torch.autocast(hidden_BCDHW.device.type, enabled=False):
            hidden_BCDHW = F.relu(self.conv(hidden_BCDHW.to(self.conv.weight.dtype)))
        hidden_NC = hidden_BCDHW.permute(0, 2, 3, 4, 1).flatten(0, 3)
        return in_parts(lambda x_NC, hidden_NC: x_NC + self.up(hidden_NC), x_NC, hidden_NC).view(x_BDHWC.shape)
