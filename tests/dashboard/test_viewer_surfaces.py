"""Organ surfaces of bodies whose size is known."""

from pathlib import Path

import numpy as np
import pytest
from example_cases import write_volume

from autosam_inference.scans.grid import Volume
from dashboard.components.viewer import surfaces
from dashboard.components.viewer.surfaces import Surface


def _volume_mm3(surface: Surface) -> float:
    """By the divergence theorem: a sixth of the sum over triangles of a · (b × c)."""
    a, b, c = (surface.points_xyz[surface.triangles[:, corner]].astype(float) for corner in range(3))
    return abs(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


def test_a_cuboid_has_its_place_and_size_in_millimetres() -> None:
    labels = np.zeros((30, 40, 60), np.uint8)
    labels[5:25, 10:30, 20:50] = 3
    found = surfaces.surfaces(Volume(labels, (2.0, 1.5, 1.0)))
    assert list(found) == [3]
    points = found[3].points_xyz
    # x, y, z between the outer faces of its voxels: 20 to 50 of 1 mm, 10 to 30 of 1.5 mm, 5 to 25 of 2 mm.
    assert points.min(axis=0) == pytest.approx([19.5, 14.25, 9.0], abs=0.6)
    assert points.max(axis=0) == pytest.approx([49.5, 44.25, 49.0], abs=0.6)
    assert _volume_mm3(found[3]) == pytest.approx(30 * 30 * 40, rel=0.05)


def test_there_are_no_more_triangles_than_asked_for() -> None:
    z, y, x = np.indices((40, 40, 40)) - 20
    ball = Volume((x**2 + y**2 + z**2 < 15**2).astype(np.uint8), (2.0, 2.0, 2.0))
    fine, coarse = (surfaces.surfaces(ball, most)[1] for most in (100_000, 2_000))
    assert len(coarse.triangles) <= 2_000 < len(fine.triangles)
    assert _volume_mm3(coarse) == pytest.approx(_volume_mm3(fine), rel=0.15)


def test_an_organ_of_one_voxel_is_seen() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[4, 4, 4] = 7
    assert len(surfaces.surfaces(Volume(labels, (1.0, 1.0, 1.0)))[7].triangles) > 0


def test_a_label_map_without_labels_has_no_surfaces() -> None:
    assert surfaces.surfaces(Volume(np.zeros((4, 4, 4), np.int16), (1.0, 1.0, 1.0))) == {}


def test_meshes_have_the_organs_colours_and_names_stay_text(tmp_path: Path) -> None:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:6, 2:6, 2:6] = 6
    figure = surfaces.figure(write_volume(tmp_path / "labels.nii.gz", labels), {6: "liver", 9: "<b>x</b>"})
    (mesh,) = figure.data
    assert (mesh.name, mesh.color, mesh.showlegend) == ("liver", "rgb(160, 32, 32)", True)
    assert figure.layout.scene.aspectmode == "data"
    named = surfaces.figure(tmp_path / "labels.nii.gz", {6: "<b>x</b>"})
    assert named.data[0].name == "&lt;b&gt;x&lt;/b&gt;"
