"""Surfaces of organs in 3D, from a label map: to look at, not to measure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from scipy.ndimage import find_objects, gaussian_filter
from skimage.measure import block_reduce, marching_cubes

from autosam_inference.scans.colours import organ_colour
from autosam_inference.scans.grid import Volume
from dashboard.components.viewer.volumes import Stamp, read_volume, stamp

MOST_TRIANGLES = 150_000  # of all organs together: a browser without a GPU still turns them
_FINEST_MM = 2.0
_SMOOTHING = 0.7  # Gaussian's sigma, in the voxels that surfaces are made of


@dataclass(frozen=True)
class Surface:
    """A closed triangle mesh: points in mm along x, y, z (left → right, posterior → anterior, inferior → superior)."""

    points_xyz: np.ndarray
    triangles: np.ndarray


def figure(path: Path, classes: Mapping[int, str]) -> go.Figure:
    """Organs of a label map with their colours, seen from the front: the patient's right is on the left.

    Raises:
        ReadingError: missing, not a 3D NIfTI file, or damaged.
    """
    meshes = [_mesh(name, surface) for id_, name in classes.items() if (surface := _surfaces(stamp(path)).get(id_))]
    shown = go.Figure(meshes)
    hidden = {"visible": False}
    shown.update_layout(
        height=620,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        legend={"itemsizing": "constant"},
        scene={
            "aspectmode": "data",
            "camera": {"eye": {"x": 0, "y": _distance(meshes), "z": 0.3}},
            "xaxis": hidden,
            "yaxis": hidden,
            "zaxis": hidden,
        },
    )
    return shown


def _distance(meshes: Sequence[go.Mesh3d]) -> float:
    """How far in front the eye is, in plotly's unit (the geometric mean of the scene's edges), to see all of it."""
    if not meshes:
        return 1.0
    edges_xyz = np.array([np.ptp(np.concatenate([mesh[axis] for mesh in meshes])) for axis in "xyz"])
    across, deep, high = edges_xyz / np.cbrt(edges_xyz.prod())
    return float(deep / 2 + 1.3 * max(high, across / 1.5))


def surfaces(labels: Volume, most: int = MOST_TRIANGLES) -> dict[int, Surface]:
    """Each label's surface, of voxels of at least 2 mm, or so many more that there are at most ``most`` triangles."""
    finest = _FINEST_MM
    while True:
        found = dict(_surfaces_of(labels, finest))
        triangles = sum(len(surface.triangles) for surface in found.values())
        if triangles <= most:
            return found
        finest *= max(1.2, (triangles / most) ** 0.5)  # triangles grow with the square of the resolution


@st.cache_resource(max_entries=4, show_spinner="Making the surfaces …")
def _surfaces(file: Stamp) -> dict[int, Surface]:
    return surfaces(read_volume(Path(file[0])))


def _surfaces_of(labels: Volume, finest_mm: float) -> Iterator[tuple[int, Surface]]:
    block = tuple(max(1, round(finest_mm / step)) for step in labels.spacing_DHW)
    ids_DHW = labels.array_DHW.astype(np.uint8, copy=False)
    for id_, box in enumerate(find_objects(ids_DHW), start=1):
        if box is not None:
            surface = _surface(ids_DHW[box] == id_, [each.start for each in box], block, labels.spacing_DHW)
            if surface is not None:
                yield id_, surface


def _surface(
    mask: np.ndarray, start: list[int], block: tuple[int, ...], spacing_DHW: tuple[float, ...]
) -> Surface | None:
    """Marching cubes on the share of each block that is labelled; nothing where smoothing leaves nothing."""
    shares = np.pad(block_reduce(mask.astype(np.float32), block, np.mean), 2)
    smooth = gaussian_filter(shares, _SMOOTHING)
    if smooth.max() <= 0.5:
        smooth = shares  # thin: rather rough than missing
    level = min(0.5, float(smooth.max()) / 2)
    points, triangles, _, _ = marching_cubes(smooth, level)
    centres = np.array(start) + (points - 2) * block + (np.array(block) - 1) / 2
    return Surface((centres * spacing_DHW)[:, ::-1].astype(np.float32), triangles.astype(np.int32))


def _mesh(name: str, surface: Surface) -> go.Mesh3d:
    x, y, z = surface.points_xyz.T
    i, j, k = surface.triangles.T
    colour = "rgb({}, {}, {})".format(*organ_colour(name))
    light = {"ambient": 0.45, "diffuse": 0.8, "specular": 0.2, "roughness": 0.6}
    lamp = {"x": 1e4, "y": 1e5, "z": 5e4}  # in front, from above
    named = {"name": escape(name), "showlegend": True, "hoverinfo": "name"}
    return go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, color=colour, lighting=light, lightposition=lamp, **named)
