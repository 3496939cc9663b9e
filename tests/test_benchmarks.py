"""The suites of jobs/benchmark.py: each is there, and one that costs little runs. tests/test_jobs.py runs the job."""

import importlib
import inspect
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from synthetic_scans import touch

from autosam_platform.data.description import load_description
from autosam_platform.data.readers import survey
from autosam_platform.experiment import Experiment

_BTCV = (("images", "img"), ("labels", "label"))
JOBS = Path(__file__).parents[1] / "jobs"


@pytest.fixture(autouse=True)
def _jobs_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(JOBS))


def test_every_suite_of_the_command_line_is_a_module_with_rows() -> None:
    names = get_args(importlib.import_module("benchmarks.job").Suite)
    models = {"teacher", "distillation", "sources", "overlap", "quality"}
    assert models | {"window", "metrics", "loader", "train", "bedside"} == set(names)
    for name in names:
        rows = importlib.import_module(f"benchmarks.{name}").rows
        assert list(inspect.signature(rows).parameters) == ["job", "device"]


def test_metrics_of_a_small_case_are_the_plain_ones() -> None:
    job = importlib.import_module("benchmarks.job").BenchmarkJob(suite="metrics", size_DHW=(20, 64, 64), repeats=2)
    (row,) = importlib.import_module("benchmarks.metrics").rows(job, torch.device("cpu"))
    assert row.name == "Dice, NSD, HD95 of 13 organs, 20 × 64 × 64"
    assert row.max_difference < 1e-6
    assert row.as_json()["ratio"] == row.reference_s / row.ours_s


def test_the_network_alone_is_timed_on_random_voxels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("dataset: {name: btcv}\nmodel: {name: unet_nano, patch_DHW: [32, 32, 32]}\ntraining: {batch: 2}")
    job = importlib.import_module("benchmarks.job").BenchmarkJob(
        suite="train", recipe=str(recipe), steps=2, synthetic=True
    )
    (row,) = importlib.import_module("benchmarks.train").rows(job, torch.device("cpu"))
    assert row.name == "the network alone, median" and row.ours_s > 0
    assert f"{2 / row.ours_s:.3g} patches a second" in capsys.readouterr().out


def test_the_slower_of_loader_and_network_limits() -> None:
    verdict = importlib.import_module("benchmarks.train")._verdict
    assert verdict(0.1, 0.01, 0.0, Experiment()).endswith("in the loop it waits 0% of the time: the network limits.")
    assert "the loader limits. Raise --training.loader-workers (now 2)" in verdict(0.1, 0.2, 0.5, Experiment())


def test_shares_of_gradients_are_norms_over_all_weights_and_patches() -> None:
    """A model that is its bias: the mean squared error's gradient by hand, at logits of 0 and two classes.

    Probabilities ½, a teacher of 1 and 0: loss ¼ each; by the logits −¼ and ¼ in sum over voxels: norm ¼·√2.
    """
    gradients = importlib.import_module("benchmarks.gradients")
    model = torch.nn.Conv3d(1, 2, 1)
    torch.nn.init.zeros_(model.bias)
    patch = {
        "image": torch.zeros(1, 2, 2, 2),
        "label": torch.zeros(1, 2, 2, 2, dtype=torch.uint8),
        "annotated": torch.ones(2, dtype=torch.bool),
        "probabilities": torch.tensor([255, 0], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 2, 2, 2),
    }
    norms = gradients.gradient_norms(model, [patch, patch], 2, torch.device("cpu"))
    assert norms["mse"] == pytest.approx(0.25 * 2**0.5) and norms["region"] == 0
    assert norms["labels"] == pytest.approx(0.5 * 2**0.5)  # cross entropy alone: there is no organ
    assert "mse 33 %" in gradients.shares(norms)


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


def test_two_sources_share_the_phantoms_that_do_not_test(tmp_path: Path) -> None:
    """104 phantoms, of which the last six test: 49 in each source, one of each validates, organs 1 to 6 and 7 to 13."""
    names = [f"{kind}Tr/{stem}{number:04d}.nii.gz" for number in range(1, 105) for kind, stem in _BTCV]
    root = touch(tmp_path / "raw", *names)
    sources = importlib.import_module("benchmarks.sources")
    place = sources.describe_two_sources(load_description("phantom"), root, tmp_path / "two.yaml")
    description = load_description(place)
    cases = survey(description, None).cases
    numbers = {case.case_id: int(case.case_id[-4:]) for case in cases}
    assert sorted(numbers.values()) == list(range(1, 99))
    assert all(case_id.startswith("first" if number % 2 else "second") for case_id, number in numbers.items())
    assert {case.case_id for case in cases if case.splits == ("val",)} == {"first_img0097", "second_img0098"}
    annotated = {each: description.annotated_ids(f"{each}_img0001") for each in ("first", "second")}
    assert annotated == {"first": tuple(range(1, 7)), "second": tuple(range(7, 14))}
