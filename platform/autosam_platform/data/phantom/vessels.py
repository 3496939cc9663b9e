"""Aorta, vena cava, portal and splenic veins, and the branches that BTCV leaves without a label."""

import numpy as np

from autosam_platform.data.phantom.canvas import Canvas
from autosam_platform.data.phantom.patient import Organ, Patient, near, vec
from autosam_platform.data.phantom.shapes import tube, union


def paint_vessels(canvas: Canvas, patient: Patient) -> None:
    """All vessels, arteries first."""
    _paint_aorta(canvas, patient)
    _paint_arteries(canvas, patient)
    _paint_cava(canvas, patient)
    _paint_portal(canvas, patient)
    _paint_renal_and_mesenteric_veins(canvas, patient)
    _paint_hepatic_veins(canvas, patient)


def _paint_aorta(canvas: Canvas, patient: Patient) -> None:
    """Down in front of the spine, left of the middle, to where it divides."""
    x, size = patient.aorta_x, patient.rng.uniform(0.85, 1.2)
    path = [(-24, -20, 190), (-13, 6, 92), (x, 14, 50), (x, 15, 0), (x + 3, 15, -60), (-4, 15, -92)]
    solid = tube(path, np.array([11, 11, 10.5, 9.5, 9, 8]) * size)
    canvas.paint(solid, patient.palette.solid("aorta", 3.0), label=Organ.AORTA, halo=1.0, free=True)


def _paint_arteries(canvas: Canvas, patient: Patient) -> None:
    """Superior mesenteric, hepatic, iliac and renal arteries."""
    x, at, blood = patient.aorta_x, patient.landmarks, patient.palette.solid("aorta", 3.0)
    mesenteric = tube([(x + 1, 22, 12), (x + 3, 34, 0), (-4, 38, -35), (2, 44, -90)], [3.2, 3.2, 3, 2.2])
    canvas.paint(mesenteric, blood, halo=2.0)
    hepatic = tube([(x + 1, 20, 24), (x + 3, 36, 26), at.liver_hilum + vec(-10, 6, -10)], [3, 2.6, 2])
    canvas.paint(hepatic, blood, halo=1.0)
    for side, kidney in ((1, at.right_kidney), (-1, at.left_kidney)):
        iliac = tube([(-4, 15, -90), (12 * side, 14, -112), (34 * side, 10, -180)], [6.5, 5.5, 5])
        canvas.paint(iliac, blood, halo=1.0, free=True)
        renal = tube([(x + 1, 10, -6), (20 * side, 4, -8), kidney + vec(-16 * side, 8, 0)], [2.4, 2.2, 2])
        canvas.paint(renal, blood)


def _paint_cava(canvas: Canvas, patient: Patient) -> None:
    """Up in front of the spine, right of the middle, behind the liver and through the diaphragm."""
    rng, middle = patient.rng, [(17, 15, -95), (20, 14, -50), (22, 14, 0), (25, 18, 40), (24, 26, 80)]
    path = [near(rng, point, (2, 1.5, 0)) for point in [*middle, (20, 34, 104), (14, 40, 124)]]
    solid = tube(path, np.full(len(path), rng.uniform(9.0, 12.5)), flatness=rng.uniform(1.0, 1.5))
    blood = patient.palette.solid("cava", 9.0)
    canvas.paint(solid, blood, label=Organ.CAVA, gap=0.5, contact=1.0, halo=0.5, free=True)


def _paint_portal(canvas: Canvas, patient: Patient) -> None:
    """Splenic vein from spleen to confluence, portal vein from there to the liver, two branches in it."""
    rng, at = patient.rng, patient.landmarks
    size, bend = rng.uniform(0.9, 1.2), near(rng, (-32, 22, 20), (4, 4, 6))
    join, hilum = at.confluence, at.liver_hilum
    parts = (
        tube([at.splenic_hilum, bend, join + vec(-14, 0, 4), join], np.array([3.4, 4, 4.6, 6]) * size),
        tube([join, (join + hilum) / 2 + vec(3, 1, -2), hilum], np.array([6.4, 6.8, 6.6]) * size),
        tube([hilum, hilum + vec(16, -5, 7), hilum + vec(36, -10, 14)], np.array([6, 5, 3]) * size),
        tube([hilum, hilum + vec(-10, 12, 9), hilum + vec(-16, 28, 14)], np.array([5, 4.4, 3]) * size),
    )
    blood = patient.palette.solid("portal", 3.0)
    canvas.paint(union(*parts, blend=4), blood, label=Organ.PORTAL, gap=1.0, halo=0.5)


def _paint_renal_and_mesenteric_veins(canvas: Canvas, patient: Patient) -> None:
    rng, at, palette = patient.rng, patient.landmarks, patient.palette
    join = at.confluence
    foot = near(rng, (10, 42, -95), (6, 5, 0))
    mesenteric = tube([join + vec(0, 0, -5), join + vec(1, 2, -40), foot], [5.5, 5, 3.5])
    canvas.paint(mesenteric, palette.solid("portal", 3.0), gap=0.5, halo=1.0)
    left = tube([at.left_kidney + vec(16, 8, 2), (-22, 20, -4), (0, 29, -6), (18, 18, -6)], [4, 4, 3.4, 4])
    right = tube([at.right_kidney + vec(-16, 8, 2), (30, 10, -12), (22, 14, -10)], [4, 4, 4])
    for renal in (left, right):
        canvas.paint(renal, palette.solid("cava"), gap=0.5)


def _paint_hepatic_veins(canvas: Canvas, patient: Patient) -> None:
    """Three veins that fan out from the cava under the dome; annotators count them to the liver."""
    palette, root = patient.palette, vec(24, 28, 86)
    blood = 0.6 * palette["cava"] + 0.4 * palette["liver"]
    for tip in (vec(92, 0, 66), vec(66, 58, 62), vec(-8, 62, 66)):
        end = near(patient.rng, tip, (8, 8, 8))
        vein = tube([root, (root + tip) / 2 + vec(0, 0, 5), end], [4.5, 3.6, 1.5])
        canvas.paint(vein, blood, label=Organ.LIVER, gap=0.0)
