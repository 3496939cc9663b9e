"""The trunk that holds the organs: its measures and surfaces from the chest to the thighs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autosam_platform.data.phantom.parts import REACH_MM, Part
from autosam_platform.data.phantom.patient import Person
from autosam_platform.data.phantom.shapes import (
    EVERYWHERE,
    Bounds,
    Field,
    Points,
    Solid,
    column,
    cut,
    ellipsoid,
    half_space,
    remembered,
    smooth_minimum,
    union,
)

PELVIC_FLOOR_MM = -306.0
CROTCH_MM = -322.0
RIBCAGE: Bounds = np.array([-np.inf, -np.inf, -20.0]), EVERYWHERE[1]  # one for all in it: see `remembered`
HEIGHTS_MM = np.array([230.0, 120, 40, -60, -115, -165, -200, -235, -265, -295, -350])
"""Heights at which the profiles below are given; between them they are linear."""

# Half width of the cavity as a share of the largest, and what is added to its back and front in mm: wide between the
# ribs and the flanks, narrow between the hip bones, with a hollow in front of the sacrum.
_CAVITY = np.array([0.88, 0.98, 1, 1, 0.98, 0.88, 0.76, 0.58, 0.5, 0.48, 0.45])
_CAVITY_BACK = np.array([0.0, 0, 0, 0, 4, 26, 6, -6, -2, 14, 30])
_WALL_BACK = np.array([14.0, 14, 14, 14, 14, 12, 6, 3, 3, 5, 8])
_CAVITY_FRONT = np.array([-24.0, -4, 0, 0, -4, -10, -16, -28, -40, -50, -55])


@dataclass(frozen=True)
class Trunk:
    """Measures of one trunk in template mm: x right, y front, z up from the front of the first lumbar body.

    Attributes:
        half_width: of the cavity where it is widest.
        front, back: y of the cavity's front and back at the navel.
        fat: thickness of the subcutaneous fat at the flanks.
        wall: thickness of the wall's muscles.
        waist: half width of the skin at the waist as a share of that of the chest.
        hips: half width of the skin at the hips.
        dome_right, dome_left: z of the two domes of the diaphragm.
        spread: half the distance of the hip joints.
    """

    half_width: float
    front: float
    back: float
    fat: float
    wall: float
    waist: float
    hips: float
    dome_right: float
    dome_left: float
    spread: float

    @property
    def chest(self) -> float:
        """Half width of the skin at the lower ribs."""
        return self.half_width + 12 + self.fat

    def bounds(self, part: Part) -> Bounds:
        """Lowest and highest corner of what ``part`` shows of the body, in mm."""
        (bottom, _), (_, top) = REACH_MM[part]
        seen = (bottom - 30 <= HEIGHTS_MM) & (top + 30 >= HEIGHTS_MM)
        width, back, front = (profile[seen] for profile in self.skin_profiles())
        return np.array([-width.max(), back.min(), bottom]), np.array([width.max(), front.max(), top])

    def skin_profiles(self) -> tuple[Field, Field, Field]:
        """Half width, back and front of the skin at ``HEIGHTS_MM``."""
        back, front = self.back - 33 - 0.7 * self.fat, self.front + 11 + 0.8 * self.fat
        chest, waist, hips = self.chest, self.waist * self.chest, self.hips
        seat = -118 - 1.0 * self.fat
        groin = 74 + 0.8 * self.fat
        width = [0.97 * chest, chest, chest, waist, 0.4 * waist + 0.6 * hips, *[hips * w for w in (0.96, 0.97, 0.99)]]
        width += [hips, 0.995 * hips, 0.97 * hips]
        backs = [
            back + 4,
            back,
            back,
            back + 4,
            back + 2,
            0.5 * (back + seat),
            seat + 8,
            seat,
            seat,
            seat + 12,
            seat + 32,
        ]
        fronts = [front - 22, front - 6, front, front, front - 2, front - 8, front - 16]
        fronts += [0.6 * front + 0.4 * groin, 0.3 * front + 0.7 * groin, groin, groin]
        return np.array(width), np.array(backs), np.array(fronts)


def draw_trunk(rng: np.random.Generator, person: Person) -> Trunk:
    """Measures of a random adult; women have the wider pelvis and the narrower waist."""
    fat, belly = person.fat, rng.normal(0, 5) + (0.25 if person.female else 0.5) * person.fat
    return Trunk(
        half_width=float(rng.normal(126, 4)),
        front=float(rng.normal(90, 4) + belly),
        back=float(rng.normal(-64, 2)),
        fat=fat,
        wall=float(rng.uniform(9, 13) - 0.025 * (person.age - 58)),
        waist=float(rng.normal(0.94 if person.female else 0.985, 0.02)),
        hips=float(rng.normal(150 if person.female else 145, 4) + 0.75 * fat),
        dome_right=float(rng.normal(104, 6)),
        dome_left=float(rng.normal(95, 6)),
        spread=float(rng.normal(90 if person.female else 87, 3)),
    )


@dataclass(frozen=True)
class Surfaces:
    """The surfaces that bound a trunk, as solids.

    Attributes:
        cavity: inside of the wall, of chest, abdomen and pelvis together.
        abdomen: what lies below the diaphragm.
        wall: outside of the wall's muscles.
        skin: outside of all, thighs included.
    """

    cavity: Solid
    abdomen: Solid
    wall: Solid
    skin: Solid


def surfaces(trunk: Trunk) -> Surfaces:
    """All surfaces of ``trunk``, each remembering its distances on the whole grid."""
    width = trunk.half_width * _CAVITY
    back, front = trunk.back + _CAVITY_BACK, trunk.front + _CAVITY_FRONT
    inner = _tower(width, back, front)
    outer = _tower(width + trunk.wall, back - _WALL_BACK, front + 0.75 * trunk.wall)
    floor = half_space((0, 0, PELVIC_FLOOR_MM), (0, 0, -1))
    under = half_space((0, 0, PELVIC_FLOOR_MM - trunk.wall), (0, 0, -1))
    cavity = remembered(cut(inner, floor, blend=20))
    return Surfaces(cavity, remembered(_below_diaphragm(trunk)), cut(outer, under, blend=20), _skin(trunk))


def _below_diaphragm(trunk: Trunk) -> Solid:
    middle, depth = (trunk.front + trunk.back) / 2, (trunk.front - trunk.back) / 2 + 12
    right = ellipsoid((64, middle, 0), (76, depth, trunk.dome_right - 12))
    left = ellipsoid((-64, middle - 2, 0), (76, depth, trunk.dome_left - 12))
    front = ellipsoid((0, trunk.front - 50, 0), (84, 66, trunk.dome_left - 26))

    def distance(points: Points) -> Field:
        domed = points[0], points[1], np.maximum(points[2] - 12, 0)
        sides = smooth_minimum(right.distance(domed), left.distance(domed), 14.0)
        return smooth_minimum(sides, front.distance(domed), 14.0)

    return Solid(EVERYWHERE, distance)


def _skin(trunk: Trunk) -> Solid:
    """The trunk down to the crotch, and two thighs that it flows into."""
    width, back, front = trunk.skin_profiles()
    torso = cut(_tower(width, back, front), half_space((0, 0, CROTCH_MM), (0, 0, -1)))
    half = trunk.hips / 2
    thighs = union(*(column((side * (half + 1.5), -16), (half - 3, float(front[-1]) + 8)) for side in (1, -1)))
    thighs = cut(thighs, half_space((0, 0, CROTCH_MM + 20), (0, 0, 1)))
    return Solid(EVERYWHERE, union(torso, thighs, blend=14).distance)


def _tower(half_widths: Field, backs: Field, fronts: Field, power: float = 2.4) -> Solid:
    """Upright solid with superelliptic sections, their measures given at ``HEIGHTS_MM``.

    Distances are measured along the ray from the axis: right where the walls are upright, and near the surface.
    """
    rising = HEIGHTS_MM[::-1]
    profiles = [np.asarray(each)[::-1] for each in (half_widths, (fronts + backs) / 2, (fronts - backs) / 2)]

    def distance(points: Points) -> Field:
        half_width, middle, half_depth = (interpolated(points[2], rising, each) for each in profiles)
        x, y = points[0], points[1] - middle
        level = _power(np.abs(x) / half_width, power) + _power(np.abs(y) / half_depth, power)
        ray = 1 - np.maximum(level, np.float32(1e-6)) ** np.float32(-1 / power)
        return np.sqrt(x * x + y * y) * ray

    low = np.array([-np.max(half_widths), np.min(backs), -np.inf])
    return Solid((low, np.array([np.max(half_widths), np.max(fronts), np.inf])), distance)


def _power(values: Field, power: float) -> Field:
    return values ** np.float32(power)


def interpolated(heights: Field, knots: Sequence[float] | Field, values: Sequence[float] | Field) -> Field:
    """Piecewise linear, from a table of one entry per mm: faster than ``np.interp`` on every voxel."""
    low, high = float(knots[0]), float(knots[-1])
    table = np.interp(np.arange(low, high + 1), knots, values).astype(np.float32)
    return table[np.clip(heights - low + 0.5, 0, len(table) - 1).astype(np.int32)]
