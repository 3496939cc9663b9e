"""A calibration whose numbers can be followed by hand."""

import math
from typing import Any

import numpy as np

from autosam_inference.quality.anatomy import Organ
from autosam_inference.quality.calibration import Band, Calibration, Curve, OrganReference, Spread


def reference(ml: float = 7.389056, hu: float = 60.0, place_DHW: tuple[float, float, float] = (0, 0, 0)) -> Any:
    """exp(2) ml, give or take a factor of exp(0.5); at 60 ± 10 HU; its centre ± 10 mm."""
    d, h, w = (Spread(middle=each, deviation=10.0) for each in place_DHW)
    return OrganReference(
        log_ml=Spread(middle=math.log(ml), deviation=0.5),
        hu=Spread(middle=hu, deviation=10.0),
        place_DHW=(d, h, w),
        cut=0.0,
    )


def small_calibration(**changes: Any) -> Calibration:
    """One organ, the liver, and one curve, of the agreement, unless changed."""
    settings: dict[str, Any] = {
        "levels": {"liver": 2.0},
        "curves": (Curve(signal="agreement", knots=(0.0, 0.5, 1.0), effects=(-4.0, -2.0, 0.0)),),
        "band": Band(expected=(0.5, 0.9), below=(0.3, 0.1), above=(0.2, 0.05)),
        "coverage": 0.8,
        "organs": {"liver": reference()},
        "thickest_mm": 5.0,
        "cases": 2,
        "scans": 16,
        "split": "val",
    }
    return Calibration(**settings | changes)


PLACES: dict[str, tuple[float, float, float]] = {
    "liver": (0, 0, 60),
    "spleen": (0, 0, -80),
    "left": (-20, 0, -50),
    "right": (-20, 0, 50),
    "aorta": (5, 5, 0),
}
"""Where five organs lie along D, H, W, in mm from the body's middle."""


def organ(place_DHW: tuple[float, float, float], ml: float = 7.389056, cut: float = 0.0) -> Organ:
    """One in which nothing but its place is told."""
    return Organ(ml, 60.0, np.array(place_DHW, float), 0.0, 1, cut)
