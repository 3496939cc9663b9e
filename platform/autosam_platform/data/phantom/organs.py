"""The upper abdomen's organs that are no vessels, each as a solid with its tissue.

Their volumes are those of Geraghty et al., Abdominal Imaging 29 (2004) 482: means of women and men are 1411 and
1710 ml for the liver, 180 and 238 for the spleen, 157 and 193 for a kidney, 64 and 87 for the pancreas, 4.4 and more
for an adrenal gland. The tests hold the medians of phantoms against them.
"""

import numpy as np

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.canvas import Canvas
from autosam_platform.data.phantom.lesions import draw_lesions
from autosam_platform.data.phantom.patient import HEPATIC_CYSTS, METASTASES, RENAL_CYSTS, Patient, Vector, near, vec
from autosam_platform.data.phantom.shapes import (
    Solid,
    cut,
    ellipsoid,
    half_space,
    plate,
    tube,
    union,
    without,
)
from autosam_platform.data.phantom.tissue import CYST, content, with_spots


def paint_esophagus(canvas: Canvas, patient: Patient) -> None:
    """From behind the heart, in front of the aorta, through the diaphragm into the stomach's cardia."""
    rng, palette, cardia = patient.rng, patient.palette, patient.landmarks.cardia
    upper = [vec(-2, -14, 250), near(rng, (0, 2, 190), (3, 2, 0)), near(rng, (-4, 20, 112), (3, 2, 2))]
    radii = np.array([8, 8, 8.5, 8, 9]) * rng.uniform(0.85, 1.2)
    gas = float(rng.normal(26, 4)) if rng.random() < 0.3 else None
    canvas.paint(
        tube([*upper, (-9, 26, 94), cardia + vec(2, 0, 4)], radii, flatness=1.25),
        palette.hollow("esophagus", 4.0, palette["esophagus"] - 6, gas_above=gas),
        label=Organ.ESOPHAGUS,
        gap=0.8,
        contact=0.8,
        halo=0.8,
        free=True,
    )


def paint_adrenals(canvas: Canvas, patient: Patient) -> None:
    """Two thin limbs each that meet in a ridge, above and in front of the kidneys."""
    rng, at = patient.rng, patient.landmarks
    for label, place, kidney_shift, angles in (
        (Organ.RIGHT_ADRENAL, (33, -2, 46), at.right_kidney[2] + 22, (2.0, 42.0)),
        (Organ.LEFT_ADRENAL, (-33, 2, 40), at.left_kidney[2] + 10, (8.0, -46.0)),
    ):
        ridge = near(rng, place, (2.5, 2.5, 4)) + vec(0, 0, 0.35 * kidney_shift)
        limbs = union(*(_limb(rng, ridge, angle + rng.normal(0, 7)) for angle in angles), blend=2.5)
        tissue = patient.palette.solid("adrenal")
        canvas.paint(limbs, tissue, label=label, gap=1.2, contact=0.4, halo=1.6)


def _limb(rng: np.random.Generator, ridge: Vector, degrees: float) -> Solid:
    """A leaf 5-6 mm thick that runs backwards from ``ridge``, turned by ``degrees`` about the body's axis."""
    thickness, length, height = rng.uniform((5.0, 17, 21), (6.2, 24, 30))
    angle = np.deg2rad(degrees)
    middle = ridge + length / 2 * vec(np.sin(angle), -np.cos(angle), 0)
    return plate(middle, (thickness / 2, length / 2, height / 2), (0, 0, degrees), rounding=2.2)


def paint_kidneys(canvas: Canvas, patient: Patient) -> None:
    """Beans whose hilum opens inwards and forwards, with the fat and the pelvis of the sinus in it, and cysts."""
    rng, at = patient.rng, patient.landmarks
    urine, shared = patient.palette["urine_in_kidney"], rng.normal(1.0, 0.06)
    for label, centre, side in (
        (Organ.RIGHT_KIDNEY, at.right_kidney, 1),
        (Organ.LEFT_KIDNEY, at.left_kidney, -1),
    ):
        size = shared * rng.uniform(0.92, 1.1)
        tilt = vec(rng.normal(-9, 5), rng.normal(-11, 4) * side, rng.normal(0, 8))
        bean = ellipsoid(centre, np.array([30, 28, 55]) * size * rng.normal(1, 0.05, 3), tilt)
        inward, opening = vec(-side * np.cos(0.6), np.sin(0.6), 0), tilt + vec(0, 0, -34 * side)
        sinus = ellipsoid(centre + 18 * size * inward, np.array([14, 8, 18]) * size, opening)
        pelvis = ellipsoid(centre + (18 * size - 2) * inward, np.array([8, 3.5, 10]) * size, opening)
        cysts = draw_lesions(rng, RENAL_CYSTS / 2, centre, (22, 20, 42), (4, 16), CYST)
        bulges = [ellipsoid(middle, np.full(3, radius)) for middle, radius, _ in cysts]
        solid = union(without(bean, sinus, blend=5), *bulges, blend=2)
        if label in patient.missing:
            continue
        canvas.paint(pelvis, urine + rng.uniform(-4, 12), gap=0.0)
        tissue = with_spots(patient.palette.kidney(), cysts)
        canvas.paint(solid, tissue, label=label, gap=1.5, contact=1.0, halo=2.5, rough=0.8)


def paint_pancreas(canvas: Canvas, patient: Patient) -> None:
    """Head in the duodenum's loop, neck over the confluence, body and tail along the splenic vein."""
    rng, at = patient.rng, patient.landmarks
    head, body = near(rng, (34, 24, -12), (4, 4, 6)), near(rng, (-22, 38, 16), (4, 4, 6))
    tail = at.splenic_hilum + vec(12, 8, -4)
    neck, before_tail = at.confluence + vec(0, 11, 3), (body + tail) / 2 + vec(0, 2, 3)
    radii = np.array([10.5, 18, 12.5, 12.5, 12, 11]) * rng.uniform(0.88, 1.14)
    canvas.paint(
        tube([head + vec(-6, -6, -16), head, neck, body, before_tail, tail], radii),
        patient.palette.pancreas(fatty=float(rng.uniform(0, 0.55))),
        label=Organ.PANCREAS,
        gap=-0.5,
        contact=0.8,
        halo=1.2,
        lobed=1.0,
    )


def paint_gallbladder(canvas: Canvas, patient: Patient) -> None:
    """A pear under the liver, if the patient still has it."""
    rng, palette, middle = patient.rng, patient.palette, patient.landmarks.gallbladder
    radii = np.array([14, 13, 6]) * rng.uniform(0.75, 1.2)
    pear = tube([middle + vec(3, 10, -12), middle, middle + vec(-9, -15, 20)], radii)
    stones = draw_lesions(rng, 0.1, middle + vec(3, 8, -12), (5, 5, 4), (3, 7), float(rng.uniform(70, 320)))
    tissue = with_spots(palette.hollow("muscle", 1.0, palette["gallbladder"]), stones)
    if Organ.GALLBLADDER not in patient.missing:
        canvas.paint(pear, tissue, label=Organ.GALLBLADDER, gap=1.0, halo=0.3, rough=0.5)


def paint_spleen(canvas: Canvas, patient: Patient) -> None:
    """A crescent along the left wall, hollow towards stomach and kidney."""
    rng, centre = patient.rng, patient.landmarks.spleen
    radii = np.array([44, 56, 62]) * rng.uniform(0.86, 1.08) * rng.normal(1, 0.06, 3)
    degrees = rng.normal((18, -6, 20), 7)
    hollow = ellipsoid(centre + vec(41, 36, -4), rng.uniform(0.82, 1.02) * vec(34, 46, 56), degrees)
    solid = without(ellipsoid(centre, radii, degrees), hollow, blend=10)
    tissue = patient.palette.spleen()
    if Organ.SPLEEN not in patient.missing:
        canvas.paint(solid, tissue, label=Organ.SPLEEN, gap=1.5, contact=1.6, halo=0.5, rough=1.2)


def paint_stomach(canvas: Canvas, patient: Patient) -> None:
    """Fundus under the left dome, body, antrum and pylorus, with a meal and a bubble of gas."""
    rng, cardia = patient.rng, patient.landmarks.cardia
    fill, drop = rng.uniform(0.66, 1.08), rng.normal(0, 14)
    fundus, body = cardia + near(rng, (-42, -12, 2), (5, 7, 4)), near(rng, (-58, 46, 42), (8, 6, 8))
    antrum = near(rng, (-22, 66, 2), (9, 6, 6)) + vec(0, 0, drop)
    path = [fundus, body, (body + antrum) / 2 + vec(-8, 6, -6), antrum, patient.landmarks.pylorus]
    sac = tube(path, [15 + 23 * fill, 30 * fill, 25 * fill, 20 * fill, 10])
    neck = tube([cardia, fundus + vec(6, 4, 0)], [9, 16])
    meal = content(rng, {"fluid": 0.45, "food": 0.25, "collapsed": 0.15, "oral_contrast": 0.15})
    bubble = float(body[1] + rng.uniform(0, 26)) if rng.random() < 0.75 else None
    canvas.paint(
        union(sac, neck, blend=10),
        patient.palette.hollow("stomach", float(rng.uniform(3.5, 6)), meal, gas_above=bubble),
        label=Organ.STOMACH,
        gap=1.0,
        contact=1.6,
        halo=0.5,
        rough=1.2,
        lobed=0.5,
    )


def paint_liver(canvas: Canvas, patient: Patient) -> None:
    """All under the right dome above an oblique visceral surface, and a left lobe of varying reach."""
    rng, at = patient.rng, patient.landmarks
    lower = half_space(at.visceral, vec(-0.62, -0.34, -0.70) + rng.normal(0, 0.05, 3))
    right = cut(ellipsoid((62, 14, 20), (110, 120, rng.uniform(92, 118))), lower, blend=16)
    radii = np.array([36, 28, 15]) * rng.uniform(0.85, 1.15)
    left = tube([(40, 50, 56), (2, 64, 58), (rng.uniform(-64, -22), 60, 66)], radii)
    turned = (0, 0, rng.normal(-12, 6))
    fissure = plate(at.liver_hilum + vec(-18, 40, -6), (1.6, 30, 22), turned, rounding=1.5)
    solid = without(union(right, left, blend=18), fissure, blend=4)
    cysts = draw_lesions(rng, HEPATIC_CYSTS, vec(62, 18, 26), (46, 46, 46), (3, 17), CYST)
    tumours = draw_lesions(rng, METASTASES, vec(62, 18, 26), (46, 46, 46), (5, 22), patient.palette["metastasis"])
    tissue = with_spots(patient.palette.solid("liver", 3.0), [*cysts, *tumours])
    canvas.paint(solid, tissue, label=Organ.LIVER, gap=0.4, contact=1.2, halo=0.5, rough=1.2)
