"""The teacher against the model as published: a forward pass, and a training step."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from autosam_models import build_model, trained_parameters
from autosam_models.numerics import has_bf16
from autosam_platform.measure import Measured
from benchmarks.comparison import CLASSES, Row, best, compared, plain_module, relative_difference
from benchmarks.job import BenchmarkJob

Forward = Callable[[Tensor], Tensor]


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """A row for each pair of number formats, of the forward pass and of the step."""
    reference = plain_module("autosam_reference").forward
    patch, step_patch = job.patch or 128, job.step_patch or (128 if device.type == "cuda" else 64)
    forward = _forward_rows(_scattered(job.model, patch, device), reference, patch, device, job.repeats)
    step = _step_rows(_scattered(job.model, step_patch, device), reference, step_patch, device, job.repeats)
    return forward + step


def _scattered(name: str, patch: int, device: torch.device) -> nn.Module:
    """A model in which nothing is zero, so that every part counts in the difference."""
    torch.manual_seed(0)
    model = build_model(name, in_channels=1, num_classes=CLASSES, patch=(patch,) * 3)
    for parameter_name, parameter in model.named_parameters():
        if "rel_pos" in parameter_name or "depth_DC" in parameter_name or "adapter.up" in parameter_name:
            nn.init.normal_(parameter, std=0.02)
    return model.to(device)


def _formats(device: torch.device) -> list[torch.dtype]:
    return [torch.float32, torch.bfloat16] if has_bf16(device) else [torch.float32]


def _forward_rows(
    model: nn.Module, reference: Callable[..., Tensor], patch: int, device: torch.device, repeats: int
) -> list[Row]:
    image_BCDHW = torch.rand(1, 1, patch, patch, patch, device=device)
    model.eval()

    def work(forward: Forward) -> list[Tensor]:
        with torch.inference_mode():
            return [forward(image_BCDHW)]

    return _rows_by_format(f"forward {patch}³", work, model, reference, device, repeats)


def _step_rows(
    model: nn.Module, reference: Callable[..., Tensor], patch: int, device: torch.device, repeats: int
) -> list[Row]:
    image_BCDHW = torch.rand(1, 1, patch, patch, patch, device=device)
    weight_BKDHW = torch.rand(1, CLASSES, patch, patch, patch, device=device)
    parameters = trained_parameters(model)
    model.train()

    def work(forward: Forward) -> list[Tensor]:
        logits_BKDHW = forward(image_BCDHW)
        return list(torch.autograd.grad((logits_BKDHW.float() * weight_BKDHW).mean(), parameters))

    return _rows_by_format(f"forward and backward {patch}³", work, model, reference, device, repeats)


def _rows_by_format(
    name: str,
    work: Callable[[Forward], list[Tensor]],
    model: nn.Module,
    reference: Callable[..., Tensor],
    device: torch.device,
    repeats: int,
) -> list[Row]:
    """``work`` with our forward pass and with the reference's, in each number format of the device."""

    def timed(forward: Forward, dtype: torch.dtype, times: int) -> Measured[list[Tensor]]:
        def cast(image_BCDHW: Tensor) -> Tensor:
            with _autocast(device, dtype):
                return forward(image_BCDHW)

        return best(lambda: work(cast), device, times)

    own, plain = {}, {}
    for dtype in _formats(device):
        timed(model, dtype, 1)  # the first call tunes kernels
        own[dtype] = timed(model, dtype, repeats)
        plain[dtype] = timed(lambda image_BCDHW: reference(model, image_BCDHW), dtype, repeats)
    rows = []
    for ours, theirs in _pairs(list(own)):
        results = [torch.cat([each.flatten() for each in run.result]) for run in (own[ours], plain[theirs])]
        pair = f"{name}, {_short(ours)} against {_short(theirs)}"
        rows.append(compared(pair, own[ours], plain[theirs], relative_difference(*results)))
    return rows


def _pairs(formats: list[torch.dtype]) -> list[tuple[torch.dtype, torch.dtype]]:
    """Which of ours is compared with which of the reference's."""
    fp32, bf16 = torch.float32, torch.bfloat16
    return [(fp32, fp32), (bf16, fp32), (bf16, bf16)] if bf16 in formats else [(fp32, fp32)]


def _short(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]


def _autocast(device: torch.device, dtype: torch.dtype) -> Any:
    return torch.autocast(device.type, dtype) if dtype is torch.bfloat16 else nullcontext()
