"""Phantoms from two sources, which annotate half the organs each, against the same phantoms with all labels.

Both models have the demo's recipe, the same scans, steps and test cases; the first sees each organ in half as many
labels. A third sees them twice as long: each organ's labels as often as the model with all labels. Each is trained with
as many seeds as ``--repeats`` says, since one seed alone says little about small organs.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from _roots import RECIPES

import torch
import yaml

from autosam_inference.files import write_text
from autosam_platform.command_line import load_recipe
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.prepared import PreparedDataset
from autosam_platform.evaluation.evaluate import evaluate_cases
from autosam_platform.evaluation.table import Summary
from autosam_platform.experiment import Experiment
from autosam_platform.pipeline.steps import prepared_dataset, split_cases, trained
from autosam_platform.workspace import EvaluationFolder, workspace
from benchmarks.comparison import Row
from benchmarks.job import BenchmarkJob

Scored = tuple[float, Summary]
"""Seconds that a model trained, and what its test came to."""


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """Of the mean and each organ, with the same steps and with twice as many: Dice of two sources and of all labels.

    Seconds are those of the training; the difference is that of the Dice.
    """
    result = job.result(device)
    whole = prepared_dataset(_experiment("phantom", 0).dataset)
    place = describe_two_sources(whole.description, whole.raw("all")[0].image.parents[1], result.with_suffix(".yaml"))
    seeds = range(job.repeats)
    models = {
        "two sources": (str(place), 1),
        "two sources, twice the steps": (str(place), 2),
        "all labels": ("phantom", 1),
    }
    scored = {
        name: [_scored(_experiment(dataset, seed, times), whole, result.parent) for seed in seeds]
        for name, (dataset, times) in models.items()
    }
    theirs = scored.pop("all labels")
    organs = [None, *(each.name for each in whole.description.classes)]
    return [_row(name, organ, ours, theirs) for name, ours in scored.items() for organ in organs]


def describe_two_sources(phantom: DatasetDescription, root: Path, place: Path) -> Path:
    """Write the description of two sources at ``place``: the phantoms below ``root`` that do not test.

    Those of odd numbers annotate the first half of the organs, those of even numbers the others.
    """
    assert phantom.split.rule == "in_order"  # the phantom's own description says so
    parts = [part.model_dump() for part in phantom.split.parts if part.split != "test"]
    numbers = range(1, sum(part["cases"] for part in parts) + 1)
    names = [each.name for each in phantom.classes]
    half = len(names) // 2
    sources = [
        _source("first", root, [n for n in numbers if n % 2], names[:half]),
        _source("second", root, [n for n in numbers if not n % 2], names[half:]),
    ]
    split = {"rule": "in_order", "parts": parts}
    fields = {"extends": phantom.name, "name": "phantom_two_sources", "split": split, "sources": sources}
    write_text(place, yaml.safe_dump(fields, sort_keys=False))
    return place


def _source(name: str, root: Path, numbers: Sequence[int], organs: Sequence[str]) -> dict[str, Any]:
    pattern = f"img({'|'.join(f'{number:04d}' for number in numbers)})"
    return {"name": name, "root": str(root), "layout": "btcv", "case_pattern": pattern, "annotates": list(organs)}


def _experiment(dataset: str, seed: int, times: int = 1) -> Experiment:
    """The demo's, of so many times its epochs."""
    recipe = load_recipe("demo", RECIPES)
    longer = {name: times * recipe["training"][name] for name in ("epochs", "warmup_epochs")}
    changes = {
        "dataset": recipe["dataset"] | {"name": dataset},
        "training": recipe["training"] | longer | {"seed": seed},
    }
    return Experiment.model_validate(recipe | changes)


def _scored(experiment: Experiment, whole: PreparedDataset, folder: Path) -> Scored:
    """Train, unless that is done, and score on the test cases of the phantoms with all labels."""
    run = trained(experiment)[1].run
    place = EvaluationFolder(folder / f"sources-{run.name}", workspace())
    overlap = experiment.inference.overlap
    summary = evaluate_cases(run.model, split_cases(whole, "test"), whole.description, place, overlap=overlap)
    return float((run.card.model_extra or {})["training_seconds"]), summary


def _row(model: str, organ: str | None, ours: Sequence[Scored], theirs: Sequence[Scored]) -> Row:
    one, other = ([_dice(summary, organ) for _, summary in each] for each in (ours, theirs))
    name = f"{model}, {organ or 'mean'}: Dice {_text(one)}, {_text(other)} with all labels"
    seconds = [mean(trained_s for trained_s, _ in each) for each in (ours, theirs)]
    return Row(name, seconds[0], seconds[1], None, None, abs(mean(one) - mean(other)))


def _dice(summary: Summary, organ: str | None) -> float:
    return summary.mean_dice if organ is None else summary.per_class[organ].dice


def _text(dice: Sequence[float]) -> str:
    return " ".join(f"{value:.4f}" for value in dice)
