"""Signed distances of the phantom's solids, against values by hand and a dense reference."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from autosam_platform.data.phantom.shapes import (
    Points,
    Solid,
    column,
    cut,
    ellipsoid,
    half_space,
    plate,
    shell,
    smooth_step,
    tube,
    union,
    without,
)


def points(*rows: tuple[float, float, float]) -> Points:
    x, y, z = np.array(rows, np.float32).T
    return x, y, z


def grid(low: float, high: float, step: float) -> Points:
    axis = np.arange(low, high, step, dtype=np.float32)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    return x, y, z


def test_sphere() -> None:
    sphere = ellipsoid((1, 2, 3), (10, 10, 10))
    distance = sphere.distance(points((14, 2, 3), (1, 12, 3), (1, 2, 8)))
    np.testing.assert_allclose(distance, [3, 0, -5], atol=1e-5)


def test_turned_ellipsoid_keeps_its_long_axis() -> None:
    long_x = ellipsoid((0, 0, 0), (20, 5, 5), (0, 0, 90))  # a quarter turn about z: the long axis is y now
    np.testing.assert_allclose(long_x.distance(points((0, 20, 0), (5, 0, 0), (0, 0, 5))), 0, atol=1e-4)
    np.testing.assert_allclose(long_x.bounds, [[-5, -20, -5], [5, 20, 5]], atol=1e-9)


def test_plate() -> None:
    box = plate((0, 0, 0), (2, 3, 4), rounding=1)
    np.testing.assert_allclose(box.distance(points((5, 0, 0), (0, 3, 0), (0, 0, 0))), [3, 0, -2], atol=1e-6)
    corner = box.distance(points((2, 3, 0)))  # the sharp edge is rounded off: sqrt(2) - 1 outside
    np.testing.assert_allclose(corner, np.sqrt(2) - 1, atol=1e-6)


def test_column_has_no_end() -> None:
    np.testing.assert_allclose(column((0, 0), (3, 3)).distance(points((5, 0, 0), (5, 0, 900))), 2, atol=1e-3)


def test_straight_tube() -> None:
    rod = tube([(0, 0, 0), (0, 0, 10)], [3, 3])
    np.testing.assert_allclose(rod.distance(points((7, 0, 5), (0, 0, -4), (0, 0, 10))), [4, 1, -3], atol=1e-5)


def test_curved_tube_against_a_dense_reference() -> None:
    path, radii = np.array([(0, 0, 0), (10, 4, 0), (12, 15, 6)], float), np.array([3.0, 4.0, 2.0])
    where = grid(-6, 20, 2.0)
    chord = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
    dense = PchipInterpolator(chord, np.c_[path, radii])(np.linspace(0, chord[-1], 2000))
    stacked = np.stack(where, -1).reshape(-1, 1, 3)
    slow = (np.linalg.norm(stacked - dense[:, :3], axis=-1) - dense[:, 3]).min(1)
    np.testing.assert_allclose(tube(path, radii, pieces=64).distance(where).ravel(), slow, atol=0.05)


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (union(ellipsoid((0, 0, 0), (5,) * 3), ellipsoid((8, 0, 0), (5,) * 3)), [-1, -5, 4]),
        (cut(ellipsoid((0, 0, 0), (5,) * 3), ellipsoid((8, 0, 0), (5,) * 3)), [-1, 3, 12]),
        (without(ellipsoid((0, 0, 0), (5,) * 3), ellipsoid((8, 0, 0), (5,) * 3)), [1, 5, 4]),
        (cut(ellipsoid((0, 0, 0), (5,) * 3), half_space((2, 0, 0), (1, 0, 0))), [2, 6, 4]),
        (shell(ellipsoid((0, 0, 0), (5,) * 3), 2.0, offset=1.0), [1, 1, 2]),
    ],
    ids=["union", "cut", "without", "half space", "shell"],
)
def test_sets_of_two_balls(solid: Solid, expected: list[float]) -> None:
    distance = solid.distance(points((4, 0, 0), (8, 0, 0), (-9, 0, 0)))
    np.testing.assert_allclose(distance, expected, atol=1e-5)


def test_blend_fills_the_crease_by_a_quarter() -> None:
    left, right = half_space((0, 0, 0), (1, 0, 0)), half_space((0, 0, 0), (0, 1, 0))
    assert union(left, right, blend=8).distance(points((3, 3, 0)))[0] == pytest.approx(3 - 8 / 4)
    assert union(left, right, blend=8).distance(points((1, 9, 0)))[0] == pytest.approx(1)


def test_bounds_hold_the_whole_solid() -> None:
    where = grid(-40, 40, 2.0)
    for solid in (
        ellipsoid((3, -4, 5), (20, 8, 12), (20, 30, 40)),
        plate((3, -4, 5), (3, 12, 20), (50, 10, 70), rounding=2),
        tube([(-20, 0, 0), (0, 15, 5), (10, -5, 20)], [4, 8, 5], flatness=1.4),
    ):
        inside = solid.distance(where) < 0
        assert inside.any()
        for axis, low, high in zip(where, *solid.bounds, strict=True):
            assert low <= axis[inside].min() and axis[inside].max() <= high


def test_smooth_step_runs_both_ways() -> None:
    values = np.array([0, 1, 2, 3, 4], np.float32)
    np.testing.assert_allclose(smooth_step(values, 1, 3), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(smooth_step(values, 3, 1), [1, 1, 0.5, 0, 0])
