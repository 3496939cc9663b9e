"""Measure ours against the plain way, in one process on the same input: seconds, peak memory, difference.

Examples:
    python jobs/benchmark.py teacher              the model as published, forward and a training step (128³, ViT-B)
    python jobs/benchmark.py window               a whole scan, against MONAI's sliding window and torch's interpolation
    python jobs/benchmark.py metrics              Dice, NSD and HD95, against DeepMind's surface-distance
    python jobs/benchmark.py loader               training patches, against MONAI's transforms on arrays in memory
    python jobs/benchmark.py distillation --run N a student's step with a stored teacher, an online one, and none
    python jobs/benchmark.py overlap --run NAME   a run's test cases with overlaps from 0 to the paper's 0.75

The plain ways are those that the tests compare with (tests/reference). Figures that matter are in docs/benchmarks.md.
"""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import _roots  # noqa: F401  (finds the project)
import tyro

from autosam_inference.bounds import Overlap
from autosam_inference.files import write_text
from autosam_platform.command_line import CommandLine, parse
from autosam_platform.experiment import Positive
from autosam_platform.pipeline.ending import Outcome, run_job
from autosam_platform.workspace import workspace

if TYPE_CHECKING:
    from _benchmarks import Row
    from rich.table import Table


class BenchmarkJob(CommandLine):
    """What is measured, on what."""

    suite: Annotated[
        Literal["teacher", "window", "metrics", "loader", "distillation", "overlap"], tyro.conf.Positional
    ] = "metrics"
    """Which part of the platform."""
    device: str | None = None
    """Such as cpu or cuda:1; a GPU where there is one. Metrics and loader run on the CPU."""
    model: str = "autosam_vit_b"
    """Model of the suites teacher and, without --run, distillation; `python -m autosam_models` lists them."""
    patch: Positive | None = None
    """Edge of the patch in voxels: of the teacher's forward pass (128), of a window (64), of a training patch (128)."""
    step_patch: Positive | None = None
    """Edge of the patch of the teacher's training step; 128 on a GPU, 64 on a CPU, whose memory is too small for it."""
    size_DHW: tuple[Positive, Positive, Positive] = (300, 512, 512)
    """Voxels of the scan of the window suite."""
    overlap: Overlap = 0.25
    """Share that windows have in common, in the window suite."""
    run: str | None = None
    """Name or folder of a finished run, for the suites overlap (the newest where none is given) and distillation."""
    repeats: Positive = 1
    """How often each is measured in the suites teacher, window and metrics (the fastest counts), and distillation
    (the median does)."""


def main() -> None:
    job = parse(BenchmarkJob, sys.argv[1:], description=__doc__)
    job.end_if_checked()
    run_job(lambda: _benchmark(job), job)


def _benchmark(job: BenchmarkJob) -> Outcome:
    import rich
    import torch
    from _benchmarks import loader, metrics, overlaps, teacher, window
    from _distillation_benchmark import of_model, of_run

    from autosam_platform.measure import machine
    from autosam_platform.pipeline.steps import finished_run

    named = job.device or ("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device("cpu" if job.suite in ("metrics", "loader") else named)
    print(machine(device), flush=True)
    place = workspace().benchmark(f"{job.suite}-{device.type}")
    suites: dict[str, Callable[[], list[Row]]] = {
        "teacher": lambda: teacher(job.model, job.patch or 128, job.step_patch, device, job.repeats),
        "window": lambda: window(job.size_DHW, job.patch or 64, job.overlap, device, job.repeats),
        "metrics": lambda: metrics(job.repeats),
        "loader": lambda: loader(job.patch or 128),
        "distillation": lambda: (
            of_run(finished_run(job.run), device, job.repeats)
            if job.run
            else of_model(job.model, job.patch or 128, device, job.repeats)
        ),
        "overlap": lambda: overlaps(finished_run(job.run), place.with_suffix(".png")),
    }
    rows = suites[job.suite]()
    rich.print(_table(job.suite, rows))
    numbers: dict[str, Any] = {"suite": job.suite, "machine": machine(device), "rows": [row.as_json() for row in rows]}
    write_text(place, json.dumps(numbers, indent=2))
    return Outcome(place, numbers)


def _table(suite: str, rows: "list[Row]") -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=f"{suite}: ours and the plain way", box=SIMPLE_HEAD)
    table.add_column("what")
    for name in ("ours s", "plain s", "ratio", "ours MB", "plain MB", "difference"):
        table.add_column(name, justify="right")
    for row in rows:
        sizes = [f"{value:,.0f}" if value is not None else "–" for value in (row.ours_peak_mb, row.reference_peak_mb)]
        plain = f"{row.reference_s:.3g}" if row.reference_s is not None else "–"
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else "–"
        difference = f"{row.max_difference:.2g}" if row.max_difference is not None else "–"
        table.add_row(row.name, f"{row.ours_s:.3g}", plain, ratio, *sizes, difference)
    return table


if __name__ == "__main__":
    main()
