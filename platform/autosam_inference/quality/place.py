"""Where the organs lie, by the others: as a constellation that may be shifted, and is not to be mirrored.

An organ's place is compared with the training set's after all are shifted together, by the median of what each is off,
so that a field of view that begins elsewhere is nothing strange.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autosam_inference.quality.anatomy import Organ
from autosam_inference.quality.calibration import OrganReference
from autosam_inference.quality.shape import Vector

_ENOUGH = 4  # organs whose median says something
_LATERAL = 4.0  # deviations from the body's middle: an organ that lies on one side in everybody
_MOST_OFF = math.log(2)  # of an organ's volume: half of one, or what the edge cuts, has its middle elsewhere
_MOST_CUT = 0.25


@dataclass(frozen=True)
class Constellation:
    """The organs of a scan against those of the training set.

    Attributes:
        shift_DHW: in mm, of this scan's organs against the training set's; NaN where too few were found to tell.
        off: how many deviations each organ is off its place.
        mirrored: how far an organ of one side lies towards the other: 0 on its own, 1 at its mirror image. A network
            that goes by place names the kidney on the right the right one whoever's it is, but the liver gives a
            mirrored scan away.
    """

    shift_DHW: Vector
    off: dict[str, float]
    mirrored: float


def constellation(organs: Mapping[str, Organ], references: Mapping[str, OrganReference]) -> Constellation:
    """Compare the places of the organs that were found with the training set's."""
    names = [name for name in organs if name in references]
    if not names:
        return Constellation(np.full(3, np.nan), {}, 0.0)
    found_ND = np.array([organs[name].centre_DHW for name in names])
    middle_ND = np.array([[each.middle for each in references[name].place_DHW] for name in names])
    deviation_ND = np.array([[each.deviation for each in references[name].place_DHW] for name in names])
    # Few organs say nothing of where a scan begins; from left to right, and front to back, the body itself does.
    enough = len(names) >= _ENOUGH
    shift_D = np.median(found_ND - middle_ND, axis=0) if enough else np.array([np.nan, 0.0, 0.0])
    off_N = np.sqrt((np.nan_to_num((found_ND - middle_ND - shift_D) / deviation_ND) ** 2).mean(1))
    across = [_across(organs[name], references[name], shift_D[2]) for name in names]
    return Constellation(shift_D, dict(zip(names, off_N.tolist(), strict=True)), max(across))


def _across(organ: Organ, reference: OrganReference, shift: float) -> float:
    """How far an organ of one side lies towards its mirror image; 0 of one that has no side, or is not whole."""
    usual = reference.place_DHW[2]
    small = reference.log_ml.middle - math.log(organ.ml) > _MOST_OFF
    if abs(usual.middle) < _LATERAL * usual.deviation or small or organ.cut > reference.cut + _MOST_CUT:
        return 0.0
    return min(max((usual.middle + shift - organ.centre_DHW[2]) / (2 * usual.middle), 0.0), 1.0)
