"""How far a prediction is, for a person who waits."""

import sys
import time
from typing import TextIO

_PAUSE = 2.0  # seconds between lines in a log


class WindowProgress:
    """Windows done: one line that changes on a terminal; in a log, which a page may follow, a line now and then.

    Args:
        what: is done, at the beginning of the line.
        stream: standard output where none is given.
    """

    def __init__(self, what: str = "", stream: TextIO | None = None) -> None:
        self._what = f"{what}: " if what else ""
        self._stream = stream or sys.stdout
        self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """See ``sliding_window.Progress``."""
        terminal, now = self._stream.isatty(), time.monotonic()
        if done == total or terminal or now - self._said > _PAUSE:
            self._said = now
            last = done == total or not terminal
            line = f"{chr(13) if terminal else ''}{self._what}window {done} of {total}"
            print(line, end="\n" if last else "", flush=True, file=self._stream)
