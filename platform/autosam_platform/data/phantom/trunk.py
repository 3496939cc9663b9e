"""The trunk that holds the organs: its measures and surfaces, and the chest and wall painted behind them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autosam_platform.data.phantom.canvas import Canvas, Spot, Tissue
from autosam_platform.data.phantom.frame import BOTTOM_MM, TOP_MM
from autosam_platform.data.phantom.patient import Patient
from autosam_platform.data.phantom.shapes import (
    EVERYWHERE,
    Bounds,
    Field,
    Points,
    Solid,
    column,
    cut,
    ellipsoid,
    shell,
    smooth_minimum,
    smooth_step,
)
from autosam_platform.data.phantom.tissue import LUNG, Palette

LUNG_BOTTOM_MM = 8.0  # no recess of the pleura reaches lower


@dataclass(frozen=True)
class Trunk:
    """Measures of one trunk in template mm: x right, y front, z up from the front of the first lumbar body.

    Attributes:
        half_width: of the cavity.
        front, back: y of the cavity's front and back.
        fat: thickness of the subcutaneous fat at the flanks.
        dome_right, dome_left: z of the two domes of the diaphragm.
    """

    half_width: float
    front: float
    back: float
    fat: float
    dome_right: float
    dome_left: float

    @property
    def bounds(self) -> Bounds:
        """Lowest and highest corner of the body in mm."""
        x, back = self.half_width + 12 + self.fat, self.back - 33 - 0.7 * self.fat
        return np.array([-x, back, BOTTOM_MM]), np.array([x, self.front + 11 + 0.8 * self.fat, TOP_MM])


def draw_trunk(rng: np.random.Generator) -> Trunk:
    """Measures of a random adult."""
    fat = float(np.clip(rng.gamma(4.0, 4.2), 6, 32))
    return Trunk(
        half_width=float(rng.normal(126, 4)),
        front=float(rng.normal(94, 4) + 0.4 * fat),
        back=float(rng.normal(-64, 2)),
        fat=fat,
        dome_right=float(rng.normal(104, 6)),
        dome_left=float(rng.normal(95, 6)),
    )


def cavity(trunk: Trunk) -> Solid:
    """Inner surface of the trunk's wall, of chest and abdomen together."""
    return _cylinder(trunk.half_width, trunk.back, trunk.front, power=2.5)


def abdomen(trunk: Trunk) -> Solid:
    """What lies below the diaphragm."""
    middle, depth = (trunk.front + trunk.back) / 2, (trunk.front - trunk.back) / 2 + 12
    right = ellipsoid((64, middle, 0), (76, depth, trunk.dome_right - 12))
    left = ellipsoid((-64, middle - 2, 0), (76, depth, trunk.dome_left - 12))
    front = ellipsoid((0, trunk.front - 50, 0), (84, 66, trunk.dome_left - 26))

    def distance(points: Points) -> Field:
        domed = points[0], points[1], np.maximum(points[2] - 12, 0)
        sides = smooth_minimum(right.distance(domed), left.distance(domed), 14.0)
        return smooth_minimum(sides, front.distance(domed), 14.0)

    return Solid(EVERYWHERE, distance)


def paint_chest(canvas: Canvas, patient: Patient, trunk: Trunk) -> None:
    """The diaphragm as a thin shell over the abdomen, the heart on it, and the lung bases."""
    below, inner, palette = abdomen(trunk), cavity(trunk), patient.palette
    canvas.paint(cut(shell(below, 3.0, offset=1.0), inner), palette["muscle"], free=True)
    heart = ellipsoid((-22, 58, trunk.dome_left + 32), (58, 40, 34), (0, 12, 20))
    canvas.paint(heart, palette.solid("heart"), gap=1.0, free=True)
    bases = Solid((np.array([-np.inf, -np.inf, LUNG_BOTTOM_MM]), EVERYWHERE[1]), _lung_distance(below, inner))
    canvas.paint(bases, _lung_tissue, gap=1.5, free=True)


def paint_wall(canvas: Canvas, patient: Patient, trunk: Trunk) -> None:
    """Fat between the organs, muscle of the wall, subcutaneous fat and skin; ribs are there already."""
    inner, palette = cavity(trunk), patient.palette
    canvas.paint(inner, _mesentery(palette), free=True)
    thickness = float(patient.rng.uniform(9, 13))
    wall = _cylinder(trunk.half_width + thickness, trunk.back - 14, trunk.front + 0.75 * thickness, power=2.4)
    canvas.paint(wall, _layered_wall(palette, inner, thickness), free=True)
    low, high = trunk.bounds
    body = _cylinder(float(high[0]), float(low[1]), float(high[1]), power=2.25)
    canvas.paint(body, _skin(palette), free=True)


def _lung_distance(below: Solid, inner: Solid) -> Callable[[Points], Field]:
    """Above the diaphragm and beside the mediastinum."""
    mediastinum = column((-2, -15), (28, 95))

    def distance(points: Points) -> Field:
        pleura = np.maximum(inner.distance(points) + 2, LUNG_BOTTOM_MM - points[2])
        return np.maximum(np.maximum(pleura, 3 - below.distance(points)), 2 - mediastinum.distance(points))

    return distance


def _lung_tissue(spot: Spot) -> Field:
    """Air with vessels."""
    return LUNG + 25 * spot.lumps + 420 * smooth_step(spot.grain, 1.9, 2.8)


def _mesentery(palette: Palette) -> Tissue:
    """Fat with small vessels in it where bowel hangs."""

    def tissue(spot: Spot) -> Field:
        vessels = smooth_step(spot.grain, 1.7, 2.5) * smooth_step(spot.points[1], 15, 35)
        return palette.fat + 120 * vessels + 4 * spot.lumps

    return tissue


def _layered_wall(palette: Palette, inner: Solid, thickness: float) -> Tissue:
    """Three sheets of muscle with thin fat between them at the flanks."""

    def tissue(spot: Spot) -> Field:
        sheet = inner.distance(spot.points) * (3 / thickness)
        seam = smooth_step(np.abs(sheet - np.round(sheet)), 0.16, 0.06) * (np.abs(spot.points[0]) > 60)
        return palette["muscle"] + 5 * spot.grain - 80 * seam * smooth_step(spot.lumps, -0.6, 0.8)

    return tissue


def _skin(palette: Palette) -> Tissue:
    """Subcutaneous fat under about 2 mm of skin."""
    return lambda spot: palette.fat + (20 - palette.fat) * smooth_step(spot.depth, 2.6, 1.2)


def _cylinder(half_width: float, back: float, front: float, power: float) -> Solid:
    """Upright superelliptic cylinder; distances are measured along the ray from its axis."""
    middle, half_depth = (front + back) / 2, (front - back) / 2

    def distance(points: Points) -> Field:
        x, y = points[0], points[1] - middle
        level = ((np.abs(x) / half_width) ** power + (np.abs(y) / half_depth) ** power) ** (1 / power)
        return np.sqrt(x * x + y * y) * (1 - 1 / np.maximum(level, np.float32(1e-3)))

    return Solid((np.array([-half_width, back, -np.inf]), np.array([half_width, front, np.inf])), distance)
