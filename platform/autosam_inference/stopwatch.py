"""Where the time of a prediction goes."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Seconds per named phase. A phase inside another one interrupts it: nothing is counted twice.

    Args:
        settle: called before each reading of the clock, to wait for work that runs on (a GPU's).
    """

    def __init__(self, settle: Callable[[], None] = lambda: None) -> None:
        self.seconds: dict[str, float] = {}
        self._settle = settle
        self._running: str | None = None
        self._since = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside the block as ``name``."""
        outer = self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Pass ``items`` on and count the time that it takes to make them, not to use them, as ``name``."""
        iterator = iter(items)
        end = object()
        while True:
            with self.phase(name):
                item = next(iterator, end)
            if item is end:
                return
            yield item  # type: ignore[misc]  # what is not `end` is a T

    def __str__(self) -> str:
        phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        return f"{sum(self.seconds.values()):.1f} s ({phases})"

    def _switch(self, name: str | None) -> str | None:
        """Count up to now for the phase that runs, start ``name``, and give the one that ran."""
        self._settle()
        now = time.perf_counter()
        before = self._running
        if before is not None:
            self.seconds[before] = self.seconds.get(before, 0.0) + now - self._since
        self._running, self._since = name, now
        return before
