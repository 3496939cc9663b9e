"""One comparison of ours with the plain way, measured in turn in one process on the same input."""

import importlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from _roots import ROOT

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from autosam_platform.experiment import ConfigError
from autosam_platform.measure import Measured, measure

T = TypeVar("T")

CLASSES = 14
"""Of the networks that are measured: BTCV's organs and the background."""


@dataclass(frozen=True)
class Row:
    """One comparison; None where there is nothing to compare with or nothing that tells."""

    name: str
    ours_s: float
    reference_s: float | None
    ours_peak_mb: float | None
    reference_peak_mb: float | None
    max_difference: float | None
    """Of the outputs: of logits and gradients relative to the largest, of label maps the share of voxels, of metrics
    as it is."""

    @property
    def ratio(self) -> float | None:
        """How many times as long the reference takes."""
        return None if self.reference_s is None else self.reference_s / self.ours_s

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio}


def plain_module(name: str) -> Any:
    """A module of tests/reference, which a checkout has and an installed package has not.

    Raises:
        ConfigError: it, or what it needs, is not there.
    """
    tests = str(ROOT / "tests")
    if tests not in sys.path:
        sys.path.append(tests)
    try:
        return importlib.import_module(f"reference.{name}")
    except ImportError as error:
        raise ConfigError(
            f"the benchmarks compare with tests/reference, which cannot be imported ({error}): run them in a checkout "
            "of the project, with its development tools: pip install -e '.[dev]'"
        ) from error


def best(work: Callable[[], T], device: torch.device, repeats: int) -> Measured[T]:
    """The fastest of some measurements, with the result of the last."""
    runs = [measure(work, device) for _ in range(repeats)]
    peaks = [run.peak_mb for run in runs if run.peak_mb is not None]
    return Measured(runs[-1].result, min(run.seconds for run in runs), max(peaks, default=None))


def compared(name: str, ours: Measured[Any], theirs: Measured[Any], difference: float | None) -> Row:
    """The row of two measurements, said at once since a suite takes minutes."""
    print(f"{name}: {ours.seconds:.3g} s and {theirs.seconds:.3g} s", flush=True)
    return Row(name, ours.seconds, theirs.seconds, ours.peak_mb, theirs.peak_mb, difference)


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, as a share of the largest of theirs."""
    return ((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max()).item()


def table(title: str, rows: Iterable[Row]) -> Table:
    """Comparisons as people read them; a dash where there is nothing to say."""
    shown = Table(title=title, box=SIMPLE_HEAD)
    shown.add_column("what")
    for name in ("ours s", "plain s", "ratio", "ours MB", "plain MB", "difference"):
        shown.add_column(name, justify="right")
    for row in rows:
        memory = [_number(megabytes, ",.0f") for megabytes in (row.ours_peak_mb, row.reference_peak_mb)]
        seconds = [_number(row.ours_s, ".3g"), _number(row.reference_s, ".3g"), _number(row.ratio, ".2f")]
        shown.add_row(row.name, *seconds, *memory, _number(row.max_difference, ".2g"))
    return shown


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"
