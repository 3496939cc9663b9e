"""What a label map shows, in units of the body: of a prediction at the bedside, of the truth when it is calibrated."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosam_inference.card import ModelCard
from autosam_inference.quality.shape import Vector, body_middle, shapes
from autosam_inference.scans.intensity import normalise, offset_and_divisor

_LOOK_MM = 3.0
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


def anatomy(label_DHW: NDArray[np.uint8], image_DHW: NDArray[np.floating], card: ModelCard) -> Anatomy:
    """Describe a label map.

    Args:
        label_DHW: class ids of the voxels that are looked at (``steps_to_look``).
        image_DHW: what the network sees of them.
    """
    spacing_DHW = np.array(card.spacing_DHW) * steps_to_look(card)
    offset, divisor = offset_and_divisor(card.hu_window, card.scaling)
    air = normalise(np.array(max(_AIR_HU, card.hu_window[0])), card.hu_window, card.scaling)
    middle_DHW = body_middle(image_DHW, float(air))
    found = shapes(label_DHW, image_DHW)
    organs = {
        each.name: Organ(
            ml=found[each.id].voxels * math.prod(spacing_DHW) / 1000,
            hu=found[each.id].value * float(divisor) + float(offset),
            centre_DHW=(found[each.id].centre_DHW - middle_DHW) * spacing_DHW,
            islands=found[each.id].islands,
            pieces=found[each.id].pieces,
            cut=found[each.id].cut,
        )
        for each in card.classes
        if each.id in found
    }
    low_DHW = (-0.5 - middle_DHW) * spacing_DHW
    return Anatomy(organs, low_DHW, low_DHW + np.array(label_DHW.shape) * spacing_DHW)
