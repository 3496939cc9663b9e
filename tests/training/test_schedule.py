"""The learning rate at the places the paper names."""

import itertools
import math

import pytest

from autosam_platform.training.schedule import learning_rate

PAPER = {
    "peak": 5e-4,
    "final": 0.01,
    "decay": "exponential",
    "steps_per_epoch": 24,
    "epochs": 200,
    "warmup_epochs": 5.0,
}


def test_warms_up_for_five_epochs_then_decays_to_one_percent() -> None:
    rates = [learning_rate(step, **PAPER) for step in range(200 * 24)]
    assert rates[0] == 5e-4 / 121  # the first of 5 · 24 + 1 equal stairs
    assert all(later > earlier for earlier, later in itertools.pairwise(rates[:121]))
    assert rates[120] == 5e-4
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[120:]))
    assert math.isclose(learning_rate(200 * 24, **PAPER), 5e-6)


def test_decay_is_exponential() -> None:
    """Half of the decay's time takes half of its orders of magnitude: 5e-4 · √0.01."""
    middle = 120 + (200 - 5) * 24 // 2
    assert math.isclose(learning_rate(middle, **PAPER), 5e-5, rel_tol=1e-9)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert learning_rate(0, **PAPER | {"peak": 1.0, "warmup_epochs": 0}) == 1.0


@pytest.mark.parametrize(
    ("decay", "expected"),
    [("cosine", [1.0, 0.2 + 0.8 * (1 + 0.5**0.5) / 2, 0.6, 0.2]), ("poly", [1.0, 0.2 + 0.8 * 0.75**0.9, None, 0.2])],
)
def test_half_a_wave_and_a_power(decay: str, expected: list[float | None]) -> None:
    """From 1 to 0.2 over 4 steps: at the start, after a quarter, in the middle, at the end."""
    short = {"peak": 1.0, "final": 0.2, "decay": decay, "steps_per_epoch": 1, "epochs": 4, "warmup_epochs": 0}
    for step, rate in zip((0, 1, 2, 4), expected, strict=True):
        assert rate is None or learning_rate(step, **short) == pytest.approx(rate)


def test_linear_decay_is_half_way_in_the_middle() -> None:
    """From 1 to 0.2 over the 4 steps after the warm-up of one: 0.6 after two of them."""
    short = {"peak": 1.0, "final": 0.2, "decay": "linear", "steps_per_epoch": 1, "epochs": 5, "warmup_epochs": 1}
    rates = [learning_rate(step, **short) for step in range(6)]
    assert rates == pytest.approx([0.5, 1.0, 0.8, 0.6, 0.4, 0.2])
