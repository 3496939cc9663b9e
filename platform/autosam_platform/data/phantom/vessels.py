"""Aorta, vena cava, portal and splenic veins, and the branches that no data set labels, down to the thighs."""

import numpy as np
from numpy.typing import ArrayLike

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.canvas import Canvas, Spot, Tissue
from autosam_platform.data.phantom.patient import Patient, Vector, near, vec
from autosam_platform.data.phantom.shapes import Field, smooth_step, tube, union


def paint_vessels(canvas: Canvas, patient: Patient) -> None:
    """All vessels, arteries first."""
    _paint_aorta(canvas, patient)
    _paint_arteries(canvas, patient)
    _paint_iliac_vessels(canvas, patient)
    _paint_cava(canvas, patient)
    _paint_portal(canvas, patient)
    _paint_renal_and_mesenteric_veins(canvas, patient)
    _paint_hepatic_veins(canvas, patient)


def _paint_aorta(canvas: Canvas, patient: Patient) -> None:
    """Down in front of the spine, left of the middle, to where it divides; with age its wall is calcified in places."""
    rng, x, size = patient.rng, patient.landmarks.aorta_x, patient.rng.uniform(0.85, 1.2)
    path = [(-20, -30, 250), (-24, -22, 190), (-13, 4, 92), (x, 14, 50), (x, 16, 0), (x + 3, 18, -60), (-4, 18, -92)]
    solid = tube(path, np.array([12, 11.5, 11, 10.5, 9.5, 9, 8]) * size)
    chalk = float(np.clip((patient.person.age - 52) / 40 + rng.normal(0, 0.3), 0, 1))
    tissue = _calcified(patient.palette.solid("aorta", 3.0), chalk)
    canvas.paint(solid, tissue, label=Organ.AORTA, halo=1.0, free=True)


def _calcified(blood: Tissue, chalk: float) -> Tissue:
    """Plaques of 350-900 HU in the outer 2 mm, more of them with ``chalk`` from 0 to 1."""

    def tissue(spot: Spot) -> Field:
        hu = np.asarray(blood(spot) if callable(blood) else np.full_like(spot.depth, blood))
        plaque = smooth_step(spot.lumps, 2.6 - 1.9 * chalk, 3.2 - 1.9 * chalk) * smooth_step(spot.depth, 2.6, 1.6)
        return hu + (650 + 100 * spot.grain - hu) * plaque * (chalk > 0)

    return tissue


def _paint_arteries(canvas: Canvas, patient: Patient) -> None:
    """Superior mesenteric, hepatic and renal arteries."""
    x, at, blood = patient.landmarks.aorta_x, patient.landmarks, patient.palette.solid("aorta", 3.0)
    mesenteric = tube([(x + 1, 22, 12), (x + 3, 34, 0), (-4, 38, -35), (2, 44, -90)], [3.2, 3.2, 3, 2.2])
    canvas.paint(mesenteric, blood, halo=2.0)
    hepatic = tube([(x + 1, 20, 24), (x + 3, 36, 26), at.liver_hilum + vec(-10, 6, -10)], [3, 2.6, 2])
    canvas.paint(hepatic, blood, halo=1.0)
    for side, kidney in _kidneys(patient):
        renal = tube([(x + 1, 10, -6), (20 * side, 4, -8), kidney + vec(-16 * side, 8, 0)], [2.4, 2.2, 2])
        canvas.paint(renal, blood)


def _paint_iliac_vessels(canvas: Canvas, patient: Patient) -> None:
    """Common, external and internal iliac arteries and veins, on to the vessels of the thigh."""
    palette = patient.palette
    blood, spent = palette.solid("aorta", 3.0), palette.solid("iliac_vein", 6.0)
    for side in (1, -1):
        outer = [(-4, 18, -90), (14 * side, 18, -116), (34 * side, 8, -150), (55 * side, 26, -208)]
        outer += [(64 * side, 56, -262), (70 * side, 52, -310), (76 * side, 34, -380)]
        canvas.paint(tube(outer, [7, 6, 5.5, 5, 4.8, 4.5, 4]), blood, halo=1.0, free=True)
        inner = [(34 * side, 6, -150), (44 * side, -24, -180), (50 * side, -38, -222)]
        canvas.paint(tube(inner, [4.5, 4, 3]), blood, halo=1.0, free=True)
        vein = [(17, 12, -98), (18 * side + 4, 4, -124), (36 * side, -4, -154), (50 * side, 14, -210)]
        vein += [(54 * side, 50, -264), (62 * side, 46, -310), (74 * side, 24, -380)]
        canvas.paint(tube(vein, [8, 7, 6.5, 6, 6, 5.5, 5]), spent, gap=0.3, halo=0.8, free=True)
        inner_vein = [(36 * side, -6, -154), (40 * side, -32, -184), (46 * side, -44, -222)]
        canvas.paint(tube(inner_vein, [5.5, 5, 3.5]), spent, gap=0.3, halo=0.5, free=True)


def _kidneys(patient: Patient) -> list[tuple[int, Vector]]:
    """Side and middle of the kidneys that there are."""
    at = patient.landmarks
    both = ((1, at.right_kidney, Organ.RIGHT_KIDNEY), (-1, at.left_kidney, Organ.LEFT_KIDNEY))
    return [(side, middle) for side, middle, organ in both if organ not in patient.missing]


def _paint_cava(canvas: Canvas, patient: Patient) -> None:
    """Up in front of the spine, right of the middle, behind the liver and through the diaphragm."""
    rng, middle = patient.rng, [(17, 15, -98), (20, 16, -50), (22, 15, 0), (25, 18, 40), (24, 26, 80)]
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
    paths: dict[int, list[ArrayLike]] = {-1: [at.left_kidney + vec(16, 8, 2), (-22, 22, -4), (0, 30, -6), (18, 18, -6)]}
    paths[1] = [at.right_kidney + vec(-16, 8, 2), (30, 10, -12), (22, 14, -10)]
    for side, _ in _kidneys(patient):
        canvas.paint(tube(paths[side], [4, 4, 3.4, 4][: len(paths[side])]), palette.solid("cava"), gap=0.5)


def _paint_hepatic_veins(canvas: Canvas, patient: Patient) -> None:
    """Three veins that fan out from the cava under the dome; annotators count them to the liver."""
    palette, root = patient.palette, vec(24, 28, 86)
    blood = 0.6 * palette["cava"] + 0.4 * palette["liver"]
    for tip in (vec(92, 0, 66), vec(66, 58, 62), vec(-8, 62, 66)):
        end = near(patient.rng, tip, (8, 8, 8))
        vein = tube([root, (root + tip) / 2 + vec(0, 0, 5), end], [4.5, 3.6, 1.5])
        canvas.paint(vein, blood, label=Organ.LIVER, gap=0.0)
