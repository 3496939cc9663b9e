"""Painting front to back on a grid small enough to follow by hand, and the grid's regions."""

import numpy as np
import pytest

from autosam_platform.data.phantom.canvas import Canvas
from autosam_platform.data.phantom.frame import Frame, draw_pose, make_frame
from autosam_platform.data.phantom.parts import Part
from autosam_platform.data.phantom.patient import draw_person
from autosam_platform.data.phantom.schemas import SCHEMAS
from autosam_platform.data.phantom.shapes import ellipsoid, half_space, plate, tube
from autosam_platform.data.phantom.trunk import draw_trunk


@pytest.fixture
def canvas() -> Canvas:
    """Voxels of 1 mm at x = 0 … 15, y = z = 0, undeformed, with no texture and no cavity to stay in."""
    axes = np.arange(16, dtype=np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32)
    x, y, z = np.meshgrid(*axes, indexing="ij")
    flat = np.zeros_like(x)
    frame = Frame(np.ones(3), axes, (x, y, z), np.eye(3, 4), np.zeros(3), flat, flat, flat)
    return Canvas(frame, np.full_like(x, -np.inf))


def test_a_surface_through_a_voxel_mixes_two_tissues(canvas: Canvas) -> None:
    canvas.paint(half_space((3.2, 0, 0), (1, 0, 0)), 100.0, label=1)  # voxel 3 spans 2.5 … 3.5: 70 % of it
    canvas.paint(half_space((20, 0, 0), (1, 0, 0)), -100.0, label=2)
    np.testing.assert_allclose(canvas.hu[2:5, 0, 0], [100, 0.7 * 100 - 0.3 * 100, -100], atol=1e-4)
    np.testing.assert_array_equal(canvas.label[2:5, 0, 0], [1, 1, 2])


def test_a_voxel_belongs_to_what_fills_most_of_it(canvas: Canvas) -> None:
    canvas.paint(half_space((2.9, 0, 0), (1, 0, 0)), 0.0, label=1)  # 40 % of voxel 3
    canvas.paint(half_space((20, 0, 0), (1, 0, 0)), 0.0, label=2)
    np.testing.assert_array_equal(canvas.label[2:5, 0, 0], [1, 2, 2])


def test_what_is_painted_first_hides_the_rest(canvas: Canvas) -> None:
    canvas.paint(plate((5, 0, 0), (2, 9, 9)), 50.0, label=1)
    canvas.paint(plate((5, 0, 0), (4, 9, 9)), 90.0, label=2)
    np.testing.assert_array_equal(canvas.label[:12, 0, 0], [0, 2, 2, 1, 1, 1, 1, 1, 2, 2, 0, 0])
    assert canvas.hu[5, 0, 0] == 50


def test_a_gap_leaves_fat_and_a_halo_widens_it(canvas: Canvas) -> None:
    canvas.paint(half_space((3.5, 0, 0), (1, 0, 0)), 50.0, label=1, halo=2.0)
    canvas.paint(half_space((20, 0, 0), (1, 0, 0)), 90.0, label=2, gap=1.0)
    np.testing.assert_array_equal(canvas.label[:9, 0, 0], [1, 1, 1, 1, 0, 0, 0, 2, 2])
    np.testing.assert_allclose(canvas.unseen[4:7, 0, 0], 1)


def test_organs_stay_in_the_cavity_unless_free(canvas: Canvas) -> None:
    canvas.inside = canvas.frame.points[0] - np.float32(6.5)
    canvas.paint(half_space((20, 0, 0), (1, 0, 0)), 50.0, label=1)
    canvas.paint(half_space((9.5, 0, 0), (1, 0, 0)), 50.0, label=2, free=True)
    np.testing.assert_array_equal(canvas.label[5:12, 0, 0], [1, 1, 2, 2, 2, 0, 0])


def test_tissue_sees_its_depth(canvas: Canvas) -> None:
    canvas.paint(half_space((9.5, 0, 0), (1, 0, 0)), lambda spot: 10 * spot.depth)
    np.testing.assert_allclose(canvas.hu[:5, 0, 0], [95, 85, 75, 65, 55])


@pytest.mark.parametrize("seed", range(4))
def test_a_region_holds_all_of_a_solid_in_a_deformed_body(seed: int) -> None:
    rng = np.random.default_rng(seed)
    person, schema = draw_person(rng, 0.5), SCHEMAS["phantom"]
    pose, trunk = draw_pose(rng, person.size), draw_trunk(rng, person)
    frame = make_frame(rng, pose, trunk.bounds(Part.ABDOMEN), Part.ABDOMEN, schema)
    assert np.prod(frame.shape) <= 1.05 * schema.most_voxels
    for solid in (
        ellipsoid((60, 0, 20), (30, 20, 50), (10, 20, 30)),
        tube([(-50, 0, -40), (0, 40, 60)], [9, 5]),
    ):
        inside = solid.distance(frame.points) < 0
        region = frame.region(solid.bounds, margin=0.0)
        assert inside.any() and inside.sum() == inside[region].sum()
        assert inside[region].size < inside.size / 10
