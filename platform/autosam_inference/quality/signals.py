"""The signals of an organ that a calibration turns into a Dice: what was measured, against the training set."""

import math
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from autosam_inference.quality.anatomy import Organ
from autosam_inference.quality.calibration import OrganReference, Signals, Spread
from autosam_inference.quality.measures import ScanMeasures, Sureness
from autosam_inference.quality.place import Constellation

SIGNALS = {
    "agreement": +1,
    "certainty": +1,
    "margin": +1,
    "company": +1,
    "islands": -1,
    "volume": -1,
    "place": -1,
    "brightness": -1,
    "cut": -1,
    "histogram": +1,
    "thickness": -1,
    "mirrored": -1,
}
"""Every signal, and whether more of it speaks for a result (+1) or against it (-1).

``agreement``, ``certainty`` and ``margin`` are the organ's own (``measures.Sureness``), ``islands`` its shape's;
``company`` is the median certainty of the other organs. ``volume``, ``place`` and ``brightness`` count deviations from
the training set; ``cut`` is what the edge of the scan cuts beyond what is usual. ``histogram``, ``thickness`` (the
logarithm of the spacing, against the thickest in training) and ``mirrored`` are the whole scan's.
"""


def signals(
    found: ScanMeasures, place: Constellation, references: Mapping[str, OrganReference], thickest_mm: float
) -> dict[str, Signals]:
    """The signals of each organ that was found; NaN where one cannot be had."""
    scan = {
        "histogram": found.common,
        "thickness": max(0.0, math.log(found.thickest_mm / thickest_mm)),
        "mirrored": place.mirrored,
    }
    return {
        name: _sure(name, found.sureness)
        | {"islands": organ.islands, "place": place.off.get(name, math.nan)}
        | _against(organ, references.get(name))
        | scan
        for name, organ in found.anatomy.organs.items()
    }


def _sure(name: str, sureness: Mapping[str, Sureness]) -> dict[str, float]:
    others = [each.certainty for other, each in sureness.items() if other != name]
    company = float(np.median(others)) if others else math.nan
    return asdict(sureness[name]) | {"company": company}


def _against(organ: Organ, reference: OrganReference | None) -> dict[str, float]:
    if reference is None:
        return {}
    return {
        "volume": _off(math.log(organ.ml), reference.log_ml),
        "brightness": _off(organ.hu, reference.hu),
        "cut": max(0.0, organ.cut - reference.cut),
    }


def _off(value: float, usual: Spread) -> float:
    return abs(value - usual.middle) / usual.deviation
