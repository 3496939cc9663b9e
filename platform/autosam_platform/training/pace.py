"""How long a fit will take on this machine, from a few of its steps on random voxels."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from autosam_inference.windows import all_windows
from autosam_models import build_model, find_model
from autosam_models.numerics import autocast
from autosam_platform.data.patches import patches_of_epoch
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.store import StoredCase
from autosam_platform.experiment import Experiment
from autosam_platform.training.objectives import DeepSupervision, SegmentationObjective
from autosam_platform.training.optimizers import build_optimizer
from autosam_platform.training.preflight import TooLittleMemoryError, check_memory

_STEPS = 2  # beside a first one, in which kernels are chosen
_FORWARD = 0.4  # of a step, about
_START = 20.0  # seconds, mostly of processes that import


def seconds_per_step(experiment: Experiment, num_classes: int) -> float | None:
    """Seconds that a worker of the machine this runs on takes for a step: the network, its loss and the optimiser.

    Loading patches and, for several workers, talking to the others are not in it.

    Returns:
        None where the step does not fit into the memory.
    """
    gpu = torch.cuda.is_available() if experiment.compute.gpu is None else experiment.compute.gpu
    device = torch.device("cuda" if gpu else "cpu")
    if experiment.compute.cpus_per_worker is not None:
        torch.set_num_threads(experiment.compute.cpus_per_worker)
    try:
        check_memory(experiment, num_classes, device, sharing=1 if gpu else experiment.compute.workers)
    except TooLittleMemoryError:
        return None
    step = RandomStep(experiment, num_classes, device)
    return min(step() for _ in range(1 + _STEPS)) * experiment.compute.accumulate


class RandomStep:
    """A training step without the loop around it: the network, its loss and the optimiser, on random voxels.

    Args:
        num_classes: K, background included.
    """

    def __init__(self, experiment: Experiment, num_classes: int, device: torch.device) -> None:
        section, batch = experiment.model, experiment.batch_at_once
        options = experiment.model_options()
        self._model = build_model(section.name, in_channels=1, num_classes=num_classes, **options).to(device).train()
        if section.checkpoint is not None:
            find_model(section.name).as_trained(self._model)
        self._optimizer = build_optimizer(self._model, experiment.training)
        self._objective = DeepSupervision(SegmentationObjective.of(experiment.training))
        self._autocast = autocast(experiment.training.precision, device)
        self._device = device
        label_B1DHW = torch.randint(num_classes, (batch, 1, *section.patch_DHW), dtype=torch.uint8, device=device)
        self._random = {
            "image": torch.randn(batch, 1, *section.patch_DHW, device=device),
            "label": label_B1DHW,
            "annotated": torch.ones(batch, num_classes, dtype=torch.bool, device=device),
        }

    def __call__(self, batch: Mapping[str, Any] | None = None) -> float:
        """Seconds of a step, on a batch of patches where one is given, the way to the device included."""
        started = time.perf_counter()
        moved = self._random
        if batch is not None:
            moved = {name: batch[name].to(self._device, non_blocking=True) for name in self._random}
        self._optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            outputs = self._model(moved["image"])
        self._objective(outputs, moved)["loss"].mean().backward()
        self._optimizer.step()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - started


def steps_of(experiment: Experiment, prepared: PreparedDataset) -> int:
    """Steps of a whole fit, as the loop counts them; of a prompted model, if all training cases show an organ."""
    training = experiment.training
    if experiment.prompted:  # its slices are drawn without rounds through sources
        patches = len(prepared.cases("train")) * training.patches_per_case
    else:
        patches = patches_of_epoch(prepared, training.patches_per_case)
    return patches // (training.batch * experiment.compute.workers) * training.epochs


def seconds_of_fit(experiment: Experiment, prepared: PreparedDataset, per_step: float) -> float:
    """Seconds that a fit takes with its start, its validations and the evaluation of the test cases, about."""
    training, inference = experiment.training, experiment.inference
    validations = -(-training.epochs // training.validate_every)
    windows = validations * _windows(prepared.cases("val"), experiment, inference.validation_overlap)
    windows += _windows(prepared.cases("test"), experiment, inference.overlap)
    return _START + per_step * (steps_of(experiment, prepared) + _FORWARD * windows / training.batch)


def seconds_of_answers(teacher: Experiment, prepared: PreparedDataset, overlap: float, per_step: float) -> float:
    """Seconds that a teacher takes to say of the training cases, and of those in no split, what is where, about."""
    cases = [*prepared.cases("train"), *prepared.apart]
    return per_step * _FORWARD * _windows(cases, teacher, overlap) / teacher.training.batch


def _windows(cases: Sequence[StoredCase], experiment: Experiment, overlap: float) -> int:
    patch = experiment.model.patch_DHW
    sizes = [[max(n, edge) for n, edge in zip(case.shape_DHW, patch, strict=True)] for case in cases]
    return sum(len(all_windows(size, patch, overlap)) for size in sizes)
