"""Where a case's voxels lie in the template: grid, pose and size of the body, and its smooth deformation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from autosam_models.sizes import Size
from autosam_platform.data.phantom.parts import REACH_MM, Part
from autosam_platform.data.phantom.schemas import Schema
from autosam_platform.data.phantom.shapes import Bounds, Field, Points, turn

REACH: Bounds = np.array([-380.0, -330.0, -480.0]), np.array([380.0, 330.0, 340.0])  # no body is larger, mm
INTERPOLATED_DEVIATION = 0.68  # of cubic splines through unit normal values, in three dimensions

Axes = tuple[Field, Field, Field]  # voxel centres along x, y and z in mm


@dataclass(frozen=True)
class Frame:
    """A canonical (RAS) grid and the template coordinates of its voxels.

    Attributes:
        spacing: (x, y, z) in mm.
        axes: the voxel centres, from the body's own origin: the same place in all parts of one body.
        points: template coordinates x, y, z in mm of every voxel, each of the grid's shape.
        to_template: (3, 4) affine from grid mm to template mm, without the deformation.
        slack: largest deformation in mm along each template axis.
        bumps, lumps, grain: smooth random fields of unit variance with wavelengths of 45, 18 and 6 mm.
    """

    spacing: NDArray[np.float64]
    axes: Axes
    points: Points
    to_template: NDArray[np.float64]
    slack: NDArray[np.float64]
    bumps: Field
    lumps: Field
    grain: Field

    @property
    def shape(self) -> Size:
        """Voxels along x, y and z."""
        x, y, z = (len(axis) for axis in self.axes)
        return x, y, z

    def region(self, bounds: Bounds, margin: float) -> tuple[slice, slice, slice]:
        """Slices of the grid that hold all of the template within ``bounds``, widened by ``margin`` mm."""
        rough = self._reach(bounds, margin)
        shape = [part.stop - part.start for part in rough]
        if 0 in shape:
            return rough
        inside = np.ones(shape, np.bool_)
        for points, low, high in zip(self.points, bounds[0] - margin, bounds[1] + margin, strict=True):
            inside &= (points[rough] >= low) & (points[rough] <= high)
        x, y, z = (
            _span(np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))), part.start)
            for axis, part in enumerate(rough)
        )
        return x, y, z

    def _reach(self, bounds: Bounds, margin: float) -> tuple[slice, slice, slice]:
        """A generous ``region`` from the affine part alone, the largest deformation added all around."""
        low = np.maximum(bounds[0] - margin - self.slack, -1e4) - self.to_template[:, 3]
        high = np.minimum(bounds[1] + margin + self.slack, 1e4) - self.to_template[:, 3]
        inverse = np.linalg.inv(self.to_template[:, :3])
        centre, half = inverse @ (low + high) / 2, np.abs(inverse) @ (high - low) / 2
        starts = [np.searchsorted(axis, c - h) for axis, c, h in zip(self.axes, centre, half, strict=True)]
        stops = [np.searchsorted(axis, c + h) for axis, c, h in zip(self.axes, centre, half, strict=True)]
        x, y, z = (slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))
        return x, y, z


@dataclass(frozen=True)
class Pose:
    """A body in a scanner: its size, how it lies, and its deformation, the same whatever part of it is scanned."""

    scale: NDArray[np.float64]
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]
    seed: int

    @property
    def to_template(self) -> NDArray[np.float64]:
        """(3, 4) affine from mm of the scanner to mm of the template: the inverse of shift, scale, turn."""
        return np.c_[self.rotation.T / self.scale[:, None], self.shift]


def draw_pose(rng: np.random.Generator, size: float) -> Pose:
    """A random pose for a body of ``size`` relative to the template."""
    scale = size * rng.normal(1.0, (0.055, 0.055, 0.06)).clip(0.88, 1.13)
    rotation = turn(rng.normal(0, (3.5, 2.5, 4.5)))
    return Pose(scale, rotation, rng.normal(0, (4, 4, 5)), int(rng.integers(2**32)))


def make_frame(rng: np.random.Generator, pose: Pose, body: Bounds, part: Part, schema: Schema) -> Frame:
    """Draw spacing and field of view for ``part`` of a body of the bounds ``body`` (mm of the template)."""
    low, high = _field_of_view(rng, body, pose, part)
    spacing = _spacing(rng, high - low, schema)
    x, y, z = (np.arange(a, b, s, dtype=np.float32) for a, b, s in zip(low, high, spacing, strict=True))
    axes = x, y, z
    of_body = np.random.default_rng(pose.seed)
    bends = [_deformation(of_body, axes) for _ in range(3)]
    x, y, z = (_affine(axes, row) + bend for row, bend in zip(pose.to_template, bends, strict=True))
    slack = np.array([float(np.abs(bend).max()) for bend in bends])
    bumps, lumps = (smooth_field(of_body, axes, wavelength, REACH) for wavelength in (45.0, 18.0))
    grain = smooth_field(rng, axes, 6.0)
    return Frame(spacing, axes, (x, y, z), pose.to_template, slack, bumps, lumps, grain)


def smooth_field(rng: np.random.Generator, axes: Axes, wavelength: float, reach: Bounds | None = None) -> Field:
    """Random field of about unit variance: normal values every half ``wavelength`` mm, cubic between.

    Args:
        reach: where the normal values lie, so that grids with other axes see the same field; around ``axes`` if not
            given.
    """
    lows, highs = reach or ([axis[0] for axis in axes], [axis[-1] for axis in axes])
    ends = zip(lows, highs, strict=True)
    knots = [np.arange(low - wavelength, high + wavelength, wavelength / 2) for low, high in ends]
    field = rng.standard_normal([len(k) for k in knots], np.float32)
    for axis, knot in zip(axes, knots, strict=True):
        basis = CubicSpline(knot, np.eye(len(knot)))(axis).astype(np.float32)
        field = np.tensordot(field, basis, axes=(0, 1))  # xyz → yzX → zXY → XYZ: the new axis goes last
    return np.ascontiguousarray(field, np.float32) / np.float32(INTERPOLATED_DEVIATION)


def _deformation(rng: np.random.Generator, axes: Axes) -> Field:
    """Displacement in mm: large soft bends and smaller ones, with slopes too small to fold."""
    bend = np.float32(5.5) * smooth_field(rng, axes, 230.0, REACH)
    return bend + np.float32(2.0) * smooth_field(rng, axes, 85.0, REACH)


def _affine(axes: Axes, row: NDArray[np.float64]) -> Field:
    x, y, z = (axis * float(weight) for weight, axis in zip(row[:3], axes, strict=True))
    return x[:, None, None] + y[:, None] + (z + float(row[3]))


def _field_of_view(
    rng: np.random.Generator, body: Bounds, pose: Pose, part: Part
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Grid extent in mm: the body with air around it in-plane, the part's reach along z."""
    middle = pose.rotation @ (pose.scale * ((body[0] + body[1]) / 2 - pose.shift))
    half = (body[1] - body[0]) / 2 * pose.scale
    low, high = middle - half - rng.uniform(8, 34, 3), middle + half + rng.uniform(8, 34, 3)
    (lowest, low_end), (high_start, highest) = REACH_MM[part]
    low[2] = rng.uniform(lowest, low_end) * pose.scale[2]
    high[2] = rng.uniform(high_start, highest) * pose.scale[2]
    return low, high


def _spacing(rng: np.random.Generator, extent: NDArray[np.float64], schema: Schema) -> NDArray[np.float64]:
    """Voxels within the schema's limits, but larger where the scan would have too many of them."""
    in_plane, thickness = rng.uniform(*schema.in_plane_mm), rng.uniform(*schema.slice_mm)
    excess = extent.prod() / (in_plane**2 * thickness * schema.most_voxels)
    if excess > 1:
        thicker = min(excess, schema.slice_mm[1] / thickness)
        thickness, in_plane = thickness * thicker, in_plane * np.sqrt(excess / thicker)
    return np.array([in_plane, in_plane, thickness])


def _span(hits: NDArray[np.intp], start: int) -> slice:
    """From the first to the last of ``hits``, offset by ``start``; empty where there is none."""
    return slice(start + int(hits[0]), start + int(hits[-1]) + 1) if hits.size else slice(start, start)
