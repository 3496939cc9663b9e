"""Muscles along the spine, of hips and thighs."""

import numpy as np
from numpy.typing import ArrayLike

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.canvas import Canvas
from autosam_platform.data.phantom.hips import JOINT_YZ
from autosam_platform.data.phantom.patient import Patient, Vector, vec
from autosam_platform.data.phantom.shapes import (
    EVERYWHERE,
    Solid,
    column,
    cut,
    ellipsoid,
    half_space,
    plate,
    tube,
    union,
)
from autosam_platform.data.phantom.trunk import Surfaces, Trunk


def paint_back(canvas: Canvas, patient: Patient) -> None:
    """Crura of the diaphragm, quadratus lumborum and the muscles behind the spine."""
    palette, size = patient.palette, patient.rng.uniform(0.85, 1.15)
    muscle = palette.muscle()
    for side in (1, -1):
        crus = [(14 * side, 12, -34), (16 * side, 8, 8), (13 * side + 3, 12, 44), (15 * side + 2, 20, 74)]
        canvas.paint(tube(crus, [3, 4, 4.5, 3]), palette["muscle"], halo=1.5)
        canvas.paint(ellipsoid((64 * side, -52, -50), (24 * size, 9, 66)), muscle, halo=1.5, free=True)
        behind = cut(column((33 * side, -66), (32 * size, 25)), half_space((0, 0, -212), (0, 0, -1)), blend=30)
        canvas.paint(behind, muscle, halo=1.5, free=True)


def paint_hip_muscles(canvas: Canvas, patient: Patient, trunk: Trunk, bounds: Surfaces) -> None:
    """Psoas and iliacus to the lesser trochanter, glutei, and what fills the pelvis's wall and the thigh."""
    palette, rng = patient.palette, patient.rng
    size = rng.uniform(0.88, 1.12) * (0.93 if patient.person.female else 1.0)
    muscle = palette.muscle()
    under_skin = Solid(EVERYWHERE, lambda points: bounds.skin.distance(points) + (4 + 0.3 * trunk.fat))
    for side in (1, -1):
        head = vec(side * trunk.spread, *JOINT_YZ)
        canvas.paint(_psoas(head, side, size), muscle, label=Organ.PSOAS, gap=0.0, halo=1.5, free=True)
        for solid in _glutei(head, side, size):
            canvas.paint(
                cut(solid, under_skin, blend=6), muscle, label=Organ.GLUTEI, gap=0.3, contact=0.8, halo=1.0, free=True
            )
        for solid in _deep(head, side, size) + _thigh(head, side, size):
            canvas.paint(cut(solid, under_skin, blend=6), muscle, gap=0.3, contact=0.8, halo=1.0, free=True)


def _psoas(head: Vector, side: int, size: float) -> Solid:
    """Psoas beside the spine, joined by the iliacus on the inside of the ilium's wing."""
    path: list[ArrayLike] = [(23 * side, -16, 14), (31 * side, -13, -30), (38 * side, -8, -75), (45 * side, -2, -130)]
    path += [(56 * side, 16, -190), head + vec(-side * 12, 26, 18), head + vec(side * 14, 8, -44)]
    psoas = tube(path, np.array([6, 13, 19, 21, 18, 16, 9]) * size)
    iliacus = plate(vec(side * 76, 2, -172), (8, 46, 48), (0, 16 * side, -37 * side), rounding=7)
    return union(psoas, iliacus, blend=10)


def _glutei(head: Vector, side: int, size: float) -> tuple[Solid, ...]:
    """Maximus behind, medius and minimus outside the wing."""
    broad = ellipsoid((side * 76, -84, -226), np.array([60, 24 * size, 62]), (-8, 0, 24 * side))
    insertion = tube([head + vec(side * 22, -62, -10), head + vec(side * 44, -34, -58)], np.array([24, 14]) * size)
    maximus = union(broad, insertion, blend=16)
    fan = ellipsoid((side * 116, -18, -176), np.array([22 * size, 52, 54]), (0, 12 * side, -34 * side))
    tendon = tube([head + vec(side * 40, -4, 26), head + vec(side * 48, -14, -6)], np.array([18, 9]) * size)
    medius = union(fan, tendon, blend=16)
    front = tube([(side * 126, 22, -172), head + vec(side * 46, 34, 20), head + vec(side * 44, 24, -40)], [9, 16, 12])
    return maximus, medius, front


def _deep(head: Vector, side: int, size: float) -> tuple[Solid, ...]:
    """Obturator internus inside the socket, levator below, piriformis behind it."""
    inner = ellipsoid(head + vec(-side * 39, -8, -16), np.array([8, 32, 32]) * size, (0, 0, -8 * side))
    levator = plate(vec(side * 22, -12, -304), (22, 34, 4), (0, 34 * side, 0), rounding=3)
    piriformis = tube([(side * 26, -62, -206), head + vec(0, -52, 22), head + vec(side * 40, -22, 4)], [11, 13, 6])
    return inner, levator, piriformis


def _thigh(head: Vector, side: int, size: float) -> tuple[Solid, ...]:
    """Extensors in front, adductors inside, flexors behind."""
    front = tube(
        [head + vec(side * 16, 32, 4), head + vec(side * 26, 34, -50), head + vec(side * 18, 38, -130)], [14, 33, 44]
    )
    outer = tube([head + vec(side * 44, 8, -40), head + vec(side * 46, 4, -130)], [20, 36])
    inside = tube(
        [(side * 30, 24, -300), head + vec(-side * 32, 6, -80), head + vec(-side * 28, 2, -140)], [18, 38, 46]
    )
    behind = tube([head + vec(-side * 22, -42, -58), head + vec(-side * 4, -44, -130)], [17, 39])
    return front, outer, inside, behind
