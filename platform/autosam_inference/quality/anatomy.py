"""What a label map shows, in units of the body: of a prediction at the bedside, of the truth when it is calibrated."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosam_inference.card import ModelCard
from autosam_inference.quality.shape import Vector, body_middle, shapes
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.intensity import offset_and_divisor
from autosam_inference.windows import Window

_LOOK_MM = 3.0
_BODY_MM = 4.0  # its middle is found on a coarse grid
_AIR_HU = -300  # below it is air, above it the body


@dataclass(frozen=True)
class Organ:
    """An organ that a label map has.

    Attributes:
        ml: its volume.
        hu: its mean value, within the model's window.
        centre_DHW: mm from the body's middle.
        islands, pieces, cut: see ``shape.Shape``.
    """

    ml: float
    hu: float
    centre_DHW: Vector
    islands: float
    pieces: int
    cut: float


@dataclass(frozen=True)
class Anatomy:
    """The organs of a label map, by name; and where the scan begins and ends, in mm from the body's middle."""

    organs: dict[str, Organ]
    low_DHW: Vector
    high_DHW: Vector


def steps_to_look(card: ModelCard) -> tuple[int, int, int]:
    """Every how manieth voxel of a prepared scan is looked at, along D, H, W: of 3 to 4 mm, or what the scan has."""
    d, h, w = (max(1, round(_LOOK_MM / spacing)) for spacing in card.spacing_DHW)
    return d, h, w


@dataclass(frozen=True)
class Frame:
    """Where voxels lie in the patient, in mm along D, H, W from the scan's first corner.

    Attributes:
        start_DHW: of the label map's first corner.
        size_DHW: of the whole scan.
        middle_DHW: of the body.
    """

    start_DHW: Vector
    size_DHW: Vector
    middle_DHW: Vector

    @classmethod
    def of(cls, volume: Volume, card: ModelCard, box: Window | None = None) -> "Frame":
        """Of a scan in HU, and a box of its prepared voxels; the whole where none is given."""
        sizes = volume.array_DHW.shape
        steps = [max(1, round(_BODY_MM / spacing)) for spacing in volume.spacing_DHW]
        d, h, w = steps
        middle = body_middle(volume.array_DHW[::d, ::h, ::w], max(_AIR_HU, card.hu_window[0]))
        spacing_DHW = np.array(volume.spacing_DHW)
        size_DHW = spacing_DHW * sizes
        start = [0, 0, 0] if box is None else [part.start for part in box]
        return cls(np.array(start) * card.spacing_DHW, size_DHW, (middle * steps + 0.5) * spacing_DHW)


def anatomy(label_DHW: NDArray[np.uint8], image_DHW: NDArray[np.floating], card: ModelCard, frame: Frame) -> Anatomy:
    """Describe a label map.

    Args:
        label_DHW: class ids of the voxels that are looked at (``steps_to_look``).
        image_DHW: what the network sees of them.
        frame: where they lie.
    """
    steps = np.array(steps_to_look(card))
    spacing_DHW = np.array(card.spacing_DHW)
    offset, divisor = offset_and_divisor(card.hu_window, card.scaling)
    found = shapes(label_DHW, image_DHW)
    organs = {}
    for each in card.classes:
        if each.id not in found:
            continue
        shape = found[each.id]
        organs[each.name] = Organ(
            ml=float(shape.voxels * math.prod(spacing_DHW * steps)) / 1000,
            hu=shape.value * float(divisor) + float(offset),
            centre_DHW=(shape.centre_DHW * steps + 0.5) * spacing_DHW + frame.start_DHW - frame.middle_DHW,
            islands=shape.islands,
            pieces=shape.pieces,
            cut=shape.cut,
        )
    return Anatomy(organs, -frame.middle_DHW, frame.size_DHW - frame.middle_DHW)
