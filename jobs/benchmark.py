"""Measure ours against the plain way, in one process on the same input: seconds, peak memory, difference.

Examples:
    python jobs/benchmark.py teacher              the model as published, forward and a training step (128³, ViT-B)
    python jobs/benchmark.py window               a whole scan, against MONAI's sliding window and torch's interpolation
    python jobs/benchmark.py metrics              Dice, NSD and HD95, against DeepMind's surface-distance
    python jobs/benchmark.py loader               training patches, against MONAI's transforms on arrays in memory
    python jobs/benchmark.py train --steps 50     whether the loader or the network limits a training on this machine
    python jobs/benchmark.py distillation --run N a student's step with a stored teacher, an online one, and none
    python jobs/benchmark.py overlap --run NAME   a run's test cases with overlaps from 0 to the paper's 0.75
    python jobs/benchmark.py sources --repeats 2  organs annotated by two sources, against all labels; trains 6 models
    python jobs/benchmark.py bedside              a scan from file to file with OpenVINO, torch and MONAI's inferer
    python jobs/benchmark.py quality --run NAME   whether the expected Dice is true, on scans made bad on purpose too

The plain ways are those that the tests compare with (tests/reference). Figures that matter are in docs/benchmarks.md.
"""

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

import _roots  # noqa: F401  (finds the project)

from benchmarks.job import BenchmarkJob

from autosam_inference.files import write_text
from autosam_platform.command_line import parse
from autosam_platform.pipeline.ending import Outcome, run_job

if TYPE_CHECKING:
    import torch


def main() -> None:
    job = parse(BenchmarkJob, sys.argv[1:], description=__doc__)
    job.end_if_checked()
    run_job(lambda: _benchmark(job), job)


def _benchmark(job: BenchmarkJob) -> Outcome:
    import rich
    from benchmarks.comparison import table

    from autosam_platform.measure import machine

    device = _device(job)
    print(machine(device), flush=True)
    rows = importlib.import_module(f"benchmarks.{job.suite}").rows(job, device)
    rich.print(table(f"{job.suite}: ours and the plain way", rows))
    numbers: dict[str, Any] = {"suite": job.suite, "machine": machine(device), "rows": [row.as_json() for row in rows]}
    place = job.result(device)
    write_text(place, json.dumps(numbers, indent=2))
    return Outcome(place, numbers)


def _device(job: BenchmarkJob) -> "torch.device":
    import torch

    if job.suite in ("metrics", "loader", "bedside"):
        return torch.device("cpu")
    return torch.device(job.device or ("cuda" if torch.cuda.is_available() else "cpu"))


if __name__ == "__main__":
    main()
