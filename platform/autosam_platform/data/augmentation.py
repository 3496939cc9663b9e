"""Random changes of a training patch: drawn once, applied alike to everything that shares its grid.

Source: paper, Sec. 7.2, which names the four and their probabilities; ranges are MONAI's usual ones for CT.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from autosam_inference.scans.resampling import Kind
from autosam_models.sizes import Size
from autosam_platform.data.description import Augmentation

LARGEST_ANGLE = math.radians(15)
LARGEST_SCALE = 0.1  # image · (1 ± 0.1)
LARGEST_SHIFT = 0.1  # image ± 0.1, in the units the network sees

PatchKind = Kind | Literal["probabilities"]
"""``probabilities``: a channel per class, in 255ths, rounded or not; turned like an image, mirrored like a label."""

_LEFT_RIGHT = 2  # W of D, H, W


@dataclass(frozen=True)
class SpatialTransform:
    """A turn in the axial plane, then flips.

    The paper says "rotation" and no more. It is a turn by up to 15° here, as a patient lies on a table:
    quarter turns would show anatomy that no scan shows, and need patches as high as they are wide.

    Attributes:
        angle: radians, from H towards W.
        flips: axes of D, H, W that are reversed.
    """

    angle: float = 0.0
    flips: tuple[int, ...] = ()

    @classmethod
    def draw(cls, rng: np.random.Generator, settings: Augmentation) -> Self:
        """Draw a transform; the same numbers are drawn whatever comes out of them."""
        turned, angle = rng.random() < settings.rotate, rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)
        flipped = rng.random(3) < settings.flip
        return cls(float(angle) if turned else 0.0, tuple(int(axis) for axis in np.flatnonzero(flipped)))

    def margin(self, size_DHW: Size, spacing_DHW: tuple[float, float, float]) -> Size:
        """Size of the patch to start from, so that the turned one has no empty corners."""
        if not self.angle:
            return size_DHW
        d, h, w = size_DHW
        _, mm_h, mm_w = spacing_DHW
        cos, sin = abs(math.cos(self.angle)), abs(math.sin(self.angle))
        high = math.ceil((h * mm_h * cos + w * mm_w * sin) / mm_h) + 1
        wide = math.ceil((w * mm_w * cos + h * mm_h * sin) / mm_w) + 1
        return d, high + (high - h) % 2, wide + (wide - w) % 2  # an even surplus keeps the centre where it is

    def apply(
        self,
        arrays: Sequence[tuple[Tensor, PatchKind]],
        size_DHW: Size,
        spacing_DHW: tuple[float, float, float],
        mirrored_ids: Mapping[int, int],
    ) -> list[Tensor]:
        """Transform arrays of one grid together.

        Args:
            arrays: each C, D, H, W of ``margin`` size, with its kind: images are interpolated linearly,
                labels keep their ids, of which a left-right flip swaps those of paired organs; so it does with
                the channels of probabilities.
            size_DHW: of the arrays that come out.
            mirrored_ids: label id → id of the organ's partner on the other side.
        """
        return [self._apply(array, kind, size_DHW, spacing_DHW, mirrored_ids) for array, kind in arrays]

    def of_classes(self, values_K: Tensor, mirrored_ids: Mapping[int, int]) -> Tensor:
        """What is known of each class, for the classes as ``apply`` leaves them."""
        return _swap_channels(values_K, mirrored_ids) if _LEFT_RIGHT in self.flips else values_K

    def _apply(
        self,
        array_CDHW: Tensor,
        kind: PatchKind,
        size_DHW: Size,
        spacing_DHW: tuple[float, float, float],
        mirrored_ids: Mapping[int, int],
    ) -> Tensor:
        if self.angle:
            array_CDHW = _turn(array_CDHW, self.angle, kind, size_DHW, spacing_DHW)
        if self.flips:
            array_CDHW = array_CDHW.flip([axis + 1 for axis in self.flips])  # C comes first
        if _LEFT_RIGHT not in self.flips or kind == "image":
            return array_CDHW
        return _swap(array_CDHW, mirrored_ids) if kind == "label" else _swap_channels(array_CDHW, mirrored_ids)


def augment_intensity(image: Tensor, rng: np.random.Generator, settings: Augmentation) -> Tensor:
    """Scale and shift the image's values, each with its probability."""
    scaled, factor = (
        rng.random() < settings.intensity_scale,
        rng.uniform(1 - LARGEST_SCALE, 1 + LARGEST_SCALE),
    )
    shifted, offset = rng.random() < settings.intensity_shift, rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT)
    if scaled:
        image = image * factor
    return image + offset if shifted else image


def _turn(
    array_CDHW: Tensor,
    angle: float,
    kind: PatchKind,
    size_DHW: Size,
    spacing_DHW: tuple[float, float, float],
) -> Tensor:
    """Turn about the D axis through the centre, by an angle in millimetre space, and cut out the middle."""
    channels, depth, high, wide = array_CDHW.shape
    grid_1HW2 = _turned_grid((high, wide), angle, size_DHW[1:], spacing_DHW[1:])
    slices_1NHW = array_CDHW.reshape(1, channels * depth, high, wide).float()  # every slice turns alike
    mode = "nearest" if kind == "label" else "bilinear"
    turned = grid_sample(slices_1NHW, grid_1HW2, mode, padding_mode="border", align_corners=False)
    if not array_CDHW.is_floating_point():
        turned.round_()
    return turned.reshape(channels, depth, *size_DHW[1:]).to(array_CDHW.dtype)


def _turned_grid(source: tuple[int, int], angle: float, size: tuple[int, ...], spacing: tuple[float, ...]) -> Tensor:
    """Where each voxel of the result comes from: 1, H, W, (w, h), from −1 to 1 over the source."""
    h, w = ((torch.arange(n) - (n - 1) / 2) * mm for n, mm in zip(size, spacing, strict=True))
    cos, sin = math.cos(angle), math.sin(angle)
    from_h = (cos * h[:, None] + sin * w[None, :]) / spacing[0] * (2 / source[0])
    from_w = (cos * w[None, :] - sin * h[:, None]) / spacing[1] * (2 / source[1])
    return torch.stack((from_w, from_h), dim=-1)[None]


def _swap(label: Tensor, mirrored_ids: Mapping[int, int]) -> Tensor:
    table = torch.arange(256, dtype=label.dtype)
    for one, other in mirrored_ids.items():
        table[one] = other
    return table[label.long()]


def _swap_channels(array_K: Tensor, mirrored_ids: Mapping[int, int]) -> Tensor:
    """Swap along the first axis, whatever the others are."""
    order = list(range(len(array_K)))
    for one, other in mirrored_ids.items():
        order[other] = one
    return array_K[order]
