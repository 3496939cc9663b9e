"""Bones, and the muscles that run along the spine."""

import numpy as np

from autosam_platform.data.phantom.canvas import Canvas, Spot, Tissue
from autosam_platform.data.phantom.patient import Patient
from autosam_platform.data.phantom.shapes import (
    EVERYWHERE,
    Field,
    Points,
    Solid,
    column,
    ellipsoid,
    plate,
    smooth_step,
    tube,
)
from autosam_platform.data.phantom.tissue import Palette
from autosam_platform.data.phantom.trunk import Trunk, cavity

VERTEBRA_MM = 34.0  # from one disc to the next
RIB_MM = 27.0  # from one rib to the next
DISC_HU, CORD_HU, CORTEX_HU = 85.0, 28.0, 400.0


def paint_spine(canvas: Canvas, patient: Patient) -> None:
    """Vertebral bodies with discs, the canal, arches and processes."""
    palette, phase = patient.palette, float(patient.rng.uniform(0, VERTEBRA_MM))
    canvas.paint(column((0, -43), (9, 8)), CORD_HU, free=True)
    canvas.paint(_waisted(column((0, -17), (22, 16)), phase), _vertebra(palette, phase), halo=1.5, free=True)
    bone = palette.bone(cortex=CORTEX_HU)
    canvas.paint(_at_levels(column((0, -43), (16, 14)), phase, 9.0), bone, halo=1.0, free=True)
    for half, y, half_height in (((4, 20, 400), -70, 9.0), ((38, 4, 400), -42, 4.0)):
        process = plate((0, y, 0), half, rounding=3)
        canvas.paint(_at_levels(process, phase, half_height), bone, free=True)


def paint_muscles(canvas: Canvas, patient: Patient) -> None:
    """Crura of the diaphragm, psoas, quadratus lumborum and the muscles behind the spine."""
    palette, size = patient.palette, patient.rng.uniform(0.85, 1.15)
    muscle = palette.muscle()
    for side in (1, -1):
        psoas = [(23 * side, -16, 14), (31 * side, -13, -30), (38 * side, -8, -75), (47 * side, 2, -185)]
        crus = [(14 * side, 10, -34), (16 * side, 8, 8), (13 * side + 3, 14, 44), (15 * side + 2, 22, 74)]
        canvas.paint(tube(psoas, np.array([6, 13, 19, 22]) * size), muscle, halo=1.5, free=True)
        canvas.paint(tube(crus, [3, 4, 4.5, 3]), palette["muscle"], halo=1.5)
        canvas.paint(ellipsoid((66 * side, -58, -50), (24 * size, 9, 80)), muscle, halo=1.5, free=True)
        canvas.paint(column((33 * side, -66), (32 * size, 25)), muscle, halo=1.5, free=True)


def paint_ribs(canvas: Canvas, patient: Patient, trunk: Trunk) -> None:
    """Rings in the wall that fall towards the front and end at the costal margin, without cartilage."""
    inner, rng = cavity(trunk), patient.rng
    phase, fall = float(rng.uniform(0, RIB_MM)), float(rng.uniform(0.5, 0.65))

    def distance(points: Points) -> Field:
        x, y, z = points
        ring = z + fall * (y - trunk.back) + phase
        off_ring = _from_level(ring, RIB_MM)
        off_sheet = inner.distance(points) - 5.5
        rib = np.sqrt((off_ring * 0.55) ** 2 + off_sheet**2) - 3.6
        margin = np.maximum(0.65 * (y - trunk.back) - 8 - z, 48 - np.abs(x) - 0.4 * y)
        return np.maximum(rib, margin)

    ribs = Solid((np.array([-np.inf, -np.inf, -20]), EVERYWHERE[1]), distance)
    canvas.paint(ribs, patient.palette.bone(cortex=360.0, thickness=1.8), free=True)


def _vertebra(palette: Palette, phase: float) -> Tissue:
    """Marrow in a dense shell with end plates, discs between."""

    def tissue(spot: Spot) -> Field:
        from_disc = _from_level(spot.points[2] - phase, VERTEBRA_MM)
        shell = np.maximum(smooth_step(spot.depth, 3.0, 1.5), smooth_step(from_disc, 6.5, 5.0))
        bone = palette.marrow + 25 * spot.grain + (CORTEX_HU - palette.marrow) * shell
        return DISC_HU + (bone - DISC_HU) * smooth_step(from_disc, 2.5, 4.0)

    return tissue


def _waisted(solid: Solid, phase: float) -> Solid:
    """``solid`` drawn in by up to 1.5 mm between the discs."""

    def distance(points: Points) -> Field:
        return solid.distance(points) + 0.11 * np.minimum(_from_level(points[2] - phase, VERTEBRA_MM), 14)

    return Solid(solid.bounds, distance)


def _at_levels(solid: Solid, phase: float, half_height: float) -> Solid:
    """The parts of ``solid`` within ``half_height`` mm of the middle of each vertebra."""

    def distance(points: Points) -> Field:
        from_middle = VERTEBRA_MM / 2 - _from_level(points[2] - phase, VERTEBRA_MM)
        return np.maximum(solid.distance(points), from_middle - half_height)

    return Solid(solid.bounds, distance)


def _from_level(height: Field, period: float) -> Field:
    """Distance to the nearest multiple of ``period``, mm."""
    return np.abs(height - period * np.round(height / period))
