"""What lies behind everything else: fat between the organs, the wall's muscles, skin, and arms beside the body."""

import numpy as np

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.canvas import Canvas, Spot, Tissue
from autosam_platform.data.phantom.patient import Patient
from autosam_platform.data.phantom.shapes import Field, Solid, smooth_step, tube
from autosam_platform.data.phantom.tissue import Palette
from autosam_platform.data.phantom.trunk import Surfaces, Trunk

ASCITES_HU = (0.0, 20.0)
PERITONEUM_MM = -272.0  # its lowest pouch; fat lies below
ARM_GAP_MM = 44.0  # from the skin to the middle of the upper arm


def paint_wall(canvas: Canvas, patient: Patient, trunk: Trunk, bounds: Surfaces) -> None:
    """Fat between the organs, muscle of the wall, subcutaneous fat and skin; the bones are there already."""
    palette = patient.palette
    fluid = float(patient.rng.uniform(*ASCITES_HU))
    canvas.paint(bounds.cavity, _mesentery(palette, bounds, patient.ascites, fluid), free=True)
    canvas.paint(bounds.wall, _layered_wall(palette, bounds.cavity, trunk.wall), free=True)
    canvas.paint(bounds.skin, _skin(palette), free=True)


def paint_arms(canvas: Canvas, patient: Patient, trunk: Trunk) -> None:
    """Beside the body, where a patient cannot raise them."""
    if not patient.arms_down:
        return
    palette, x = patient.palette, max(trunk.chest, trunk.hips) + ARM_GAP_MM
    for side in (1, -1):
        path = [(side * (x - 6), -30, 260), (side * x, -35, 20), (side * (x + 2), 0, -180), (side * x, 25, -350)]
        canvas.paint(tube(path, [11, 11, 9, 8]), palette.bone(700.0, 3.5), label=Organ.ARM_BONES, free=True)
        canvas.paint(tube(path, [36, 32, 26, 20]), palette.muscle(), free=True)
        canvas.paint(tube(path, [44, 40, 32, 25]), _skin(palette), free=True)


def _mesentery(palette: Palette, bounds: Surfaces, ascites: float, fluid: float) -> Tissue:
    """Fat with small vessels in it where bowel hangs; free fluid along the wall and deep in the pelvis.

    Args:
        ascites: thickness in mm of the layer of free fluid, 0 for none.
        fluid: its HU.
    """

    def tissue(spot: Spot) -> Field:
        vessels = smooth_step(spot.grain, 1.7, 2.5) * smooth_step(spot.points[1], 15, 35)
        fat = palette.fat + 120 * vessels + 4 * spot.lumps
        if not ascites:
            return fat
        y, z = spot.points[1], spot.points[2]
        layer = smooth_step(spot.depth, ascites * 1.3, ascites * 0.7) * smooth_step(y, -45, -30)
        deep = smooth_step(z + 8 * spot.bumps, -170 - 3 * ascites, -190 - 3 * ascites)
        deep = deep * smooth_step(z + 5 * spot.lumps, PERITONEUM_MM - 8, PERITONEUM_MM + 8)
        wet = np.maximum(layer, deep) * smooth_step(bounds.abdomen.distance(spot.points), 0, -2)
        return fat + (fluid - fat) * wet

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
