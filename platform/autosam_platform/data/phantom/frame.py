"""Where a case's voxels lie in the template: grid, pose and size of the body, and its smooth deformation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from autosam_models.sizes import Size
from autosam_platform.data.phantom.shapes import Bounds, Field, Points, turn

BOTTOM_MM, TOP_MM = -112.0, 122.0  # along z of the template: from below the kidneys to above the diaphragm
MAX_VOXELS = 2_000_000
INTERPOLATED_DEVIATION = 0.68  # of cubic splines through unit normal values, in three dimensions

Axes = tuple[Field, Field, Field]  # voxel centres along x, y and z in mm


@dataclass(frozen=True)
class Frame:
    """A canonical (RAS) grid and the template coordinates of its voxels.

    Attributes:
        spacing: (x, y, z) in mm.
        axes: the voxel centres, around the middle of the body.
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
        inside = np.ones([part.stop - part.start for part in rough], np.bool_)
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


def make_frame(rng: np.random.Generator, body: Bounds) -> Frame:
    """Draw spacing, field of view, pose, size and deformation for a body of the bounds ``body`` (mm)."""
    scale = rng.normal(1.0, (0.055, 0.055, 0.06)).clip(0.88, 1.13)
    rotation = turn(rng.normal(0, (3.5, 2.5, 4.5)))
    low, high = _field_of_view(rng, body, scale)
    spacing = _spacing(rng, high - low)
    x, y, z = (np.arange(a, b, s, dtype=np.float32) for a, b, s in zip(low, high, spacing, strict=True))
    axes = x, y, z
    middle = (body[0] + body[1]) / 2 + rng.normal(0, (4, 4, 5))
    to_template = np.c_[rotation.T / scale[:, None], middle]  # the inverse of: scale, then turn
    bends = [_deformation(rng, axes) for _ in range(3)]
    x, y, z = (_affine(axes, row) + bend for row, bend in zip(to_template, bends, strict=True))
    slack = np.array([float(np.abs(bend).max()) for bend in bends])
    bumps, lumps, grain = (smooth_field(rng, axes, wavelength) for wavelength in (45.0, 18.0, 6.0))
    return Frame(spacing, axes, (x, y, z), to_template, slack, bumps, lumps, grain)


def smooth_field(rng: np.random.Generator, axes: Axes, wavelength: float) -> Field:
    """Random field of about unit variance: normal values every half ``wavelength`` mm, cubic between."""
    knots = [np.arange(axis[0] - wavelength, axis[-1] + wavelength, wavelength / 2) for axis in axes]
    field = rng.standard_normal([len(k) for k in knots]).astype(np.float32)
    for axis, knot in zip(axes, knots, strict=True):
        basis = CubicSpline(knot, np.eye(len(knot)))(axis).astype(np.float32)
        field = np.tensordot(field, basis, axes=(0, 1))  # xyz → yzX → zXY → XYZ: the new axis goes last
    return np.ascontiguousarray(field, np.float32) / np.float32(INTERPOLATED_DEVIATION)


def _deformation(rng: np.random.Generator, axes: Axes) -> Field:
    """Displacement in mm: large soft bends and smaller ones, with slopes too small to fold."""
    bend = np.float32(5.0) * smooth_field(rng, axes, 230.0)
    return bend + np.float32(1.8) * smooth_field(rng, axes, 85.0)


def _affine(axes: Axes, row: NDArray[np.float64]) -> Field:
    x, y, z = (axis * float(weight) for weight, axis in zip(row[:3], axes, strict=True))
    return x[:, None, None] + y[:, None] + (z + float(row[3]))


def _field_of_view(
    rng: np.random.Generator, body: Bounds, scale: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Grid extent in mm: the body with air around it in-plane, the trunk from about BOTTOM to TOP along z."""
    half = (body[1] - body[0]) / 2 * scale
    low, high = -half - rng.uniform(12, 34, 3), half + rng.uniform(12, 34, 3)
    low[2] = -half[2] + rng.uniform(-36, 8)
    high[2] = half[2] + rng.uniform(-8, 32)
    return low, high


def _spacing(rng: np.random.Generator, extent: NDArray[np.float64]) -> NDArray[np.float64]:
    """In-plane 1.6-2.4 mm, slices 2.5-5 mm, slices thick enough to stay within MAX_VOXELS."""
    in_plane = rng.uniform(1.6, 2.4)
    thinnest = extent.prod() / in_plane**2 / MAX_VOXELS
    if thinnest > 4.8:
        in_plane, thinnest = np.sqrt(extent.prod() / 4.8 / MAX_VOXELS), 4.8
    return np.array([in_plane, in_plane, rng.uniform(max(2.5, thinnest), 5.0)])


def _span(hits: NDArray[np.intp], start: int) -> slice:
    """From the first to the last of ``hits``, offset by ``start``; empty where there is none."""
    return slice(start + int(hits[0]), start + int(hits[-1]) + 1) if hits.size else slice(start, start)
