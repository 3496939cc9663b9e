"""Dice, NSD and HD95 of one case, class by class, on the scan's own grid.

The rules (docs/design.md, "What a metric means"): a class absent from truth and prediction has no score
(NaN); one that is absent from only one of the two has Dice and NSD 0 and no HD95, since nothing is there to be
far from; one that the case does not annotate has no score.
"""

import math
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autosam_inference.card import LabelClass
from autosam_platform.evaluation.surface import (
    Spacing,
    hausdorff_95,
    normalised_surface_distance,
    surface_distances,
)

Box = tuple[slice, slice, slice]
Labels = NDArray[np.uint8]

_NOWHERE: Box = (slice(0), slice(0), slice(0))


@dataclass(frozen=True)
class ClassMetrics:
    """Scores of one class in one case; NaN where there is none."""

    class_id: int
    class_name: str
    dice: float
    """Overlap, 0 to 1."""
    nsd: float
    """Share of the surface within the tolerance, 0 to 1."""
    hd95_mm: float
    """Hausdorff distance at the 95th percentile; NaN also where truth or prediction lacks the class."""
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
    *,
    threads: int = 1,
) -> list[ClassMetrics]:
    """Score a predicted label map against the true one, both on the scan's own grid.

    Args:
        prediction_DHW, truth_DHW: label maps of the same shape; 0 is background.
        spacing_DHW: real size of a voxel in mm.
        classes: the classes to score, without background.
        tolerance_mm: distance up to which two surfaces count as the same in NSD.
        annotated: ids of the classes that the truth annotates; all of ``classes`` where not given.
        threads: classes that are scored at the same time.

    Raises:
        ValueError: the shapes differ, or a label is none of ``classes``.
    """
    if prediction_DHW.shape != truth_DHW.shape:
        raise ValueError(
            f"the prediction has {prediction_DHW.shape} voxels (depth, height, width) and the truth "
            f"{truth_DHW.shape}: score a prediction on the grid of the scan that its truth was drawn on"
        )
    maps = prediction_DHW.astype(np.uint8, copy=False), truth_DHW.astype(np.uint8, copy=False)
    with ThreadPoolExecutor(threads) as pool:
        boxes = list(pool.map(_boxes, maps))
        for label_DHW, found, what in zip((prediction_DHW, truth_DHW), boxes, ("prediction", "truth"), strict=True):
            _check_labels(label_DHW, found, classes, what)

        def score(each: LabelClass) -> ClassMetrics:
            box = _union([found[each.id] for found in boxes if each.id in found])
            predicted_DHW, true_DHW = (label_DHW[box] == each.id for label_DHW in maps)
            known = annotated is None or each.id in annotated
            return _class_metrics(each, predicted_DHW, true_DHW, spacing_DHW, tolerance_mm, known=known)

        return list(pool.map(score, classes))


def _class_metrics(
    each: LabelClass,
    predicted_DHW: NDArray[np.bool_],
    true_DHW: NDArray[np.bool_],
    spacing_DHW: Spacing,
    tolerance_mm: float,
    *,
    known: bool,
) -> ClassMetrics:
    both_DHW = predicted_DHW & true_DHW
    predicted, true, both = (int(np.count_nonzero(mask)) for mask in (predicted_DHW, true_DHW, both_DHW))
    dice = nsd = hd95_mm = math.nan
    if known and true and predicted:
        dice = 2 * both / (true + predicted)
        distances = surface_distances(predicted_DHW, true_DHW, spacing_DHW)
        nsd, hd95_mm = normalised_surface_distance(distances, tolerance_mm), hausdorff_95(distances)
    elif known and (true or predicted):
        dice = nsd = 0.0
    voxel_ml = math.prod(spacing_DHW) / 1000
    true_ml = true * voxel_ml if known else math.nan
    return ClassMetrics(each.id, each.name, dice, nsd, hd95_mm, true_ml, predicted * voxel_ml)


def _boxes(label_DHW: Labels) -> dict[int, Box]:
    """For each label in the map, the smallest box that holds all of it."""
    return {label: box for label, box in enumerate(ndimage.find_objects(label_DHW), start=1) if box}


def _check_labels(
    label_DHW: NDArray[np.integer], found: Collection[int], classes: Sequence[LabelClass], what: str
) -> None:
    if label_DHW.dtype != np.uint8:
        found = np.unique(label_DHW).tolist()  # those that a byte cannot hold were found as others
    ids = {0, *(each.id for each in classes)}
    unknown = sorted(set(found) - ids)
    if unknown:
        raise ValueError(f"the {what} holds the labels {unknown}, which are none of the dataset's {sorted(ids)}")


def _union(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of ``boxes``."""
    if not boxes:
        return _NOWHERE
    sides = zip(*boxes, strict=True)
    d, h, w = (slice(min(each.start for each in side), max(each.stop for each in side)) for side in sides)
    return d, h, w
