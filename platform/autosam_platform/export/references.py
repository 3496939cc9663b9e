"""What the organs of the training set are like, by their truth: volumes, values, places."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from autosam_inference.card import ModelCard
from autosam_inference.quality.anatomy import Frame, Organ, anatomy, steps_to_look
from autosam_inference.quality.calibration import OrganReference, Spread
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.scan import read_grid
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.store import StoredCase

_USUAL_CUT = 0.95  # quantile
_LIKE_CASES = 5  # what is expected of any organ counts as so many cases: few tell little of a spread
_LOG_ML, _HU, _PLACE_MM = 0.4, 20.0, 15.0  # deviations that are expected of any organ
_MOST_CASES = 200  # more would tell nothing new


def references(dataset: PreparedDataset, card: ModelCard) -> dict[str, OrganReference]:
    """The organs that the training cases show, by name."""
    seen: dict[str, list[Organ]] = defaultdict(list)
    cases = [case for case in dataset.cases("train") if case.record.contents is not None]
    for case in cases[:: -(-len(cases) // _MOST_CASES) or 1]:
        for name, organ in _organs(case, card).items():
            seen[name].append(organ)
    return {name: reference(found) for name, found in seen.items()}


def thickest_mm(dataset: PreparedDataset) -> float:
    """The largest spacing of the training scans."""
    return max(max(read_grid(case.image).spacing_DHW) for case in dataset.raw("train"))


def reference(found: Sequence[Organ]) -> OrganReference:
    """Of one organ in some cases."""
    d, h, w = (_spread([each.centre_DHW[axis] for each in found], _PLACE_MM) for axis in range(3))
    return OrganReference(
        log_ml=_spread([math.log(each.ml) for each in found], _LOG_ML),
        hu=_spread([each.hu for each in found], _HU),
        place_DHW=(d, h, w),
        cut=float(np.quantile([each.cut for each in found], _USUAL_CUT)),
    )


def _organs(case: StoredCase, card: ModelCard) -> dict[str, Organ]:
    d, h, w = steps_to_look(card)
    whole = (0, 0, 0), case.shape_DHW
    frame = Frame.of(Volume(case.hu(), case.spacing_DHW), card)
    label_DHW, image_DHW = case.label_patch(*whole), case.image_patch(*whole)
    return anatomy(label_DHW[::d, ::h, ::w], image_DHW[::d, ::h, ::w], card, frame).organs


def _spread(values: Sequence[float], expected: float) -> Spread:
    """Middle and deviation, drawn towards what is expected of any organ where there are few."""
    variance = (len(values) * np.var(values) + _LIKE_CASES * expected**2) / (len(values) + _LIKE_CASES)
    return Spread(middle=float(np.median(values)), deviation=float(np.sqrt(variance)))
