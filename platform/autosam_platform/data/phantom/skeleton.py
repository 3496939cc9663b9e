"""Spine and ribs."""

import numpy as np

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.canvas import Canvas, Spot, Tissue
from autosam_platform.data.phantom.patient import Patient
from autosam_platform.data.phantom.shapes import (
    Field,
    Points,
    Solid,
    column,
    cut,
    half_space,
    plate,
    smooth_step,
    tube,
)
from autosam_platform.data.phantom.tissue import Palette
from autosam_platform.data.phantom.trunk import RIBCAGE, Surfaces, Trunk, interpolated

VERTEBRA_MM, CHEST_VERTEBRA_MM = 34.0, 26.0  # from one disc to the next below and above CHEST_MM
CHEST_MM = 15.0
SACRUM_MM = -155.0  # the last disc
RIB_MM = 27.0  # from one rib to the next
DISC_HU, CORD_HU, CORTEX_HU = 85.0, 28.0, 400.0
_CURVE_MM = [-190.0, -155, -95, -20, 60, 140, 240], [-3.0, 1, 5, 0, -4, -12, -18]
"""Heights, and how far forwards the spine is there: the hollow of the loins, the hump of the chest."""


def paint_spine(canvas: Canvas, patient: Patient) -> None:
    """Vertebral bodies with discs down to the sacrum, the canal, arches and processes."""
    palette, jitter = patient.palette, float(patient.rng.normal(0, 4))
    end = half_space((0, 0, SACRUM_MM + jitter - 3), (0, 0, -1))
    canvas.paint(_spinal(column((0, -43), (9, 8)), cut_at=-250), CORD_HU, free=True)
    body = cut(_waisted(column((0, -17), (22, 16)), jitter), end)
    canvas.paint(_spinal(body), _vertebra(palette, jitter), label=Organ.SPINE, halo=1.5, free=True)
    bone = palette.bone(cortex=CORTEX_HU)
    arch = cut(_at_levels(column((0, -43), (16, 14)), jitter, 9.0), end)
    canvas.paint(_spinal(arch), bone, label=Organ.SPINE, halo=1.0, free=True)
    for half, y, half_height in (((4, 20, 400), -70, 9.0), ((38, 4, 400), -42, 4.0)):
        process = cut(_at_levels(plate((0, y, 0), half, rounding=3), jitter, half_height), end)
        canvas.paint(_spinal(process), bone, label=Organ.SPINE, free=True)


def paint_ribs(canvas: Canvas, patient: Patient, trunk: Trunk, bounds: Surfaces) -> None:
    """Rings in the wall that fall towards the front and end at the costal margin, without cartilage; the sternum."""
    rng = patient.rng
    phase, fall = float(rng.uniform(0, RIB_MM)), float(rng.uniform(0.5, 0.65))

    def distance(points: Points) -> Field:
        x, y, z = points
        ring = z + fall * (y - trunk.back) + phase
        off_ring = _from_level(ring, RIB_MM)
        off_sheet = bounds.cavity.distance(points) - 5.5
        rib = np.sqrt((off_ring * 0.55) ** 2 + off_sheet**2) - 3.6
        margin = np.maximum(0.65 * (y - trunk.back) - 8 - z, 48 - np.abs(x) - 0.4 * y)
        return np.maximum(rib, margin)

    canvas.paint(
        Solid(RIBCAGE, distance), patient.palette.bone(cortex=360.0, thickness=1.8), label=Organ.RIBS, free=True
    )
    front = trunk.front + 2
    sternum = tube([(0, front - 2, 112), (0, front - 8, 165), (0, front - 24, 240)], [9, 14, 16], flatness=2.2)
    canvas.paint(sternum, patient.palette.bone(cortex=300.0, thickness=1.6), label=Organ.STERNUM, free=True)


def curve(z: Field) -> Field:
    """How far forwards the spine is at the height ``z``, mm."""
    return interpolated(z, *_CURVE_MM)


def _spinal(solid: Solid, cut_at: float = -np.inf) -> Solid:
    """``solid`` along the curve of the spine."""
    low, high = (np.array(bound, float) for bound in solid.bounds)
    low[1], high[1] = low[1] + min(_CURVE_MM[1]), high[1] + max(_CURVE_MM[1])
    low[2] = max(low[2], cut_at)

    def distance(points: Points) -> Field:
        bent = solid.distance((points[0], points[1] - curve(points[2]), points[2]))
        return np.maximum(bent, cut_at - points[2]) if np.isfinite(cut_at) else bent

    return Solid((low, high), distance)


def _height(z: Field, jitter: float) -> Field:
    """Heights counted so that all vertebrae are VERTEBRA_MM high and discs lie at multiples of it."""
    chest = np.maximum(z - CHEST_MM, 0) * (VERTEBRA_MM / CHEST_VERTEBRA_MM)
    return np.minimum(z, CHEST_MM) + chest - (SACRUM_MM + jitter)


def _vertebra(palette: Palette, jitter: float) -> Tissue:
    """Marrow in a dense shell with end plates, discs between."""

    def tissue(spot: Spot) -> Field:
        from_disc = _from_level(_height(spot.points[2], jitter), VERTEBRA_MM)
        shell = np.maximum(smooth_step(spot.depth, 3.0, 1.5), smooth_step(from_disc, 6.5, 5.0))
        bone = palette.marrow + 25 * spot.grain + (CORTEX_HU - palette.marrow) * shell
        return DISC_HU + (bone - DISC_HU) * smooth_step(from_disc, 2.5, 4.0)

    return tissue


def _waisted(solid: Solid, jitter: float) -> Solid:
    """``solid`` drawn in by up to 1.5 mm between the discs."""

    def distance(points: Points) -> Field:
        return solid.distance(points) + 0.11 * np.minimum(_from_level(_height(points[2], jitter), VERTEBRA_MM), 14)

    return Solid(solid.bounds, distance)


def _at_levels(solid: Solid, jitter: float, half_height: float) -> Solid:
    """The parts of ``solid`` within ``half_height`` mm of the middle of each vertebra."""

    def distance(points: Points) -> Field:
        from_middle = VERTEBRA_MM / 2 - _from_level(_height(points[2], jitter), VERTEBRA_MM)
        return np.maximum(solid.distance(points), from_middle - half_height)

    return Solid(solid.bounds, distance)


def _from_level(height: Field, period: float) -> Field:
    """Distance to the nearest multiple of ``period``, mm."""
    return np.abs(height - period * np.round(height / period))
