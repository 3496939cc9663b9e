"""From the signals of an organ to its expected Dice: an additive model of monotone curves, kept as plain numbers.

expected Dice = sigmoid(level of the organ + a curve of each signal)

Each curve is linear between a few knots and never rises or never falls against sense, so that nothing which looks worse
can make a result look better. ``autosam_platform.export.calibrating`` fits it; here it is read and evaluated, with
numpy alone.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from autosam_inference.frozen import Frozen

Share = Annotated[float, Field(ge=0, le=1)]
FittedOn = Literal["val", "train"]
"""A split whose cases a calibration was fitted on."""
Signals = Mapping[str, float]
"""An organ's signals by name (``signals.SIGNALS``); NaN where one cannot be had, which then counts for nothing."""


class Spread(Frozen):
    """A quantity in the training set: its middle, and the standard deviation around it."""

    middle: FiniteFloat
    deviation: PositiveFloat


class OrganReference(Frozen):
    """What an organ is like in the training set, by its truth.

    ``place_DHW`` is where its centre lies from the body's middle in mm; ``cut`` is how much of it the edge of a scan
    usually cuts at most (``shape.cut_share``).
    """

    log_ml: Spread
    hu: Spread
    place_DHW: tuple[Spread, Spread, Spread]
    cut: Share


class Curve(Frozen):
    """What a signal adds to the logit of the Dice: linear between the knots, level beyond them."""

    signal: str
    knots: tuple[FiniteFloat, ...]
    effects: tuple[FiniteFloat, ...]

    @model_validator(mode="after")
    def _is_a_curve(self) -> Self:
        if not len(self.knots) == len(self.effects) >= 2 or any(np.diff(self.knots) <= 0):
            raise ValueError(f"the curve of {self.signal} needs rising knots and an effect at each")
        return self

    def at(self, value: float) -> float:
        """The effect of a value; none of one that is unknown."""
        return 0.0 if math.isnan(value) else float(np.interp(value, self.knots, self.effects))


class Band(Frozen):
    """How far the Dice lies from the expected one: below and above, by what is expected."""

    expected: tuple[Share, ...]
    below: tuple[NonNegativeFloat, ...]
    above: tuple[NonNegativeFloat, ...]

    @model_validator(mode="after")
    def _is_a_band(self) -> Self:
        if not len(self.expected) == len(self.below) == len(self.above) >= 1 or any(np.diff(self.expected) <= 0):
            raise ValueError("the interval needs rising expected Dice, and a distance below and above at each")
        return self

    def around(self, expected: float) -> tuple[float, float]:
        """The interval, within 0 and 1."""
        below, above = (float(np.interp(expected, self.expected, each)) for each in (self.below, self.above))
        return max(expected - below, 0.0), min(expected + above, 1.0)


class Calibration(Frozen):
    """How a model's signals tell its Dice; part of the model's card."""

    version: Literal[1] = 1
    levels: dict[str, FiniteFloat]
    """Logit of the Dice of each organ where no signal stands out."""
    curves: tuple[Curve, ...]
    band: Band
    coverage: Share
    """Share of organs whose Dice is to lie within the interval."""
    least_dice: Share = 0.7
    """Below it a result is not to be used."""
    organs: dict[str, OrganReference]
    thickest_mm: PositiveFloat
    """Largest spacing of the scans that the model was trained on."""
    cases: PositiveInt
    scans: PositiveInt
    """Cases that it was fitted on, and scans: those cases and what was made bad of them on purpose."""
    split: FittedOn
    warnings: tuple[str, ...] = ()
    """What is to be known of it, such as that it was fitted on cases that the model was trained on."""

    def expected(self, organ: str, signals: Signals) -> float:
        """The Dice to expect."""
        return sigmoid(self.levels[organ] + sum(self.effects(signals).values()))

    def effects(self, signals: Signals) -> dict[str, float]:
        """What each signal adds to the logit; negative where it speaks against the result."""
        return {curve.signal: curve.at(signals.get(curve.signal, math.nan)) for curve in self.curves}

    def interval(self, expected: float) -> tuple[float, float]:
        """Where the Dice of most organs lies of which ``expected`` was said."""
        return self.band.around(expected)


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(−x)), without overflow.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    return 0.5 * (1 + math.tanh(0.5 * logit))
