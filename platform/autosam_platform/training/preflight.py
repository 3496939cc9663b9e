"""Does a training step fit into the memory? Asked before the first one, answered with the setting to change."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from autosam_models import build_model, find_model
from autosam_models.numerics import format_of
from autosam_models.sizes import bytes_text, size_text
from autosam_platform.experiment import CHECKPOINTING, Experiment
from autosam_platform.measure import free_memory
from autosam_platform.training.estimate import bytes_of_step
from autosam_platform.training.samples import PATCHES, Samples

_MARGIN, _BASE = 1.15, 10**9
"""What kernels and libraries take beside the tensors: measured 0.1 to 1.2 GB on a CPU (docs/benchmarks.md)."""


class TooLittleMemoryError(RuntimeError):
    """The device cannot hold a step of this run; the message says what to change."""


def check_memory(
    experiment: Experiment, num_classes: int, device: torch.device, sharing: int, samples: Samples = PATCHES
) -> str:
    """Refuse a run whose step needs more memory than this worker's device has free.

    Args:
        num_classes: K, background included.
        sharing: workers that share the memory: those of one machine on CPUs, 1 on a GPU of one's own.
        samples: what a step is made on.

    Returns:
        What was found, as a sentence.

    Raises:
        TooLittleMemoryError: it does not fit.
    """
    free = free_memory(device)
    needed = _bytes(experiment, num_classes, device, samples)
    if free is None or needed is None:
        return "How much memory a step needs could not be estimated here."
    found = f"a step needs about {bytes_text(needed)}, {bytes_text(free // sharing)} are free for it on {device.type}"
    if needed <= free // sharing:
        return f"Memory: {found}."
    patch = size_text(experiment.model.patch_DHW)
    raise TooLittleMemoryError(
        f"{experiment.model.name} with patches of {patch} voxels, {experiment.batch_at_once} at a time, does not fit: "
        f"{found}. {_remedy(experiment, num_classes, device, samples)}lower --model.patch-DHW, or take a "
        "smaller model. If you know better, --compute.no-memory-check goes on."
    )


def _bytes(experiment: Experiment, num_classes: int, device: torch.device, samples: Samples) -> int | None:
    """Bytes of a step, or None where the operations of a model cannot be gone through without data."""
    section = experiment.model
    build = partial(build_model, section.name, in_channels=1, num_classes=num_classes, **experiment.model_options())
    frozen = find_model(section.name).as_trained if section.checkpoint else None
    dtype = format_of(experiment.training.precision, device)

    def ask(model: nn.Module) -> Tensor | Sequence[Tensor]:
        return samples.logits(model, samples.example(experiment, device))

    try:
        step = bytes_of_step(
            build,
            ask,
            device=device,
            dtype=dtype,
            as_trained=frozen,
            averaged=experiment.training.ema > 0,
            shared=experiment.compute.workers > 1,
        )
    except RuntimeError as error:  # torch's fake tensors do not know every kernel of every device
        print(f"NOTE: no estimate of the memory: {type(error).__name__}: {error}", flush=True)
        return None
    return round(_MARGIN * step) + _BASE


def _remedy(experiment: Experiment, num_classes: int, device: torch.device, samples: Samples) -> str:
    """The beginning of a sentence that goes on with other remedies."""
    compute, batch = experiment.compute, experiment.training.batch
    if experiment.batch_at_once > 1:
        return f"Compute a batch in parts (--compute.accumulate {batch}, for the same result), "
    if CHECKPOINTING not in find_model(experiment.model.name).options or compute.activation_checkpointing:
        return "Please "
    leaner = experiment.model_copy(update={"compute": compute.model_copy(update={"activation_checkpointing": True})})
    less = _bytes(leaner, num_classes, device, samples)
    assert less is not None  # it could be estimated without, too
    return f"Add --compute.activation-checkpointing ({bytes_text(less)}, some 15 % slower), "
