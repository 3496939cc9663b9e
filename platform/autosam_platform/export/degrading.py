"""Scans made bad on purpose, with their truth: a good model fails seldom on good scans, and then there is nothing to
learn of its failures.

Each kind is a function of a random generator, a scan and a strength from 0 (nothing) to 1 (hardly a scan any more); the
truth follows the anatomy. They are simple on purpose: what is asked of them is to make the network fail in many ways,
not to be physics.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from autosam_inference.scans.plausibility import AIR_HU

_METAL_HU = 3071
_UNENHANCED_HU = 40.0


@dataclass(frozen=True)
class TrueScan:
    """A scan in HU with its truth, canonical, and its spacing in mm."""

    hu_DHW: NDArray[np.float32]
    label_DHW: NDArray[np.uint8]
    spacing_DHW: tuple[float, float, float]


Degradation = Callable[[np.random.Generator, TrueScan, float], TrueScan]


def noise(rng: np.random.Generator, scan: TrueScan, strength: float) -> TrueScan:
    """Quantum noise, as of a tenth of the dose and less: correlated in the plane, up to 250 HU."""
    noise_DHW = gaussian_filter(rng.standard_normal(scan.hu_DHW.shape, np.float32), (0.3, 0.7, 0.7), truncate=3)
    return _with_hu(scan, scan.hu_DHW + noise_DHW * (250 * strength / noise_DHW.std()))


def metal(rng: np.random.Generator, scan: TrueScan, strength: float) -> TrueScan:
    """An implant in the body and dark and bright streaks from it, through a third of the slices or more."""
    depth, height, width = scan.hu_DHW.shape
    inside = np.argwhere(scan.hu_DHW[depth // 2] > -200)
    row, column = inside[rng.integers(len(inside))] if len(inside) else (height // 2, width // 2)
    y, x = np.mgrid[:height, :width] * np.array(scan.spacing_DHW[1:])[:, None, None]
    y, x = y - row * scan.spacing_DHW[1], x - column * scan.spacing_DHW[2]
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    rays = sum(rng.normal() * np.cos(n * angle + rng.uniform(0, 2 * np.pi)) for n in range(2, 24, 2))
    streaks = 900 * strength * rays / np.sqrt(11 / 2) * np.exp(-radius / 120) * (radius < 400)
    reach = max(1, int(depth * rng.uniform(0.35, 0.9)))
    start = int(rng.integers(depth - reach + 1))
    hu_DHW = scan.hu_DHW.copy()
    body = hu_DHW[start : start + reach] > -900
    hu_DHW[start : start + reach] += np.float32(streaks) * body
    hu_DHW[start : start + reach, radius < 4 + 10 * strength] = _METAL_HU
    return _with_hu(scan, hu_DHW)


def phase(rng: np.random.Generator, scan: TrueScan, strength: float) -> TrueScan:
    """Another phase: some organs lose their contrast medium or gain as much as the arteries do."""
    hu_DHW = scan.hu_DHW.copy()
    for number in np.unique(scan.label_DHW)[1:]:
        mask = scan.label_DHW == number
        middle = float(np.median(hu_DHW[mask]))
        shift = _UNENHANCED_HU - middle if rng.random() < 0.5 else rng.uniform(60, 200)
        hu_DHW += np.float32(strength * shift) * gaussian_filter(mask.astype(np.float32), 0.6, truncate=2)
    return _with_hu(scan, hu_DHW)


def thick_slices(rng: np.random.Generator, scan: TrueScan, strength: float) -> TrueScan:
    """Slices up to 20 mm thick, each the mean of the thin ones in it; the truth is that of its middle."""
    thick = scan.spacing_DHW[0] + (20 - scan.spacing_DHW[0]) * strength
    count = max(2, round(scan.hu_DHW.shape[0] * scan.spacing_DHW[0] / thick))
    edges = np.linspace(0, scan.hu_DHW.shape[0], count + 1).round().astype(int)
    hu_DHW = np.stack([scan.hu_DHW[a:b].mean(0) for a, b in itertools.pairwise(edges)])
    spacing = scan.spacing_DHW[0] * scan.hu_DHW.shape[0] / count
    return TrueScan(hu_DHW, scan.label_DHW[(edges[:-1] + edges[1:]) // 2], (spacing, *scan.spacing_DHW[1:]))


def cropped(rng: np.random.Generator, scan: TrueScan, strength: float) -> TrueScan:
    """A field of view that shows a part of the body only: of the depth, the width and the height."""
    box = []
    for n, most in zip(scan.hu_DHW.shape, (0.8, 0.5, 0.5), strict=True):
        left = max(8, round(n * (1 - most * strength * rng.uniform(0.5, 1))))
        start = int(rng.integers(max(n - left, 0) + 1))
        box.append(slice(start, start + left))
    part = tuple(box)
    return TrueScan(scan.hu_DHW[part].copy(), scan.label_DHW[part].copy(), scan.spacing_DHW)


def other_part(rng: np.random.Generator, scan: TrueScan, strength: float) -> TrueScan:
    """Another body part: nearly all slices with organs are gone, the rest is repeated to a trunk of the same height."""
    depth = scan.hu_DHW.shape[0]
    left = max(4, round(depth * (1 - 0.9 * strength)))
    start = 0 if rng.random() < 0.5 else depth - left
    order = np.abs(np.arange(depth) % (2 * left) - left + 0.5).astype(int)  # there and back, without a step
    order = start + np.minimum(order, left - 1)
    return _reordered(scan, order)


def offset(rng: np.random.Generator, scan: TrueScan, strength: float) -> TrueScan:
    """Values that are off by a constant, up to 250 HU either way: a wrong rescale intercept or a wrong calibration."""
    sign = 1 if rng.random() < 0.5 else -1
    return _with_hu(scan, scan.hu_DHW + np.float32(sign * 250 * strength))


def mirrored(rng: np.random.Generator, scan: TrueScan, strength: float) -> TrueScan:
    """Left and right exchanged, as by a wrong header: the patient's left kidney stays that, wherever it lies."""
    flipped = (slice(None), slice(None), slice(None, None, -1))
    return TrueScan(scan.hu_DHW[flipped].copy(), scan.label_DHW[flipped].copy(), scan.spacing_DHW)


def blurred(rng: np.random.Generator, scan: TrueScan, strength: float) -> TrueScan:
    """Breathing: blur along all axes, up to 8 mm."""
    sigma = [8 * strength / spacing for spacing in scan.spacing_DHW]
    return _with_hu(scan, gaussian_filter(scan.hu_DHW, sigma, truncate=3))


DEGRADATIONS: dict[str, Degradation] = {
    "noise": noise,
    "metal": metal,
    "phase": phase,
    "thick slices": thick_slices,
    "cropped": cropped,
    "other part": other_part,
    "offset": offset,
    "mirrored": mirrored,
    "blurred": blurred,
}
"""By name."""


def _with_hu(scan: TrueScan, hu_DHW: NDArray[np.floating]) -> TrueScan:
    return TrueScan(np.clip(hu_DHW, AIR_HU, _METAL_HU).astype(np.float32), scan.label_DHW, scan.spacing_DHW)


def _reordered(scan: TrueScan, order: NDArray[np.intp]) -> TrueScan:
    return TrueScan(scan.hu_DHW[order], scan.label_DHW[order], scan.spacing_DHW)
