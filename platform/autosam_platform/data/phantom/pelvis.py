"""What lies between the hip bones: bladder, rectum, prostate with seminal vesicles, or uterus.

Volumes: the prostate is about 20 ml in the young and grows with age (Turkbey et al., BJU International 110 (2012)); the
uterus has 80 g in women of reproductive age (ICRP Publication 89 (2002)) and half of that later; bladders come at
any filling.
"""

import numpy as np
from numpy.typing import ArrayLike

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.canvas import Canvas, Spot, Tissue
from autosam_platform.data.phantom.patient import Patient, near, vec
from autosam_platform.data.phantom.shapes import Field, Solid, ellipsoid, smooth_step, tube, union
from autosam_platform.data.phantom.tissue import content

RECTUM = {"stool": 0.4, "gas": 0.25, "collapsed": 0.3, "fluid": 0.05}
BLADDER_ML = (40.0, 420.0)
URINE_HU = (-2.0, 16.0)


def paint_pelvic_organs(canvas: Canvas, patient: Patient) -> None:
    """Front to back: the gland below the bladder, the rectum in the sacrum's hollow, then what gives way to them."""
    if patient.person.female:
        _paint_vagina(canvas, patient)
    else:
        _paint_prostate(canvas, patient)
    _paint_rectum(canvas, patient)
    if patient.person.female:
        _paint_uterus(canvas, patient)
    _paint_bladder(canvas, patient)
    if not patient.person.female:
        _paint_seminal_vesicles(canvas, patient)


def prostate_ml(age: float, spread: float) -> float:
    """Volume in ml at an age in years; ``spread`` is a standard normal value."""
    return float(np.clip((18 + 0.55 * max(age - 30, 0)) * np.exp(0.28 * spread), 14, 110))


def _paint_prostate(canvas: Canvas, patient: Patient) -> None:
    rng, neck = patient.rng, patient.landmarks.bladder_neck
    radii = np.array([1.16, 0.88, 0.95]) * _radius(prostate_ml(patient.person.age, float(rng.normal())))
    gland = ellipsoid(neck + vec(0, -6, -0.85 * radii[2]), radii, (rng.normal(12, 5), 0, 0))
    tissue = patient.palette.solid("prostate", 6.0)
    canvas.paint(gland, tissue, label=Organ.PROSTATE, gap=0.5, contact=0.6, rough=0.6, halo=0.6, free=True)


def _paint_seminal_vesicles(canvas: Canvas, patient: Patient) -> None:
    at = patient.landmarks.bladder_neck + vec(0, -18, 8)
    for side in (1, -1):
        sac = tube([at + vec(3 * side, 0, -4), at + vec(16 * side, -5, 4), at + vec(30 * side, -8, 9)], [4, 6, 4.5])
        canvas.paint(sac, patient.palette["muscle"] - 20, gap=0.3, lobed=1.0)


def _paint_rectum(canvas: Canvas, patient: Patient) -> None:
    """From the sigmoid along the sacrum, forwards over the pelvic floor, and back down the anal canal."""
    rng, start = patient.rng, patient.landmarks.sigmoid_end
    width = rng.uniform(0.75, 1.3)
    bend, ampulla = near(rng, (4, -50, -226), (5, 2, 4)), near(rng, (0, -38, -264), (4, 3, 4))
    path: list[ArrayLike] = [start, bend, ampulla, (0, -22, -294), (0, -30, -322)]
    radii = np.array([14, 15, 20, 14, 10]) * np.array([width, width, width, 0.5 + 0.5 * width, 1.0])
    gas = float(ampulla[1] + rng.uniform(0, 16)) if rng.random() < 0.5 else None
    tissue = patient.palette.hollow("bowel", 3.5, content(rng, RECTUM), gas_above=gas)
    canvas.paint(tube(path, radii), tissue, label=Organ.RECTUM, gap=0.8, contact=0.8, halo=0.5, lobed=1.0, free=True)


def _paint_bladder(canvas: Canvas, patient: Patient) -> None:
    """A flat tent when empty, nearly a ball when full, behind and above the symphysis."""
    rng, neck, full = patient.rng, patient.landmarks.bladder_neck, patient.landmarks.bladder_full
    volume = BLADDER_ML[0] * (BLADDER_ML[1] / BLADDER_ML[0]) ** full
    shape = np.array([1.28, 1.0, 0.72 + 0.28 * full])
    radii = shape / np.cbrt(shape.prod()) * _radius(volume)
    centre = neck + vec(rng.normal(0, 3), 3 + rng.normal(0, 3), 0.9 * radii[2])
    urine = _urine(patient, centre[1] + float(rng.uniform(-0.9, 0.2)) * float(radii[1]))
    wall = 2.5 + 2.5 * (1 - full) + rng.uniform(0, 1)
    tissue = patient.palette.hollow("bladder_wall", wall, urine)
    canvas.paint(
        ellipsoid(centre, radii, (-10, 0, 0)), tissue, label=Organ.BLADDER, gap=0.5, contact=1.0, halo=0.8, rough=1.5
    )


def _urine(patient: Patient, level: float) -> Tissue:
    """Water; in the late phase contrast has run in and lies at the back, below ``level`` (y in mm)."""
    plain = float(patient.rng.uniform(*URINE_HU))
    bright = float(patient.rng.uniform(120, 700))
    if patient.palette.phase != "late":
        return plain

    def tissue(spot: Spot) -> Field:
        return plain + bright * smooth_step(spot.points[1], level + 3, level - 3)

    return tissue


def _paint_uterus(canvas: Canvas, patient: Patient) -> None:
    """A pear bent over the bladder, the less the fuller that is, and smaller after the menopause."""
    rng, palette = patient.rng, patient.palette
    volume = (80.0 if patient.person.age < 52 else 38.0) * float(np.exp(rng.normal(0, 0.25)))
    size = np.cbrt(volume / 80.0)
    at = patient.landmarks
    neck = at.bladder_neck + vec(rng.normal(0, 3), -19, 18)
    tilt = rng.normal(58 - 48 * at.bladder_full, 10)
    up = vec(np.sin(np.deg2rad(rng.normal(0, 8))), np.sin(np.deg2rad(tilt)), np.cos(np.deg2rad(tilt)))
    middle = neck + up * 42 * size
    womb = union(
        tube([neck, neck + up * 16 * size], np.array([12, 11]) * size),
        tube([neck + up * 16 * size, middle, middle + up * 10 * size], np.array([13, 23, 22]) * size, flatness=1.1),
        blend=6,
    )
    tissue = palette.hollow("uterus", float(15 * size), palette["uterus"] - 35)
    canvas.paint(womb, tissue, label=Organ.UTERUS, gap=0.5, contact=0.8, halo=0.5, rough=0.8)


def _paint_vagina(canvas: Canvas, patient: Patient) -> None:
    neck = patient.landmarks.bladder_neck
    walls: Solid = tube(
        [neck + vec(0, -18, 12), neck + vec(0, -14, -14), neck + vec(0, -8, -42)], [11, 11, 9], flatness=2.2
    )
    canvas.paint(walls, patient.palette["muscle"], gap=0.5, halo=0.8, free=True)


def _radius(volume_ml: float) -> float:
    """Radius in mm of a ball of that volume."""
    return float(np.cbrt(volume_ml * 1000 * 3 / (4 * np.pi)))
