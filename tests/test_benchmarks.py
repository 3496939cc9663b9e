"""The suites of jobs/benchmark.py: each is there, and one that costs little runs. tests/test_jobs.py runs the job."""

import importlib
import inspect
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

JOBS = Path(__file__).parents[1] / "jobs"


@pytest.fixture(autouse=True)
def _jobs_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(JOBS))


def test_every_suite_of_the_command_line_is_a_module_with_rows() -> None:
    names = get_args(importlib.import_module("benchmarks.job").Suite)
    assert {"teacher", "window", "metrics", "loader", "distillation", "overlap"} == set(names)
    for name in names:
        rows = importlib.import_module(f"benchmarks.{name}").rows
        assert list(inspect.signature(rows).parameters) == ["job", "device"]


def test_metrics_of_a_small_case_are_the_plain_ones() -> None:
    job = importlib.import_module("benchmarks.job").BenchmarkJob(suite="metrics", size_DHW=(20, 64, 64), repeats=2)
    (row,) = importlib.import_module("benchmarks.metrics").rows(job, torch.device("cpu"))
    assert row.name == "Dice, NSD, HD95 of 13 organs, 20 × 64 × 64"
    assert row.max_difference < 1e-6
    assert row.as_json()["ratio"] == row.reference_s / row.ours_s


def test_a_row_without_a_plain_way_is_shown_with_dashes() -> None:
    comparison = importlib.import_module("benchmarks.comparison")
    table = comparison.table("loader", [comparison.Row("waits", 0.0123, None, None, 2.0, None)])
    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells == ["waits", "0.0123", "–", "–", "–", "2", "–"]


def test_the_fastest_counts_and_the_last_result() -> None:
    comparison = importlib.import_module("benchmarks.comparison")
    results = iter(np.arange(3))
    best = comparison.best(lambda: next(results), torch.device("cpu"), 3)
    assert best.result == 2 and best.seconds >= 0
