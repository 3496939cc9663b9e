"""Label maps to score, and their scores the plain way, with DeepMind's `surface-distance` on whole volumes."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import surface_distance
from numpy.typing import NDArray

Shape = tuple[int, int, int]
Labels = NDArray[np.uint8]

# Centre and radii along D, H, W of BTCV's organs, as shares of the volume's sides: sizes as in an adult who fills a
# field of view of 45 × 41 × 41 cm; the places are only roughly those of an abdomen.
_ORGANS = (
    ((0.62, 0.38, 0.24), (0.12, 0.11, 0.07)),  # spleen
    ((0.42, 0.36, 0.66), (0.12, 0.07, 0.07)),  # right kidney
    ((0.44, 0.35, 0.34), (0.12, 0.07, 0.07)),  # left kidney
    ((0.36, 0.62, 0.62), (0.08, 0.04, 0.04)),  # gallbladder
    ((0.80, 0.42, 0.48), (0.18, 0.02, 0.02)),  # esophagus
    ((0.60, 0.50, 0.72), (0.15, 0.18, 0.19)),  # liver
    ((0.62, 0.62, 0.32), (0.13, 0.11, 0.10)),  # stomach
    ((0.50, 0.40, 0.46), (0.48, 0.03, 0.03)),  # aorta
    ((0.52, 0.42, 0.56), (0.42, 0.03, 0.04)),  # inferior vena cava
    ((0.54, 0.52, 0.50), (0.08, 0.03, 0.14)),  # portal and splenic vein
    ((0.50, 0.54, 0.44), (0.05, 0.05, 0.17)),  # pancreas
    ((0.58, 0.36, 0.60), (0.03, 0.02, 0.03)),  # right adrenal gland
    ((0.58, 0.36, 0.40), (0.03, 0.02, 0.03)),  # left adrenal gland
)


def organ_maps(shape_DHW: Shape, classes: int, seed: int) -> tuple[Labels, Labels]:
    """A prediction and a truth as evaluations meet them: BTCV's first ``classes`` organs (13 at most).

    The truth's contours are smooth in a slice and jump a little between slices, as those drawn by hand do. The
    prediction's surface runs a voxel or two beside the truth's; specks lie around it; and organs 1, 6 and 11 have a
    false island of a tenth of their surface at the other end of the body, so that boxes and distances become large.
    """
    random = np.random.default_rng(seed)
    truth_DHW, prediction_DHW = np.zeros(shape_DHW, np.uint8), np.zeros(shape_DHW, np.uint8)
    for label, (centre, radii) in enumerate(_ORGANS[:classes], start=1):
        middle = [share * side for share, side in zip(centre, shape_DHW, strict=True)]
        reach = [max(share * side, 1.5) for share, side in zip(radii, shape_DHW, strict=True)]
        voxel = 1 / np.mean(reach[1:])  # in units of the organ's radius
        box, radius_DHW = _radius(shape_DHW, middle, reach)
        radius_DHW += _waves(random, radius_DHW.shape, 9, 0.08)
        jumps_D11 = (0.4 * voxel * random.standard_normal((len(radius_DHW), 1, 1))).astype(np.float32)
        truth_DHW[box][radius_DHW + jumps_D11 < 1] = label
        radius_DHW += _waves(random, radius_DHW.shape, 12, 2 * voxel)
        prediction_DHW[box][radius_DHW < 1] = label
        for _ in range(20):
            speck = [at + 1.3 * size * random.uniform(-1, 1) for at, size in zip(middle, reach, strict=True)]
            _fill(prediction_DHW, label, speck, [random.uniform(0.5, 3)] * 3)
        if label % 5 == 1:
            island = [side - at for at, side in zip(middle, shape_DHW, strict=True)]
            _fill(prediction_DHW, label, [min(island[0], 0.2 * shape_DHW[0]), *island[1:]], [0.35 * r for r in reach])
    return prediction_DHW, truth_DHW


def _radius(
    shape: Shape, middle: Sequence[float], reach: Sequence[float]
) -> tuple[tuple[slice, ...], NDArray[np.float32]]:
    """Around an ellipsoid, a box of the volume and every voxel's radius: 1 on the ellipsoid."""
    sides = zip(middle, reach, shape, strict=True)
    box = tuple(slice(max(0, int(at - 1.4 * r)), min(side, math.ceil(at + 1.4 * r) + 1)) for at, r, side in sides)
    axes = [(np.arange(s.start, s.stop) + 0.5 - at) / r for s, at, r in zip(box, middle, reach, strict=True)]
    d, h, w = (axis.astype(np.float32) ** 2 for axis in axes)
    return box, np.sqrt(d[:, None, None] + h[:, None] + w)


def _waves(random: np.random.Generator, shape: Shape, most: float, height: float) -> NDArray[np.float32]:
    """A sum of four waves of random directions, with up to ``most`` radians along each side."""
    total = np.zeros(shape, np.float32)
    for _ in range(4):
        phases = [np.linspace(0, random.uniform(0.4, 1) * most, n) + random.uniform(0, 2 * np.pi) for n in shape]
        d, h, w = (np.sin(phase).astype(np.float32) for phase in phases)
        total += np.float32(height) * (d[:, None, None] * h[:, None]) * w
    return total


def _fill(label_DHW: Labels, label: int, middle: Sequence[float], reach: Sequence[float]) -> None:
    shape: Shape = label_DHW.shape  # type: ignore[assignment]
    box, radius_DHW = _radius(shape, middle, reach)
    label_DHW[box][radius_DHW < 1] = label


def reference_metrics(
    prediction_DHW: Labels, truth_DHW: Labels, spacing_DHW: tuple[float, float, float], classes: int, tolerance: float
) -> dict[int, tuple[float, float, float]]:
    """Dice, NSD and HD95 (mm) of the labels 1 to ``classes``, by the rules of docs/design.md."""
    scores = {}
    for label in range(1, classes + 1):
        truth, prediction = truth_DHW == label, prediction_DHW == label
        if truth.any() and prediction.any():
            distances = _distances(truth, prediction, spacing_DHW)
            scores[label] = (
                float(surface_distance.compute_dice_coefficient(truth, prediction)),
                float(surface_distance.compute_surface_dice_at_tolerance(distances, tolerance)),
                float(surface_distance.compute_robust_hausdorff(distances, 95)),
            )
        else:
            missed = 0.0 if truth.any() or prediction.any() else math.nan
            scores[label] = missed, missed, math.nan
    return scores


def _distances(
    truth: NDArray[np.bool_], prediction: NDArray[np.bool_], spacing: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it finds SciPy's functions under their older names
        return surface_distance.compute_surface_distances(truth, prediction, spacing)
