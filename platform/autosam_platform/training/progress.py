"""How far a fit is: written by its first worker into the run's folder, shown by the process that somebody looks at.

The two are different processes, on a cluster on different machines; both see the run's folder. What a worker prints
would reach the terminal through Ray, late and with a prefix on every line.
"""

import json
import secrets
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from autosam_inference.files import atomic_write

_MOST_MESSAGES = 200
_WRITE_SECONDS = 0.5  # a file of a few hundred bytes, in place of one a step
_LOG_SECONDS = 60.0


@dataclass(frozen=True)
class Progress:
    """Where a fit stands.

    Attributes:
        done, total: optimiser steps, over all epochs.
        epoch, epochs: the one that runs, counted from 1.
        loss: mean since the last report.
        learning_rate: of the last step.
        seconds_left: None until a few steps have been timed.
    """

    done: int
    total: int
    epoch: int
    epochs: int
    loss: float
    learning_rate: float
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f"  left {_duration(self.seconds_left)}"
        return f"epoch {self.epoch}/{self.epochs}  loss {self.loss:.4f}  rate {self.learning_rate:.2e}{left}"


class TimeLeft:
    """Seconds that a fit still needs: its steps take what they took since the start, pauses for validations included.

    The first step is not counted, since it waits for the loader to start. A mean over all that ran moves little, where
    one over the last steps would jump at every validation.
    """

    def __init__(self, now: float | None = None) -> None:
        self._first: tuple[int, float] | None = None

    def of(self, done: int, total: int, now: float | None = None) -> float | None:
        """After ``done`` of ``total`` steps; None until some steps have been timed."""
        now = time.monotonic() if now is None else now
        if self._first is None:
            self._first = (done, now)
        first, since = self._first
        return None if done < first + 5 else (total - done) * (now - since) / (done - first)


class ProgressFile:
    """The writing end, in the fit's first worker."""

    def __init__(self, path: Path) -> None:
        self._path, self._writer = path, secrets.token_hex(8)
        self._messages: list[str] = []
        self._said = 0
        self._progress: Progress | None = None
        self._written = 0.0

    def say(self, message: str) -> None:
        """Tell whoever looks, at once."""
        self._messages = [*self._messages, message][-_MOST_MESSAGES:]
        self._said += 1
        self._write()

    def show(self, progress: Progress) -> None:
        """Say where the fit stands; written a few times a second at most."""
        self._progress = progress
        if time.monotonic() - self._written > _WRITE_SECONDS or progress.done == progress.total:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        progress = asdict(self._progress) if self._progress else None
        content = {"writer": self._writer, "said": self._said, "messages": self._messages, "progress": progress}
        with atomic_write(self._path, durable=False) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")


def read_progress(path: Path) -> Progress | None:
    """Where the fit stands that writes ``path``; None where it has not begun."""
    content = _read(path)
    return Progress(**content["progress"]) if content and content["progress"] is not None else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not begun
    return content


class Display(Protocol):
    """Where messages and progress are shown."""

    def message(self, text: str) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def close(self) -> None: ...


class Follower:
    """The reading end: each call of ``look`` shows what is new.

    Args:
        path: what the run's last fit left there is not shown again.
    """

    def __init__(self, path: Path, display: Display) -> None:
        self._path, self._display = path, display
        self._writer, self._said = "", 0
        self.last: Progress | None = None
        self._path.unlink(missing_ok=True)

    def look(self) -> None:
        """Show what was said since the last look, and where the fit stands."""
        content = _read(self._path)
        if content is None:
            return
        if content["writer"] != self._writer:  # a worker was lost, and its successor counts anew
            self._writer, self._said = content["writer"], 0
        new = content["said"] - self._said
        for message in content["messages"][-new:] if new else ():
            self._display.message(message)
        self._said = content["said"]
        if content["progress"] is not None:
            self.last = Progress(**content["progress"])
            self._display.progress(self.last)

    def close(self) -> None:
        """Show the rest, and leave the terminal as it was."""
        self.look()
        self._display.close()


class Bar:
    """One bar that changes in place, for a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def message(self, text: str) -> None:
        """Above the bar."""
        tqdm.write(text, file=sys.stdout)

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar is None:
            shape = "{desc}  {percentage:3.0f}%|{bar:24}| step {n_fmt}/{total_fmt}"
            self._bar = tqdm(total=progress.total, file=sys.stdout, ascii=" =", bar_format=shape)
        self._bar.set_description_str(str(progress), refresh=False)
        self._bar.n = progress.done
        self._bar.refresh()

    def close(self) -> None:
        """End the bar's line."""
        if self._bar is not None:
            self._bar.close()


class Lines:
    """A line a minute, for a log."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def message(self, text: str) -> None:
        """A line of its own."""
        print(text, flush=True)

    def progress(self, progress: Progress) -> None:
        """A line, if the last one was a minute ago."""
        if time.monotonic() - self._shown >= _LOG_SECONDS:
            self._shown = time.monotonic()
            print(f"step {progress.done}/{progress.total}  {progress}", flush=True)

    def close(self) -> None:
        """Nothing is open."""


def display() -> Display:
    """A bar on a terminal, lines elsewhere."""
    return Bar() if sys.stdout.isatty() else Lines()


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
