"""A picture of a segmented scan: three planes with the organs' outlines. Drawn with Pillow, which is light."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from autosam_inference.card import LabelClass
from autosam_inference.files import atomic_write
from autosam_inference.prediction import Prediction
from autosam_inference.scans.colours import organ_colour

_PANELS_PX = 1440  # the three planes together, at one scale
_LEGEND_PX = 280
_GAP_PX = 10
_HEADER_PX = 62
_LINE_PX = 23
_LEAST_PX, _MOST_PX = 200, 2400  # of the planes' height: a scan of few slices, a scan from head to foot
_SAMPLED = 256  # voxels along a side by which a slice is chosen: enough for the smallest organs
_INK, _YELLOW, _RED = (0, 0, 0), (255, 224, 102), (176, 0, 32)


@dataclass(frozen=True)
class Plane:
    """One of the three planes; of its two in-plane axes the first runs downwards, the second rightwards.

    All three axes are shown backwards: superior and anterior point up, anterior and the patient's right to
    the left (radiological convention).
    """

    name: str
    axis: int
    left: str
    right: str

    def cut(self, array_DHW: NDArray[Any], index: int) -> NDArray[Any]:
        """The slice ``index`` as rows from the top and columns from the left."""
        taken: NDArray[Any] = array_DHW.take(index, self.axis)
        return taken[::-1, ::-1]

    def millimetres(self, size: Sequence[float]) -> tuple[float, float]:
        """Height and width of the plane."""
        height, width = (side for axis, side in enumerate(size) if axis != self.axis)
        return height, width


PLANES = (
    Plane("axial", 0, "R", "L"),
    Plane("coronal", 1, "R", "L"),
    Plane("sagittal", 2, "A", "P"),
)


def telling_slice(label_DHW: NDArray[np.integer], axis: int, num_classes: int) -> int:
    """The slice with the largest sum of organ areas, each as a share of that organ's largest on this axis.

    Areas of large slices are counted on every second, third, … voxel of theirs.
    """
    steps = [1 if each == axis else -(-side // _SAMPLED) for each, side in enumerate(label_DHW.shape)]
    sampled = label_DHW[tuple(slice(None, None, step) for step in steps)]
    slices = range(sampled.shape[axis])
    areas = np.array([np.bincount(sampled.take(at, axis).ravel(), minlength=num_classes)[1:] for at in slices])
    if not areas.any():
        return len(slices) // 2
    return int((areas / np.maximum(areas.max(axis=0), 1)).sum(axis=1).argmax())


def save_picture(path: Path, prediction: Prediction, title: str) -> None:
    """Write a PNG: axial, coronal and sagittal plane in millimetres with the organs' outlines and names.

    The slices are those that show most of most organs. Superior and anterior are up, the patient's right is
    at the left side (radiological convention), and the picture says so. What goes with every result of the model stands
    above it in red.
    """
    volume, card = prediction.scan.volume, prediction.card
    size = [count * spacing for count, spacing in zip(volume.array_DHW.shape, volume.spacing_DHW, strict=True)]
    present = np.unique(prediction.label_DHW)
    organs = [each for each in card.classes if each.id in present]
    sides = [plane.millimetres(size) for plane in PLANES]
    tallest = max(height for height, _ in sides)
    scale = min(_PANELS_PX / sum(width for _, width in sides), _MOST_PX / tallest)
    tall = round(max(tallest * scale, (len(organs) + 1) * _LINE_PX, _LEAST_PX))
    image = Image.new("RGB", (_PANELS_PX + 4 * _GAP_PX + _LEGEND_PX, _HEADER_PX + tall + _GAP_PX), "white")
    draw, left = ImageDraw.Draw(image), _GAP_PX
    for plane in PLANES:
        panel = _panel(plane, prediction, size, scale, organs)
        image.paste(panel, (left, _HEADER_PX))
        left += panel.width + _GAP_PX
    _write_words(draw, title, organs, left)
    _write_warning(draw, title, card.short_warning)
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def _panel(
    plane: Plane, prediction: Prediction, size: Sequence[float], scale: float, organs: Sequence[LabelClass]
) -> Image.Image:
    """One plane at its scale: the scan in grey, outlines in the organs' colours, its sides and its number."""
    card, volume, label_DHW = prediction.card, prediction.scan.volume, prediction.label_DHW
    index = telling_slice(label_DHW, plane.axis, 256)
    height, width = (max(1, round(side * scale)) for side in plane.millimetres(size))
    low, high = card.hu_window
    hu = plane.cut(volume.array_DHW, index).astype(np.float32)
    grey = Image.fromarray((np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8))
    drawn = np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR).convert("RGB")).copy()
    labels = Image.fromarray(np.ascontiguousarray(plane.cut(label_DHW, index)))
    label = np.asarray(labels.resize((width, height), Image.Resampling.NEAREST))
    edge = _edges(label)
    for organ in organs:
        drawn[edge & (label == organ.id)] = organ_colour(organ.name)
    panel = Image.fromarray(drawn)
    _write_sides(ImageDraw.Draw(panel), plane, panel.size, f"{plane.name} {index + 1}/{label_DHW.shape[plane.axis]}")
    return panel


def _edges(label: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels within two of another label: a line of two pixels, inside the organ it belongs to."""
    edge = np.zeros(label.shape, bool)
    for step in (1, 2):
        for axis in (0, 1):
            low, high = [slice(None)] * 2, [slice(None)] * 2
            low[axis], high[axis] = slice(None, -step), slice(step, None)
            differs = label[tuple(low)] != label[tuple(high)]
            edge[tuple(low)] |= differs
            edge[tuple(high)] |= differs
    return edge


def _write_sides(draw: ImageDraw.ImageDraw, plane: Plane, size: tuple[int, int], words: str) -> None:
    width, height = size
    letters = _font(16)
    rim: dict[str, Any] = {
        "fill": _YELLOW,
        "stroke_width": 2,
        "stroke_fill": _INK,
    }  # readable on bone and on organs too
    draw.text((5, height / 2), plane.left, font=letters, anchor="lm", **rim)
    draw.text((width - 5, height / 2), plane.right, font=letters, anchor="rm", **rim)
    draw.text((5, height - 5), words, font=_font(13), anchor="lb", **rim)


def _write_words(draw: ImageDraw.ImageDraw, title: str, organs: Sequence[LabelClass], left: int) -> None:
    draw.text((_GAP_PX, 8), title, font=_font(18), fill=_INK)
    note = "outlines: prediction · radiological convention: the patient's right (R) is at the left side of the picture"
    draw.text((_GAP_PX, 36), note, font=_font(14), fill=_INK)
    for line, organ in enumerate(organs):
        top = _HEADER_PX + line * _LINE_PX
        draw.rectangle((left, top + 4, left + 22, top + 16), fill=organ_colour(organ.name), outline=_INK)
        draw.text((left + 30, top + 2), organ.name, font=_font(14), fill=_INK)
    if not organs:
        draw.text((left, _HEADER_PX), "no organ was found", font=_font(14), fill=_INK)


def _write_warning(draw: ImageDraw.ImageDraw, title: str, warning: str | None) -> None:
    if warning is not None:
        left = _GAP_PX + draw.textlength(f"{title}    ", font=_font(18))
        draw.text((left, 8), warning, font=_font(18), fill=_RED)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
