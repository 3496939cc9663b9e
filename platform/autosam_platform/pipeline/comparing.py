"""Finished runs against others, on the same cases: how much better, and whether that is chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosam_inference.files import content_hash
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.splits import Split
from autosam_platform.distillation.report import METRICS
from autosam_platform.evaluation.statistics import compare_cases, over_seeds
from autosam_platform.evaluation.table import Summary, read_rows
from autosam_platform.experiment import ConfigError
from autosam_platform.pipeline.steps import (
    dataset_to_evaluate,
    evaluated,
    finished_run,
    require_unseen,
    require_windows,
    split_cases,
)
from autosam_platform.workspace import RunFolder


@dataclass(frozen=True)
class Tested:
    """On which cases runs are compared.

    Attributes:
        split: of the dataset.
        dataset: name or file of another dataset's description; the runs' own where it is None.
        root: folder of that dataset's raw scans.
        overlap: of windows; each run's own where it is None.
    """

    split: Split
    dataset: str | None = None
    root: Path | None = None
    overlap: float | None = None


@dataclass(frozen=True)
class Against:
    """What came of it: the first run's summary, and ``{"dice": …, "nsd": …}`` over all pairs, None for NaN."""

    first: RunFolder
    summary: Summary
    gains: dict[str, Any]


def pairs_of(runs: str, others: str) -> list[tuple[RunFolder, RunFolder]]:
    """The finished runs of two lists of names, comma-separated, side by side: seeds of two ways to train.

    Raises:
        ConfigError: a name is no finished run, the lists differ in length, a run stands against itself, or one is named
            twice in ``runs``, which would count as two seeds.
    """
    ours, theirs = ([finished_run(name.strip()) for name in names.split(",")] for names in (runs, others))
    if len(ours) != len(theirs):
        raise ConfigError(
            f"--run names {len(ours)} and --against {len(theirs)}: each run is compared with the one in its place of "
            "the other list, so name as many"
        )
    names = [run.name for run in ours]
    for one, other in zip(ours, theirs, strict=True):
        if names.count(one.name) > 1:
            raise ConfigError(
                f"--run names {one.name} twice: each seed counts once, so name another run or leave it out"
            )
        if one.name == other.name:
            raise ConfigError(f"{one.name} stands against itself: name another run with --against")
    return list(zip(ours, theirs, strict=True))


def compared(pairs: Sequence[tuple[RunFolder, RunFolder]], tested: Tested) -> Against:
    """Evaluate all runs, or find that done, and say how the first of each pair differs from the second.

    Raises:
        ConfigError: the runs' own datasets are asked for and have other cases in the split, so that one run may have
            been trained on what tests the other, or other classes or NSD tolerances; a run was trained on some of the
            cases; there are none; or an overlap is given of a run without windows.
    """
    first = pairs[0][0]
    runs = {run.name: run for pair in pairs for run in pair}
    for run in runs.values():
        require_windows(run, tested.overlap)
    datasets = {name: dataset_to_evaluate(run, tested.dataset, tested.root) for name, run in runs.items()}
    if not datasets[first.name][0].cases(tested.split):
        known = datasets[first.name][0].name
        raise ConfigError(
            f"{known} has no {tested.split} cases: name another --split, or a dataset that has with --dataset"
        )
    if tested.dataset is None:
        _require_same({name: dataset for name, (dataset, _) in datasets.items()}, tested.split)
    for name, run in runs.items():
        require_unseen(run, datasets[name][0], tested.split, datasets[name][1])
    summaries = {
        name: evaluated(run, datasets[name][0], tested.split, tested.overlap, datasets[name][1])
        for name, run in runs.items()
    }
    rows = {name: read_rows(run.evaluation(tested.split, datasets[name][1]).metrics) for name, run in runs.items()}
    gains: dict[str, Any] = {}
    for metric, label in METRICS.items():
        found = [compare_cases(rows[one.name], rows[other.name], metric) for one, other in pairs]
        for (one, other), each in zip(pairs, found, strict=True):
            print(f"{one.name} vs {other.name}, {label}: {each}")
        gains[metric] = found[0].as_json()
        if len(pairs) > 1:
            together = over_seeds(found)
            print(f"over {len(pairs)} pairs, {label}: {together}", flush=True)
            gains[metric] = together.as_json()
    return Against(first, summaries[first.name], gains)


def _require_same(own: Mapping[str, PreparedDataset], split: Split) -> None:
    """Refuse runs whose own datasets differ in what a comparison rests on; how they were prepared may differ.

    Cases are told apart by the bytes of scans and labels.
    """
    (first, ours), *others = own.items()
    known = _contents(ours, split)
    for name, theirs in others:
        found = _contents(theirs, split)
        if found != known:
            raise ConfigError(
                f"the {split} cases of {name} ({theirs.name}, {len(found)}) are not those of {first} ({ours.name}, "
                f"{len(known)}), so one may have been trained on what tests the other: name cases that none has seen, "
                "with --dataset and --root"
            )
        if _scored(ours) != _scored(theirs):
            raise ConfigError(
                f"{name} ({theirs.name}) and {first} ({ours.name}) differ in classes or in the tolerance of NSD, so "
                "their scores say different things: name one dataset for both, with --dataset and --root"
            )


def _contents(dataset: PreparedDataset, split: Split) -> dict[str, str]:
    return {case.case_id: content_hash(*case.hashed) for case in split_cases(dataset, split)}


def _scored(dataset: PreparedDataset) -> tuple[tuple[str, ...], float]:
    description = dataset.description
    return tuple(each.name for each in description.classes), description.nsd_tolerance_mm
