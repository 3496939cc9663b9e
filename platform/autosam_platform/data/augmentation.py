"""Random changes of a training patch: drawn once, applied alike to everything that shares its grid.

Source: paper, Sec. 7.2, which names the first four and their probabilities; ranges are MONAI's usual ones for CT. Zoom,
contrast, blur and noise are nnU-Net's (Isensee et al., Nature Methods 18 (2021) 203, supplement 4), in ranges that CTs
of other patients and scanners have; a dataset asks for them where it is not like the scans that it is learnt for. That
single organs are shifted is SynthSeg's idea (Billot et al., Medical Image Analysis 86 (2023) 102789): a network must
not know an organ by its HU alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv3d, grid_sample, pad

from autosam_inference.scans.resampling import Kind
from autosam_models.sizes import Size
from autosam_platform.data.description import Augmentation

LARGEST_ANGLE = math.radians(15)
LARGEST_SCALE = 0.1  # image · (1 ± 0.1)
LARGEST_SHIFT = 0.1  # image ± 0.1, in the units the network sees
LARGEST_ZOOM = 1.25  # of each axis by itself, and its inverse
LARGEST_GAMMA = 1.5  # exponent of the image between its bounds, and its inverse
BLUR_VOXELS = (0.4, 1.0)  # standard deviation
LARGEST_NOISE = 0.04  # standard deviation, of the range between the image's bounds
ORGAN_SHIFT = 0.04  # standard deviation of what is added to an organ, of the same range

PatchKind = Kind | Literal["probabilities"]
"""``probabilities``: a channel per class, in 255ths, rounded or not; turned like an image, mirrored like a label."""

_LEFT_RIGHT = 2  # W of D, H, W


@dataclass(frozen=True)
class SpatialTransform:
    """A turn in the axial plane, a zoom, then flips.

    The paper says "rotation" and no more. It is a turn by up to 15° here, as a patient lies on a table:
    quarter turns would show anatomy that no scan shows, and need patches as high as they are wide.

    Attributes:
        angle: radians, from H towards W.
        flips: axes of D, H, W that are reversed.
        zoom_DHW: by which what is shown becomes larger.
    """

    angle: float = 0.0
    flips: tuple[int, ...] = ()
    zoom_DHW: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def draw(cls, rng: np.random.Generator, settings: Augmentation) -> Self:
        """Draw a transform; the same numbers are drawn whatever comes out, those of a zoom only where one may be."""
        turned, angle = rng.random() < settings.rotate, rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)
        flipped = rng.random(3) < settings.flip
        angle, flips = float(angle) if turned else 0.0, tuple(int(axis) for axis in np.flatnonzero(flipped))
        if not settings.zoom or rng.random() >= settings.zoom:
            return cls(angle, flips)
        d, h, w = (LARGEST_ZOOM ** rng.uniform(-1, 1, 3)).tolist()
        return cls(angle, flips, (d, h, w))

    def margin(self, size_DHW: Size, spacing_DHW: tuple[float, float, float]) -> Size:
        """Size of the patch to start from, so that the turned one has no empty corners."""
        if not self.angle and not self._zooms:
            return size_DHW
        d, h, w = (math.ceil(n / zoom) for n, zoom in zip(size_DHW, self.zoom_DHW, strict=True))
        d += (d - size_DHW[0]) % 2
        _, mm_h, mm_w = spacing_DHW
        cos, sin = abs(math.cos(self.angle)), abs(math.sin(self.angle))
        high = math.ceil((h * mm_h * cos + w * mm_w * sin) / mm_h) + 1
        wide = math.ceil((w * mm_w * cos + h * mm_h * sin) / mm_w) + 1
        # an even surplus keeps the centre where it is
        return d, high + (high - size_DHW[1]) % 2, wide + (wide - size_DHW[2]) % 2

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

    @property
    def _zooms(self) -> bool:
        return self.zoom_DHW != (1.0, 1.0, 1.0)

    def _apply(
        self,
        array_CDHW: Tensor,
        kind: PatchKind,
        size_DHW: Size,
        spacing_DHW: tuple[float, float, float],
        mirrored_ids: Mapping[int, int],
    ) -> Tensor:
        if self.angle or self._zooms:
            array_CDHW = _turn(array_CDHW, self.angle, self.zoom_DHW[1:], kind, size_DHW, spacing_DHW)
        if self._zooms:
            array_CDHW = _stretch(array_CDHW, self.zoom_DHW[0], kind, size_DHW[0])
        if self.flips:
            array_CDHW = array_CDHW.flip([axis + 1 for axis in self.flips])  # C comes first
        if _LEFT_RIGHT not in self.flips or kind == "image":
            return array_CDHW
        return _swap(array_CDHW, mirrored_ids) if kind == "label" else _swap_channels(array_CDHW, mirrored_ids)


def augment_intensity(
    image: Tensor, rng: np.random.Generator, settings: Augmentation, bounds: tuple[float, float], label: Tensor
) -> Tensor:
    """Scale and shift the image's values, shift each organ by itself, change the contrast, blur and add noise, each
    with its probability.

    Args:
        image: 1, D, H, W.
        bounds: the values that an image's lowest and highest HU have before.
        label: of the image's size; class ids.
    """
    scaled, factor = (
        rng.random() < settings.intensity_scale,
        rng.uniform(1 - LARGEST_SCALE, 1 + LARGEST_SCALE),
    )
    shifted, offset = rng.random() < settings.intensity_shift, rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT)
    if scaled:
        image = image * factor
    if shifted:
        image = image + offset
    if not (settings.organ_shift or settings.contrast or settings.blur or settings.noise):
        return image
    span = bounds[1] - bounds[0]
    happens = rng.random(4) < (settings.organ_shift, settings.contrast, settings.blur, settings.noise)
    gamma, sigma = LARGEST_GAMMA ** rng.uniform(-1, 1), rng.uniform(*BLUR_VOXELS)
    level = rng.uniform(0, LARGEST_NOISE) * span
    if happens[0]:
        image = _with_organs_shifted(image, rng, span, label)
    if happens[1]:
        image = _contrast(image, gamma, bounds)
    if happens[2]:
        image = _blur(image, sigma)
    if happens[3]:
        image = image + level * torch.from_numpy(rng.standard_normal(image.shape, np.float32))
    return image


def _with_organs_shifted(image: Tensor, rng: np.random.Generator, span: float, label: Tensor) -> Tensor:
    """Each organ brighter or darker by itself, as tissues differ from patient to patient; what is none stays."""
    shifts = torch.from_numpy(rng.standard_normal(256, np.float32)) * (ORGAN_SHIFT * span)
    shifts[0] = 0
    return image + shifts[label.long()]


def _contrast(image: Tensor, gamma: float, bounds: tuple[float, float]) -> Tensor:
    """The image to a power between its bounds, which stay; what lies beyond them is cut."""
    low, high = bounds
    return ((image - low) / (high - low)).clamp(0, 1) ** gamma * (high - low) + low


def _blur(image_1DHW: Tensor, sigma: float) -> Tensor:
    """A Gaussian of ``sigma`` voxels along each axis; the border's values go on beyond it."""
    reach = math.ceil(2.5 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    weights = weights / weights.sum()
    blurred = pad(image_1DHW[None], [reach] * 6, mode="replicate")
    for shape in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)):
        blurred = conv3d(blurred, weights.reshape(1, 1, *shape))
    return blurred[0]


def _turn(
    array_CDHW: Tensor,
    angle: float,
    zoom_HW: tuple[float, ...],
    kind: PatchKind,
    size_DHW: Size,
    spacing_DHW: tuple[float, float, float],
) -> Tensor:
    """Turn about the D axis through the centre, by an angle in millimetre space, zoom, and cut out the middle."""
    channels, depth, high, wide = array_CDHW.shape
    grid_1HW2 = _turned_grid((high, wide), angle, zoom_HW, size_DHW[1:], spacing_DHW[1:])
    slices_1NHW = array_CDHW.reshape(1, channels * depth, high, wide).float()  # every slice turns alike
    mode = "nearest" if kind == "label" else "bilinear"
    turned = grid_sample(slices_1NHW, grid_1HW2, mode, padding_mode="border", align_corners=False)
    if not array_CDHW.is_floating_point():
        turned.round_()
    return turned.reshape(channels, depth, *size_DHW[1:]).to(array_CDHW.dtype)


def _stretch(array_CDHW: Tensor, zoom: float, kind: PatchKind, depth: int) -> Tensor:
    """Zoom along D about the centre, and cut out the middle ``depth`` slices."""
    place = (torch.arange(depth) - (depth - 1) / 2) / zoom + (array_CDHW.shape[1] - 1) / 2
    if kind == "label":
        return array_CDHW[:, place.round().long()]
    below = place.floor().long().clamp(0, array_CDHW.shape[1] - 2)
    share = (place - below).clamp(0, 1)[:, None, None]
    mixed = array_CDHW[:, below] * (1 - share) + array_CDHW[:, below + 1] * share
    return (mixed if array_CDHW.is_floating_point() else mixed.round()).to(array_CDHW.dtype)


def _turned_grid(
    source: tuple[int, int], angle: float, zoom: tuple[float, ...], size: tuple[int, ...], spacing: tuple[float, ...]
) -> Tensor:
    """Where each voxel of the result comes from: 1, H, W, (w, h), from −1 to 1 over the source."""
    h, w = ((torch.arange(n) - (n - 1) / 2) * (mm / k) for n, mm, k in zip(size, spacing, zoom, strict=True))
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
