"""Small lesions in organs, and clips of former operations, with their streaks."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosam_platform.data.phantom.frame import Frame
from autosam_platform.data.phantom.patient import Patient, Vector, vec
from autosam_platform.data.phantom.shapes import Field
from autosam_platform.data.phantom.tissue import METAL

STREAK_MM = 45.0  # at which a streak has faded to a third


def draw_lesions(
    rng: np.random.Generator,
    share: float,
    centre: Vector,
    spread: ArrayLike,
    radii: tuple[float, float],
    hu: float,
) -> list[tuple[Vector, float, float]]:
    """One to four balls (centre, radius, HU) around ``centre`` in a ``share`` of cases; most are small."""
    count, there = int(rng.integers(1, 5)), rng.random() < share
    centres = centre + rng.uniform(-1, 1, (4, 3)) * np.asarray(spread, float)
    sizes = radii[0] + (radii[1] - radii[0]) * rng.random(4) ** 2
    return [(middle, float(r), hu) for middle, r in zip(centres[:count], sizes, strict=False)] if there else []


def add_clips(patient: Patient, hu: Field, frame: Frame, rng: np.random.Generator) -> None:
    """Two to four metal clips where the gallbladder's duct was, or in the small pelvis, and streaks in their slices."""
    if not patient.clips:
        return
    places = (patient.landmarks.gallbladder + vec(-12, -16, 16), vec(40, -10, -215))
    middle = places[int(rng.random() < 0.35)]
    for _ in range(int(rng.integers(2, 5))):
        _add_clip(hu, frame, middle + rng.normal(0, 7, 3), float(rng.uniform(60, 190)), rng)


def _add_clip(hu: Field, frame: Frame, place: NDArray[np.float64], strength: float, rng: np.random.Generator) -> None:
    region = frame.region((place - 2.5, place + 2.5), margin=1.0)
    if any(part.start == part.stop for part in region):
        return
    x, y, z = (int((part.start + part.stop) // 2) for part in region)
    rays = np.hypot(frame.axes[0][:, None] - frame.axes[0][x], frame.axes[1][None] - frame.axes[1][y])
    angle = np.arctan2(frame.axes[1][None] - frame.axes[1][y], frame.axes[0][:, None] - frame.axes[0][x])
    turns, phase = int(rng.integers(5, 9)), float(rng.uniform(0, 2 * np.pi))
    streaks = strength * np.cos(turns * angle + phase) ** 3 * np.exp(-rays / STREAK_MM) * (rays > 2)
    hu[..., z] += np.where(hu[..., z] > -900, streaks, 0.2 * streaks)
    hu[x, y, z] = METAL
