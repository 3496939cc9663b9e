"""Dice and NSD of one case, class by class, on the scan's own grid.

The rules (docs/design.md, "What a metric means"): a class absent from truth and prediction has no score
(NaN); one that is absent from only one of the two scores 0; one that the case does not annotate has no score.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autosam_platform.data.description import LabelClass
from autosam_platform.evaluation.surface import Spacing, normalised_surface_distance

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class ClassMetrics:
    """Scores of one class in one case; NaN where there is none."""

    class_id: int
    class_name: str
    dice: float
    """Overlap, 0 to 1."""
    nsd: float
    """Share of the surface within the tolerance, 0 to 1."""
    truth_ml: float
    """Volume in the truth; NaN where the case does not annotate the class."""
    predicted_ml: float
    """Volume in the prediction."""


def case_metrics(
    prediction_DHW: NDArray[np.integer],
    truth_DHW: NDArray[np.integer],
    spacing_DHW: Spacing,
    classes: Sequence[LabelClass],
    tolerance_mm: float,
    annotated: Collection[int] | None = None,
) -> list[ClassMetrics]:
    """Score a predicted label map against the true one, both on the scan's own grid.

    Args:
        prediction_DHW, truth_DHW: label maps of the same shape; 0 is background.
        spacing_DHW: real size of a voxel in mm.
        classes: the classes to score, without background.
        tolerance_mm: distance up to which two surfaces count as the same.
        annotated: ids of the classes that the truth annotates; all of ``classes`` where not given.

    Raises:
        ValueError: the shapes differ, or a label is none of ``classes``.
    """
    if prediction_DHW.shape != truth_DHW.shape:
        raise ValueError(
            f"the prediction has {prediction_DHW.shape} voxels (depth, height, width) and the truth "
            f"{truth_DHW.shape}: score a prediction on the grid of the scan that its truth was drawn on"
        )
    ids = [0, *(each.id for each in classes)]
    prediction_DHW, truth_DHW = (_known(prediction_DHW, ids, "prediction"), _known(truth_DHW, ids, "truth"))
    counts_TP = _joint_counts(truth_DHW, prediction_DHW, max(ids) + 1)
    boxes = _boxes(truth_DHW, prediction_DHW)
    voxel_ml = math.prod(spacing_DHW) / 1000

    rows = []
    for each in classes:
        true, predicted = int(counts_TP[each.id].sum()), int(counts_TP[:, each.id].sum())
        known = annotated is None or each.id in annotated
        dice = nsd = math.nan
        if known and true and predicted:
            box = boxes[each.id]
            dice = 2 * int(counts_TP[each.id, each.id]) / (true + predicted)
            masks = prediction_DHW[box] == each.id, truth_DHW[box] == each.id
            nsd = normalised_surface_distance(*masks, spacing_DHW, tolerance_mm)
        elif known and (true or predicted):
            dice = nsd = 0.0
        true_ml = true * voxel_ml if known else math.nan
        rows.append(ClassMetrics(each.id, each.name, dice, nsd, true_ml, predicted * voxel_ml))
    return rows


def _known(label_DHW: NDArray[np.integer], ids: Sequence[int], what: str) -> NDArray[np.uint8]:
    found = np.unique(label_DHW)
    unknown = sorted(set(found.tolist()) - set(ids))
    if unknown:
        raise ValueError(f"the {what} holds the labels {unknown}, which are none of the dataset's {sorted(ids)}")
    return label_DHW.astype(np.uint8, copy=False)


def _joint_counts(truth_DHW: NDArray[np.uint8], prediction_DHW: NDArray[np.uint8], size: int) -> NDArray[np.int64]:
    """Voxels for each pair of true and predicted label, one slice at a time to stay small."""
    counts = np.zeros(size * size, np.int64)
    for truth_HW, prediction_HW in zip(truth_DHW, prediction_DHW, strict=True):
        pair = truth_HW.astype(np.intp) * size + prediction_HW
        counts += np.bincount(pair.ravel(), minlength=size * size)
    return counts.reshape(size, size)


def _boxes(truth_DHW: NDArray[np.uint8], prediction_DHW: NDArray[np.uint8]) -> dict[int, Box]:
    """For each label in both maps, the smallest box that holds all of it."""
    pairs = zip(ndimage.find_objects(truth_DHW), ndimage.find_objects(prediction_DHW), strict=False)
    return {label: _union(one, other) for label, (one, other) in enumerate(pairs, start=1) if one and other}


def _union(one: Box, other: Box) -> Box:
    d, h, w = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return d, h, w
