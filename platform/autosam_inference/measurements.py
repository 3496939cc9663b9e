"""What can be measured of each organ on the scan's own voxels."""

import math
from dataclasses import dataclass

import numpy as np

from autosam_inference.card import LabelClass
from autosam_inference.prediction import Prediction


@dataclass(frozen=True)
class Measurement:
    """One organ of a segmented scan.

    Attributes:
        mean_hu, sd_hu: over its voxels; the standard deviation's divisor is their number. None where it has none.
    """

    organ: LabelClass
    voxels: int
    volume_ml: float
    mean_hu: float | None
    sd_hu: float | None


def measure(prediction: Prediction) -> tuple[Measurement, ...]:
    """Volume and HU of every organ, found or not, slice by slice: no further array of the scan's size is made."""
    counts, sums, squares = np.zeros(256, np.int64), np.zeros(256), np.zeros(256)
    for label_HW, hu_HW in zip(prediction.label_DHW, prediction.scan.volume.array_DHW, strict=True):
        inside = label_HW > 0
        ids_N, hu_N = label_HW[inside], hu_HW[inside].astype(np.float64)
        counts += np.bincount(ids_N, minlength=256)
        sums += np.bincount(ids_N, hu_N, minlength=256)
        squares += np.bincount(ids_N, hu_N * hu_N, minlength=256)
    voxel_ml = prediction.scan.grid.voxel_ml
    return tuple(
        _measured(organ, int(counts[organ.id]), sums[organ.id], squares[organ.id], voxel_ml)
        for organ in prediction.card.classes
    )


def _measured(organ: LabelClass, voxels: int, total: float, squares: float, voxel_ml: float) -> Measurement:
    if not voxels:
        return Measurement(organ, 0, 0.0, None, None)
    mean = float(total) / voxels
    return Measurement(organ, voxels, voxels * voxel_ml, mean, math.sqrt(max(float(squares) / voxels - mean**2, 0.0)))
