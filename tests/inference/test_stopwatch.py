"""Phases interrupt one another, so that nothing is counted twice."""

from collections.abc import Iterator

import pytest

from autosam_inference import stopwatch
from autosam_inference.stopwatch import Stopwatch


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_a_phase_inside_another_interrupts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    watch = Stopwatch()

    def slabs() -> Iterator[int]:
        for number in range(2):
            clock.now += 10  # making an item
            yield number

    with watch.phase("resample"):
        clock.now += 1
        for _ in watch.each("network", slabs()):
            clock.now += 2  # using it
    clock.now += 100  # between the phases
    with watch.phase("write"):
        clock.now += 5
    assert watch.seconds == {"resample": 5, "network": 20, "write": 5}
    assert str(watch) == "30.0 s (resample 5.0 s, network 20.0 s, write 5.0 s)"


def test_a_failing_phase_is_counted_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    watch = Stopwatch()
    with pytest.raises(RuntimeError), watch.phase("read"):
        clock.now += 3
        raise RuntimeError
    clock.now += 7
    assert watch.seconds == {"read": 3}
