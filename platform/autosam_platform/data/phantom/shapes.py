"""Solids as signed distances in mm: negative inside, about Euclidean near the surface, each with its bounds.

The formulas are those of I. Quilez, "Distance functions" and "Smooth minimum" (iquilezles.org/articles).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

Field = NDArray[np.floating[Any]]  # float32 throughout, for speed
Points = tuple[Field, Field, Field]  # x, y, z in mm of the template, arrays of one shape
Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]  # lowest and highest corner in mm

TINY = 1e-6
BLOCK = 1 << 14  # voxels that are worked on at a time
EVERYWHERE: Bounds = (np.full(3, -np.inf), np.full(3, np.inf))


@dataclass(frozen=True)
class Solid:
    """A distance function and the box outside which it is surely positive."""

    bounds: Bounds
    distance: Callable[[Points], Field]


def turn(degrees: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrix (3, 3) of the angles about x, y and z, in degrees."""
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


def ellipsoid(centre: ArrayLike, radii: ArrayLike, degrees: ArrayLike = (0, 0, 0)) -> Solid:
    """Ellipsoid with semi-axes ``radii``, turned by ``degrees`` about its centre; all lengths in mm."""
    rotation = turn(degrees)
    radii = np.asarray(radii, float)
    reach = np.sqrt((rotation**2) @ radii**2)
    thinnest, (a, b, c) = float(radii.min()), (1 / radii).tolist()

    def distance(points: Points) -> Field:
        x, y, z = _local(points, centre, rotation)
        x, y, z = x * a, y * b, z * c
        level = np.sqrt(x * x + y * y + z * z)
        slope = np.sqrt((x * a) ** 2 + (y * b) ** 2 + (z * c) ** 2)
        return (level - 1) * (level + TINY) / (slope + TINY / thinnest)  # TINY keeps the centre from 0 / 0

    return Solid((np.asarray(centre) - reach, np.asarray(centre) + reach), distance)


def column(centre: tuple[float, float], radii: tuple[float, float]) -> Solid:
    """Upright elliptic column without end; ``centre`` and ``radii`` in x and y, mm."""
    cap = ellipsoid((*centre, 0), (*radii, 1e6))
    return Solid(cap.bounds, cap.distance)


def plate(centre: ArrayLike, half: ArrayLike, degrees: ArrayLike = (0, 0, 0), rounding: float = 0.0) -> Solid:
    """Box with half-edges ``half`` (mm, the rounding of its edges included), turned about its centre."""
    rotation = turn(degrees)
    reach = np.abs(rotation) @ np.asarray(half, float)
    inner = [float(h - rounding) for h in np.asarray(half, float)]

    def distance(points: Points) -> Field:
        x, y, z = (np.abs(v) - h for v, h in zip(_local(points, centre, rotation), inner, strict=True))
        outside = np.sqrt(np.maximum(x, 0) ** 2 + np.maximum(y, 0) ** 2 + np.maximum(z, 0) ** 2)
        return outside + np.minimum(np.maximum(np.maximum(x, y), z), 0) - rounding

    return Solid((np.asarray(centre) - reach, np.asarray(centre) + reach), distance)


def tube(path: Sequence[ArrayLike], radii: ArrayLike, *, pieces: int = 4, flatness: float = 1.0) -> Solid:
    """Smooth tube through M points ``path`` with M ``radii`` (mm); ``flatness`` > 1 makes it thinner in y."""
    centres, widths = _curve(np.stack([np.asarray(p, float) for p in path]), np.asarray(radii, float), pieces)
    widest = widths.max()
    bounds = centres.min(0) - widest, centres.max(0) + widest
    centres[:, 1] *= flatness

    def distance(points: Points) -> Field:
        return _nearest_capsule((points[0], points[1] * flatness, points[2]), centres, widths)

    return Solid(bounds, distance)


def union(*solids: Solid, blend: float = 0.0) -> Solid:
    """All of ``solids``, their creases filled over about ``blend`` mm."""

    def distance(points: Points) -> Field:
        merged = solids[0].distance(points)
        for solid in solids[1:]:
            merged = smooth_minimum(merged, solid.distance(points), blend)
        return merged

    lows, highs = zip(*(solid.bounds for solid in solids), strict=True)
    return Solid((np.min(lows, axis=0), np.max(highs, axis=0)), distance)


def cut(solid: Solid, *others: Solid, blend: float = 0.0) -> Solid:
    """The part of ``solid`` that lies inside all of ``others``, with edges rounded over ``blend`` mm."""

    def distance(points: Points) -> Field:
        kept = solid.distance(points)
        for other in others:
            kept = -smooth_minimum(-kept, -other.distance(points), blend)
        return kept

    return Solid(solid.bounds, distance)


def without(solid: Solid, *others: Solid, blend: float = 0.0) -> Solid:
    """``solid`` with ``others`` taken away, edges rounded over about ``blend`` mm."""
    return cut(solid, *(Solid(EVERYWHERE, _negated(other)) for other in others), blend=blend)


def remembered(solid: Solid) -> Solid:
    """``solid`` that keeps its last distances, for one that many others are cut by on the same voxels."""
    kept: list[Field] = []
    of: list[object] = []

    def distance(points: Points) -> Field:
        where = [(v.shape, v.strides, v.__array_interface__["data"]) for v in points]
        if where != of:
            of[:], kept[:] = where, [solid.distance(points)]
        return kept[0]

    return Solid(solid.bounds, distance)


def shell(solid: Solid, thickness: float, offset: float = 0.0) -> Solid:
    """A sheet of ``thickness`` mm along the surface that lies ``offset`` mm outside that of ``solid``."""

    def distance(points: Points) -> Field:
        return np.abs(solid.distance(points) - offset) - thickness / 2

    return Solid(EVERYWHERE, distance)


def half_space(point: ArrayLike, outward: ArrayLike) -> Solid:
    """Everything behind the plane through ``point`` whose normal is ``outward``."""
    normal = np.asarray(outward, float) / np.linalg.norm(outward)
    offset = float(normal @ np.asarray(point, float))
    a, b, c = (float(n) for n in normal)
    return Solid(EVERYWHERE, lambda points: a * points[0] + b * points[1] + c * points[2] - offset)


def smooth_minimum(a: Field, b: Field, blend: float) -> Field:
    """Minimum of ``a`` and ``b``, lowered by at most ``blend / 4`` where they are closer than ``blend``."""
    if blend == 0:
        return np.minimum(a, b)
    near = np.maximum(blend - np.abs(a - b), 0)
    return np.minimum(a, b) - near * near * (0.25 / blend)


def smooth_step(values: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, a smooth cubic between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _negated(solid: Solid) -> Callable[[Points], Field]:
    return lambda points: -solid.distance(points)


def _local(points: Points, centre: ArrayLike, rotation: NDArray[np.float64]) -> Points:
    x, y, z = (v - float(c) for v, c in zip(points, np.asarray(centre), strict=True))
    (a, b, c), (d, e, f), (g, h, i) = rotation.T.tolist()
    return a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z


def _curve(path: NDArray[np.float64], radii: NDArray[np.float64], pieces: int) -> Bounds:
    """``path`` and ``radii`` refined to ``pieces`` segments between neighbours, without overshoot."""
    chord = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
    fine = np.interp(np.arange(pieces * (len(chord) - 1) + 1) / pieces, np.arange(len(chord)), chord)
    refined = PchipInterpolator(chord, np.c_[path, radii])(fine)
    return refined[:, :3].copy(), refined[:, 3]


def _nearest_capsule(points: Points, centres: NDArray[np.float64], widths: NDArray[np.float64]) -> Field:
    """Distance to a chain of capsules, in blocks that stay in a processor's cache.

    With starts s and axes a it is |p - s - t a|² = |p|² - 2 p·s + |s|² + t (t |a|² - 2 (p - s)·a), t cut to 0 … 1, so
    that all of a block's products p·s are one product of matrices.
    """
    middle = centres.mean(0)
    starts = (centres - middle).astype(np.float32)
    flat = np.stack([(v - np.float32(m)).ravel() for v, m in zip(points, middle, strict=True)])
    nearest = np.empty(flat.shape[1], np.float32)
    for begin in range(0, flat.shape[1], BLOCK):
        block = slice(begin, begin + BLOCK)
        nearest[block] = _nearest_of_block(flat[:, block], starts, widths.astype(np.float32))
    return nearest.reshape(points[0].shape)


def _nearest_of_block(p: Field, starts: Field, widths: Field) -> Field:
    along_starts, squared = starts @ p, np.einsum("ij,ij->j", p, p)
    nearest = np.full(p.shape[1], np.inf, np.float32)
    for k, axis in enumerate(np.diff(starts, axis=0)):
        along = along_starts[k + 1] - along_starts[k] - starts[k] @ axis
        length2 = axis @ axis
        t = np.clip(along / length2, 0, 1)
        off2 = squared - 2 * along_starts[k] + starts[k] @ starts[k] + t * (t * length2 - 2 * along)
        np.minimum(nearest, np.sqrt(np.maximum(off2, 0)) - (widths[k] + (widths[k + 1] - widths[k]) * t), out=nearest)
    return nearest
