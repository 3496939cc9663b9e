"""Fit monotone curves of signals to Dice: an additive logistic regression on shares, convex, in a few dozen numbers.

Each signal has a curve that is linear between knots at quantiles of what was seen. Its rises all have one sign (what
speaks against a result cannot make it look better anywhere), and they are drawn towards nothing, as is the difference
between organs: so with few cases little is claimed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from autosam_inference.quality.calibration import Band, Curve, Signals
from autosam_inference.quality.signals import SIGNALS

_QUANTILES = (0.02, 0.15, 0.4, 0.7, 0.95)
_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)  # of the draw towards nothing, against the mean loss of a hundred organs
_FOLDS = 5
_BANDS = 5  # quantiles of what is expected, between whose middles the interval's width is linear

AS_IT_IS = "as it is"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """An organ of a scan with truth.

    Attributes:
        case: that the scan is, or was made from.
        organ: its name.
        signals: see ``signals.SIGNALS``.
        dice: against the truth.
        kind: how the scan was made bad on purpose; ``AS_IT_IS`` where it was not.
    """

    case: str
    organ: str
    signals: Signals
    dice: float
    kind: str = AS_IT_IS


@dataclass(frozen=True)
class Fitted:
    """What makes a calibration."""

    levels: dict[str, float]
    curves: tuple[Curve, ...]
    band: Band


def fit(examples: Sequence[Example], organs: Sequence[str], coverage: float) -> Fitted:
    """Fit curves and interval.

    The strength of the draw is the one with the least loss on cases left out of the fit, and the interval is that of
    what was expected of cases left out.

    Raises:
        ValueError: there are no examples.
    """
    if not examples:
        raise ValueError("there is no organ to fit on")
    design = _Design.of(examples, organs)
    groups = _groups(examples)
    guesses = {strength: _left_out(design, groups, strength) for strength in _STRENGTHS}
    strength = min(guesses, key=lambda each: _loss(design, guesses[each]))
    return design.fitted(design.solve(strength), band(guesses[strength], design.dice_N, design.weight_N, coverage))


def band(expected_N: Floats, dice_N: Floats, weight_N: Floats, coverage: float) -> Band:
    """How far the Dice lay below and above what was expected, by what was expected."""
    edges = np.quantile(expected_N, np.arange(1, _BANDS) / _BANDS)
    part_N = np.searchsorted(np.unique(edges), expected_N)
    found: dict[float, tuple[float, float]] = {}
    for number in np.unique(part_N):
        part = part_N == number
        off_N, tail = dice_N[part] - expected_N[part], (1 - coverage) / 2
        low, high = (_quantile(off_N, weight_N[part], each) for each in (tail, 1 - tail))
        found[round(float(np.mean(expected_N[part])), 6)] = max(-low, 0.0), max(high, 0.0)
    places = sorted(found)
    return Band(
        expected=tuple(places), below=tuple(found[at][0] for at in places), above=tuple(found[at][1] for at in places)
    )


def _quantile(value_N: Floats, weight_N: Floats, share: float) -> float:
    order = np.argsort(value_N)
    reached_N = np.cumsum(weight_N[order]) - weight_N[order] / 2
    return float(np.interp(share * weight_N.sum(), reached_N, value_N[order]))


@dataclass(frozen=True)
class _Design:
    """The regression's matrix: the signals' rises between knots, then the organs."""

    organs: tuple[str, ...]
    knots: Mapping[str, Floats]
    matrix_NP: Floats
    dice_N: Floats
    weight_N: Floats
    typical: Mapping[str, float]

    @classmethod
    def of(cls, examples: Sequence[Example], organs: Sequence[str]) -> "_Design":
        clean_N = np.array([each.kind == AS_IT_IS for each in examples])
        knots, typical, columns = {}, {}, []
        for name in SIGNALS:
            value_N = np.array([each.signals.get(name, np.nan) for each in examples])
            known_N = value_N[np.isfinite(value_N)]
            places = np.unique(np.quantile(known_N, _QUANTILES).round(6)) if len(known_N) else known_N
            if len(places) < 2:  # says nothing, or the same of all
                continue
            usual_N = value_N[clean_N & np.isfinite(value_N)]
            typical[name] = float(np.median(usual_N if len(usual_N) else known_N))
            knots[name] = places
            columns.append(_rises(np.where(np.isfinite(value_N), value_N, typical[name]), places))
        whose_N = np.array([list(organs).index(each.organ) for each in examples])
        matrix_NP = np.concatenate([*columns, np.eye(len(organs))[whose_N], np.ones((len(examples), 1))], axis=1)
        # As much is to be learned of good scans, which are what comes, as of bad ones.
        share = clean_N.mean()
        weight_N = np.where(clean_N, 0.5 / share, 0.5 / (1 - share)) if 0 < share < 1 else np.ones(len(clean_N))
        dice_N = np.array([each.dice for each in examples])
        return cls(tuple(organs), knots, matrix_NP, dice_N, weight_N, typical)

    def solve(self, strength: float, rows_N: NDArray[np.bool_] | None = None) -> Floats:
        """The coefficients, with the sign that each must have."""
        rows = slice(None) if rows_N is None else rows_N
        matrix_NP, dice_N, weight_N = self.matrix_NP[rows], self.dice_N[rows], self.weight_N[rows]
        drawn_P = np.ones(matrix_NP.shape[1])
        drawn_P[-1] = 0.0  # the common level is free
        signs = [SIGNALS[name] for name, places in self.knots.items() for _ in places[1:]]
        bounds = [(0, None) if sign > 0 else (None, 0) for sign in signs] + [(None, None)] * (len(self.organs) + 1)

        def loss(coefficient_P: Floats) -> tuple[float, Floats]:
            logit_N = matrix_NP @ coefficient_P
            value = weight_N @ (np.logaddexp(0, logit_N) - dice_N * logit_N)
            slope_P = matrix_NP.T @ (weight_N * (_sigmoid(logit_N) - dice_N))
            draw_P = strength * drawn_P * coefficient_P
            return float(value + draw_P @ coefficient_P / 2), slope_P + draw_P

        return minimize(loss, np.zeros(len(drawn_P)), jac=True, method="L-BFGS-B", bounds=bounds).x

    def expected(self, coefficient_P: Floats) -> Floats:
        return _sigmoid(self.matrix_NP @ coefficient_P)

    def fitted(self, coefficient_P: Floats, interval: Band) -> Fitted:
        curves, at, common = [], 0, float(coefficient_P[-1])
        for name, places in self.knots.items():
            effect_K = np.concatenate([[0.0], np.cumsum(coefficient_P[at : at + len(places) - 1])])
            at += len(places) - 1
            usual = float(np.interp(self.typical[name], places, effect_K))
            common += usual
            if np.ptp(effect_K):
                curves.append(
                    Curve(signal=name, knots=tuple(places.tolist()), effects=tuple((effect_K - usual).tolist()))
                )
        levels = {name: common + float(own) for name, own in zip(self.organs, coefficient_P[at:-1], strict=True)}
        return Fitted(levels, tuple(curves), interval)


def _rises(value_N: Floats, places: Floats) -> Floats:
    """How far each value is between each two knots, 0 to 1."""
    low, high = places[:-1], places[1:]
    return np.clip((value_N[:, None] - low) / (high - low), 0, 1)


def _sigmoid(logit_N: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(0.5 * logit_N))


def _groups(examples: Sequence[Example]) -> NDArray[np.intp]:
    """To which fold each belongs: all of a case to one."""
    cases = list(dict.fromkeys(each.case for each in examples))
    return np.array([cases.index(each.case) % _FOLDS for each in examples])


def _left_out(design: _Design, groups_N: NDArray[np.intp], strength: float) -> Floats:
    """What is expected of each example by a fit on the cases of other folds; by the whole where there is one case."""
    expected_N = np.empty(len(groups_N))
    for group in np.unique(groups_N):
        own = groups_N == group
        rest = ~own if not own.all() else own
        expected_N[own] = design.expected(design.solve(strength, rest))[own]
    return expected_N


def _loss(design: _Design, expected_N: Floats) -> float:
    p_N = np.clip(expected_N, 1e-6, 1 - 1e-6)
    loss_N = design.dice_N * np.log(p_N) + (1 - design.dice_N) * np.log(1 - p_N)
    return -float(design.weight_N @ loss_N)
