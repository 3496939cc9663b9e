"""Does the loader or the network limit a training on this machine? A recipe's steps, each of the two alone and both."""

import time
from collections.abc import Iterator
from itertools import islice
from statistics import mean, median
from typing import Any

from _roots import RECIPES

import torch
from pydantic import ValidationError
from torch.utils.data import DataLoader

from autosam_inference.errors import reasons
from autosam_models.numerics import format_of
from autosam_models.sizes import size_text
from autosam_platform.command_line import load_recipe
from autosam_platform.data.description import load_description
from autosam_platform.data.patches import PatchDataset
from autosam_platform.experiment import ConfigError, Experiment
from autosam_platform.pipeline.steps import prepared_dataset
from autosam_platform.training.pace import RandomStep
from benchmarks.comparison import Row
from benchmarks.job import BenchmarkJob

_AMPLE = 1.2  # times as fast as the network: less leaves no room for a slow disk


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """Seconds of a worker's batch: the network on random voxels; the loader with nobody in its way; the loop."""
    values = load_recipe(job.recipe, RECIPES)
    description = load_description(values.get("dataset", {}).get("name", "phantom"))
    if job.synthetic:
        values["dataset"] = {}  # whose scans nobody reads
    try:
        experiment = Experiment.model_validate(
            {name: values[name] for name in values if name in Experiment.model_fields}
        )
    except ValidationError as error:
        raise ConfigError(f"{job.recipe}: {'; '.join(reasons(error))}, or add --synthetic") from error
    if experiment.prompted:
        raise ConfigError(f"{experiment.model.name} is asked by prompts, which no patch has: name another recipe")
    patches = None if job.synthetic else PatchDataset(
        prepared_dataset(experiment.dataset), experiment.model.patch_DHW, (job.steps + 1) * experiment.batch_at_once
    )  # fmt: skip
    step = RandomStep(experiment, description.num_classes, device)
    what = f"{experiment.batch_at_once} × {size_text(experiment.model.patch_DHW)}"
    kind = str(format_of(experiment.training.precision, device)).removeprefix("torch.")
    print(f"{experiment.model.name}, batches of {what}, {kind}, {job.steps} steps", flush=True)
    step()  # in which kernels are chosen
    network = median(step() for _ in range(job.steps))
    found = [Row("the network alone, median", network, None, None, None, None)]
    if patches is None:
        print(f"The network takes {experiment.batch_at_once / network:.3g} patches a second.", flush=True)
        return found
    loader = mean(islice(_waits(_batches(patches, experiment, device)), job.steps))
    waits, seconds = zip(*_loop(_batches(patches, experiment, device), step, job.steps), strict=True)
    print(_verdict(network, loader, sum(waits) / sum(seconds), experiment), flush=True)
    return [
        *found,
        Row("the loader alone, mean", loader, None, None, None, None),
        Row("both, mean", mean(seconds), None, None, None, None),
        Row("of that the network waits, mean", mean(waits), None, None, None, None),
    ]


def _batches(patches: PatchDataset, experiment: Experiment, device: torch.device) -> Iterator[Any]:
    """As the loop loads them; the first one is taken before, since processes start with it."""
    workers = experiment.training.loader_workers
    loader = DataLoader(
        patches,
        batch_size=experiment.batch_at_once,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if workers else None,
    )
    batches = iter(loader)
    next(batches)
    return batches


def _waits(batches: Iterator[Any]) -> Iterator[float]:
    started = time.perf_counter()
    for _ in batches:
        yield time.perf_counter() - started
        started = time.perf_counter()


def _loop(batches: Iterator[Any], step: RandomStep, steps: int) -> Iterator[tuple[float, float]]:
    """Seconds that each step waits for its batch, and those that it takes with that."""
    for _ in range(steps):
        started = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - started
        step(batch)
        yield waited, time.perf_counter() - started


def _verdict(network: float, loader: float, waits: float, experiment: Experiment) -> str:
    told = (
        f"The loader has a batch every {1000 * loader:.3g} ms, the network takes {1000 * network:.3g} ms for one, and "
        f"in the loop it waits {waits:.0%} of the time"
    )
    if loader * _AMPLE < network:
        return f"{told}: the network limits."
    workers = experiment.training.loader_workers
    return (
        f"{told}: the loader limits. Raise --training.loader-workers (now {workers}) if there are cores left, or keep "
        "the workspace on a faster disk."
    )
