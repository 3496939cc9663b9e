"""The bones of pelvis and thighs.

The template's measures, textbook anatomy of adults: the promontory is 105 mm above the axis of the hip joints and 25 to
30 mm behind it, the joints are 175-180 mm apart with heads of 23-25 mm radius, and the upper edge of the symphysis is
118 mm from the promontory.
"""

import numpy as np

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.canvas import Canvas
from autosam_platform.data.phantom.patient import Patient, Vector, vec
from autosam_platform.data.phantom.shapes import Solid, cut, ellipsoid, half_space, plate, tube, union, without
from autosam_platform.data.phantom.trunk import Trunk

JOINT_YZ = 10.0, -262.0
WING_DEGREES = 51.0  # how far the wings of the hip bones are turned about z, from the plane of the skin's side


def paint_pelvis(canvas: Canvas, patient: Patient, trunk: Trunk) -> None:
    """Sacrum and coccyx, hip bones, femurs."""
    palette, size = patient.palette, patient.rng.uniform(0.95, 1.05)
    spongy = palette.bone(cortex=380.0, thickness=1.8)
    canvas.paint(_sacrum(), spongy, label=Organ.SACRUM, halo=1.0, free=True)
    for side in (1, -1):
        head = vec(side * trunk.spread, *JOINT_YZ)
        femur, shaft = _femur(head, side, size)
        canvas.paint(femur, palette.bone(cortex=520.0, thickness=2.2), label=Organ.FEMURS, halo=1.0, free=True)
        canvas.paint(shaft, palette.bone(cortex=1050.0, thickness=6.0), label=Organ.FEMURS, halo=0.5, free=True)
        hip = union(_wing(head, side), _socket(head, side, size), _pubis(head, side), blend=8)
        hip = without(hip, ellipsoid(head, np.full(3, 25.5) * size))
        canvas.paint(hip, palette.bone(cortex=520.0, thickness=2.2), label=Organ.HIPS, halo=1.0, free=True)
    canvas.paint(ellipsoid((0, 51, -281), (5, 10, 18)), 90.0, free=True)  # the cartilage of the symphysis


def _sacrum() -> Solid:
    """Five vertebrae grown together, with wings that reach the hip bones, and the coccyx."""
    path = [(0, -18, -168), (0, -38, -190), (0, -60, -218), (0, -69, -240), (0, -64, -258), (0, -50, -272)]
    spine = tube(path, [19, 19, 14, 9, 6, 4])
    wings = (
        tube([(6 * side, -28, -170), (32 * side, -42, -178), (24 * side, -60, -212)], [15, 14, 8]) for side in (1, -1)
    )
    crest = tube([(0, -52, -168), (0, -74, -195), (0, -82, -220)], [9, 7, 5])
    return union(spine, *wings, crest, blend=12)


def _wing(head: Vector, side: int) -> Solid:
    """The wing of the ilium: a leaf from the sacrum to the front spine, cut to the arch of its crest."""
    middle = vec(side * 87, -8, -165)
    leaf = plate(middle, (5.5, 70, 66), (0, 16 * side, -WING_DEGREES * side + 14 * side), rounding=4)
    arch = ellipsoid(vec(side * 80, -6, -205), (90, 84, 98), (0, 0, 0))
    root = tube([(side * 46, -62, -172), (side * 60, -46, -196), head + vec(-side * 10, -12, 34)], [13, 13, 15])
    return union(cut(leaf, arch, blend=6), root, blend=8)


def _socket(head: Vector, side: int, size: float) -> Solid:
    """The cup around the femur's head, open to the side, the front and below, and the seat bone."""
    cup = cut(
        ellipsoid(head + vec(-side * 4, -2, 2), np.full(3, 33.0) * size),
        half_space(head + vec(side * 7, 4, 0), vec(side * 0.85, 0.35, -0.4)),
        blend=4,
    )
    seat = tube(
        [head + vec(-side * 14, -24, -6), head + vec(-side * 24, -40, -34), head + vec(-side * 30, -38, -58)],
        [14, 13, 15],
    )
    return union(cup, seat, blend=8)


def _pubis(head: Vector, side: int) -> Solid:
    """The two branches of the pubic bone, which meet beside the symphysis."""
    upper = tube([head + vec(-side * 24, 16, 2), (side * 40, 44, -262), (side * 13, 51, -275)], [12, 8, 9])
    body = ellipsoid((side * 12, 51, -281), (9, 11, 18))
    lower = tube([(side * 12, 46, -294), (side * 36, 8, -316), head + vec(-side * 30, -34, -58)], [7, 6.5, 10])
    return union(upper, body, lower, blend=5)


def _femur(head: Vector, side: int, size: float) -> tuple[Solid, Solid]:
    """Head, neck and trochanter; and the shaft with its thick cortex."""
    trochanter = head + vec(side * 43, -16, -16)
    top = union(
        ellipsoid(head, np.full(3, 24.0) * size),
        tube([head, (head + trochanter) / 2, trochanter], [17, 15, 18]),
        ellipsoid(trochanter + vec(side * 3, -3, 4), (14, 18, 22)),
        tube([trochanter, head + vec(side * 32, -10, -48)], [18, 18]),
        ellipsoid(head + vec(side * 20, -18, -50), (10, 10, 12)),
        blend=8,
    )
    shaft = tube([head + vec(side * 33, -10, -46), head + vec(side * 24, -2, -150)], [17.5, 15])
    return top, shaft
