"""Where the time of each case went, as a file, as medians and as a line for the terminal."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from autosam_inference.files import atomic_write

TOTAL = "total"
_DIGITS = 4  # a phase of a small scan takes less than a millisecond


def with_total(seconds: Mapping[str, float]) -> dict[str, float]:
    """The seconds of a case's phases, rounded, and after them what these add up to, as ``total``."""
    phases = {name: round(value, _DIGITS) for name, value in seconds.items()}
    return phases | {TOTAL: round(sum(phases.values()), _DIGITS)}


def write_seconds(path: Path, cases: Mapping[str, Mapping[str, float]]) -> None:
    """Write ``seconds.csv``, whole or not at all: a line per case, a column per phase, their total last.

    Args:
        cases: case id to its phases' seconds (``with_total``), the same phases for all.
    """
    phases = next(iter(cases.values()))
    # A scan's name may hold what is no character, as a file of another encoding does.
    with (
        atomic_write(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, ["case", *phases])
        writer.writeheader()
        writer.writerows({"case": case} | dict(seconds) for case, seconds in cases.items())


def medians(cases: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median over cases of each phase and of the total.

    A median, since the first case of a process is slower than those after it. The medians of the phases do not add
    up to that of the total.
    """
    return {name: round(median(seconds[name] for seconds in cases), _DIGITS) for name in cases[0]}


def as_line(seconds: Mapping[str, float]) -> str:
    """Such as ``read 0.1, network 3.6, total 3.7``, in seconds."""
    return ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
