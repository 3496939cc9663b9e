"""Other people's networks, made to take any size: pad at the far ends, ask the network, crop.

Their convolutions and norms become ours, which are right and fast on CPUs too; there the channels of a voxel lie side
by side, with which a convolution's gradients take a quarter of the time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autosam_models.convolution import with_our_layers
from autosam_models.sizes import Size, size_text

Outputs = Tensor | tuple[Tensor, ...]
"""``logits_BKDHW`` of the image's size; in training, where a network has deep supervision, several, that one first."""


class AnySize(nn.Module):
    """A network that halves its image several times, for images of any size.

    Args:
        network: ``image_BCDHW`` to ``logits_BKDHW``, for sizes that are multiples of ``edge``. In training it may give
            several, full size first and the others coarser.
        edge: voxels of the image that one voxel of the network's coarsest map stands for; one number for all axes, or
            one for each.
        patch: D, H, W of the training patch.

    Raises:
        ValueError: the patch would be a single voxel of the coarsest map.
    """

    def __init__(self, network: nn.Module, edge: int | Size, patch: Size) -> None:
        super().__init__()
        self.network = with_our_layers(network)
        self.edge = (edge, edge, edge) if isinstance(edge, int) else edge
        self._fitting(patch)

    def forward(self, image_BCDHW: Tensor) -> Outputs:
        """Segment an image of any D, H, W, one of which is more than ``edge``: ``logits_BKDHW`` of the same size.

        Of several outputs the coarser ones show that image too, as nearly as their voxels can.
        """
        return _padded_and_cropped(self.network, image_BCDHW, self._fitting(_size(image_BCDHW)))

    def _fitting(self, size: Size) -> Size:
        fitting = up_to_multiple(size, self.edge)
        if fitting == self.edge:
            raise ValueError(
                f"A patch of {size_text(size)} voxels is a single voxel of the coarsest map, and there is nothing to "
                f"normalise over: take {size_text((2 * self.edge[0], *self.edge[1:]))} or more."
            )
        return fitting


class FixedSize(nn.Module):
    """A network whose position table ties it to one size, for images up to that size.

    Args:
        network: ``image_BCDHW`` to ``logits_BKDHW``, for images of ``size``.
        size: D, H, W that the network was built for.
    """

    def __init__(self, network: nn.Module, size: Size) -> None:
        super().__init__()
        self.network, self.size = with_our_layers(network), size

    def forward(self, image_BCDHW: Tensor) -> Outputs:
        """Segment an image of up to the network's D, H, W: ``logits_BKDHW`` of the image's; of several see ``AnySize``.

        Raises:
            ValueError: the image is larger along an axis.
        """
        size = _size(image_BCDHW)
        if any(n > most for n, most in zip(size, self.size, strict=True)):
            raise ValueError(
                f"An image of {size_text(size)} voxels is larger than {size_text(self.size)}, which this network was "
                f"built for: give it windows of at most that size, or build it with patch={size}."
            )
        return _padded_and_cropped(self.network, image_BCDHW, self.size)


def up_to_multiple(size: Size, edge: int | Size) -> Size:
    """The next multiples of ``edge``, which may be one number for all axes.

    >>> up_to_multiple((30, 32, 33), 32), up_to_multiple((30, 32, 33), (16, 32, 32))
    ((32, 32, 64), (32, 32, 64))
    """
    edges = (edge, edge, edge) if isinstance(edge, int) else edge
    depth, height, width = (-(-n // each) * each for n, each in zip(size, edges, strict=True))
    return depth, height, width


def _padded_and_cropped(network: nn.Module, image_BCDHW: Tensor, size: Size) -> Outputs:
    image_size = _size(image_BCDHW)
    missing = [most - n for most, n in zip(size, image_size, strict=True)]
    if any(missing):
        image_BCDHW = F.pad(image_BCDHW, (0, missing[2], 0, missing[1], 0, missing[0]), mode="replicate")
    if image_BCDHW.device.type == "cpu":
        image_BCDHW = image_BCDHW.clone(memory_format=torch.channels_last_3d)
    outputs = network(image_BCDHW)
    if isinstance(outputs, Tensor):
        return _cropped(outputs, size, image_size)
    return tuple(_cropped(logits_BKDHW, size, image_size) for logits_BKDHW in outputs)


def _cropped(logits_BKDHW: Tensor, size: Size, image_size: Size) -> Tensor:
    """The voxels of an output for ``size``, which may be coarser, that show the image at its beginning."""
    ends = zip(logits_BKDHW.shape[2:], size, image_size, strict=True)
    depth, height, width = (max(round(n * image / whole), 1) for n, whole, image in ends)
    return logits_BKDHW[:, :, :depth, :height, :width]


def _size(image_BCDHW: Tensor) -> Size:
    depth, height, width = image_BCDHW.shape[2:]
    return depth, height, width
