"""One slice of a scan as a picture: in a HU window, label maps over it, with directions and a scale bar.

Pictures are to scale in both directions and radiological: the patient's right is on the picture's left, as if
seen from the feet. Every axis of the canonical volume (inferior → superior, posterior → anterior, left →
right) runs against the screen's, so that a plane's picture is simply its slice turned by half a turn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import maximum_filter, minimum_filter

Manner = Literal["filled", "outlined"]
Colour = tuple[int, int, int]

_LONGEST = 720  # pixels of a picture's longest side: about a third of a wide screen
_MARGIN = 8
_LETTERS = 20
_DASH = 6


@dataclass(frozen=True)
class Plane:
    """A family of slices: the axis of D, H, W it is cut across, and what its picture's edges point to."""

    name: str
    axis: int
    left: str
    right: str
    top: str
    bottom: str


AXIAL = Plane("Axial", 0, left="R", right="L", top="A", bottom="P")
CORONAL = Plane("Coronal", 1, left="R", right="L", top="S", bottom="I")
SAGITTAL = Plane("Sagittal", 2, left="A", right="P", top="S", bottom="I")
PLANES = (AXIAL, CORONAL, SAGITTAL)

# level and width in HU, as radiologists state them
WINDOWS: dict[str, tuple[int, int]] = {
    "Abdomen": (40, 400),
    "Soft tissue": (50, 350),
    "Lung": (-600, 1500),
    "Bone": (400, 1800),
}


@dataclass(frozen=True)
class Layer:
    """A label map and how it is painted; labels without a colour are not."""

    labels_DHW: np.ndarray
    colours: dict[int, Colour]
    manner: Manner
    opacity: float
    dashed: bool = False


def extent_mm(plane: Plane, shape: Sequence[int], spacing_DHW: Sequence[float]) -> tuple[float, float]:
    """Height and width in mm of a plane's picture."""
    height, width = (shape[axis] * spacing_DHW[axis] for axis in range(3) if axis != plane.axis)
    return height, width


def draw(
    plane: Plane,
    index: int,
    image_DHW: np.ndarray,
    spacing_DHW: tuple[float, float, float],
    window: tuple[int, int],
    layers: Iterable[Layer] = (),
) -> np.ndarray:
    """RGB picture of one slice, with the same millimetres per pixel in every plane of a scan.

    Args:
        index: slice along the plane's axis.
        window: level and width in HU: what is below level − width/2 is black, above level + width/2 white.
        layers: painted in this order.
    """
    longest_mm = max(length * step for length, step in zip(image_DHW.shape, spacing_DHW, strict=True))
    pixels_per_mm = _LONGEST / longest_mm
    height, width = (max(1, round(mm * pixels_per_mm)) for mm in extent_mm(plane, image_DHW.shape, spacing_DHW))
    picture = _grey(_slice(image_DHW, plane, index), (height, width), window)
    for layer in layers:
        _paint(picture, _enlarged(_slice(layer.labels_DHW, plane, index), (height, width)), layer)
    return _annotated(picture, plane, pixels_per_mm)


def _slice(array_DHW: np.ndarray, plane: Plane, index: int) -> np.ndarray:
    return array_DHW.take(index, axis=plane.axis)[::-1, ::-1]


def _grey(slice_HW: np.ndarray, size: tuple[int, int], window: tuple[int, int]) -> np.ndarray:
    level, width = window
    shades_HW = np.clip((slice_HW.astype(np.float32) - level) / width + 0.5, 0, 1) * 255
    enlarged = Image.fromarray(shades_HW).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.repeat(np.asarray(enlarged).round().astype(np.uint8)[..., None], 3, axis=2)


def _enlarged(labels_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest neighbour: the edges of voxels stay visible."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, labels_HW.shape, strict=True)
    )
    return labels_HW[np.ix_(rows, columns)]


def _paint(picture: np.ndarray, labels_HW: np.ndarray, layer: Layer) -> None:
    if not layer.colours:
        return
    labels_HW = np.where(np.isin(labels_HW, list(layer.colours)), labels_HW, 0)
    chosen_HW = labels_HW > 0
    if layer.manner == "outlined":
        chosen_HW &= _edges(labels_HW, layer.dashed)
    colours = np.zeros((max(layer.colours) + 1, 3), np.float32)
    for label, colour in layer.colours.items():
        colours[label] = colour
    strength = layer.opacity if layer.manner == "filled" else 1
    painted = picture[chosen_HW] * (1 - strength) + colours[labels_HW[chosen_HW]] * strength
    picture[chosen_HW] = painted.round().astype(np.uint8)


def _edges(labels_HW: np.ndarray, dashed: bool) -> np.ndarray:
    """Pixels within two of another label; of a dashed line every other piece."""
    edges = maximum_filter(labels_HW, 5) != minimum_filter(labels_HW, 5)
    if dashed:
        rows, columns = np.indices(labels_HW.shape)
        edges &= (rows + columns) // _DASH % 2 == 0
    return edges


def _annotated(picture: np.ndarray, plane: Plane, pixels_per_mm: float) -> np.ndarray:
    """Letters for the patient's directions at the edges, and a bar of 5 cm."""
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    width, height = image.size
    right, base = width - _MARGIN, height - _MARGIN
    _write(pen, (_MARGIN, height / 2), plane.left, "lm")
    _write(pen, (right, height / 2), plane.right, "rm")
    _write(pen, (width / 2, _MARGIN), plane.top, "mt")
    _write(pen, (width / 2, base), plane.bottom, "mb")
    pen.line([(_MARGIN, base), (_MARGIN + 50 * pixels_per_mm, base)], fill="white", width=3)
    _write(pen, (_MARGIN, base - 6), "5 cm", "lb")
    return np.asarray(image)


def _write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str) -> None:
    font = ImageFont.load_default(size=_LETTERS)
    pen.text(place, text, "white", font, anchor, stroke_width=2, stroke_fill="black")  # readable on bone too
