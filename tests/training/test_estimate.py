"""The estimated memory is what a reader can add up, and what is measured."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from autosam_models import build_model, find_model
from autosam_models.numerics import has_bf16
from autosam_platform.measure import measure
from autosam_platform.training.estimate import bytes_of_step
from autosam_platform.training.preflight import _BASE, _MARGIN

CPU = torch.device("cpu")
FP32 = {"device": CPU, "dtype": torch.float32}


def patch(*size: int) -> Callable[[nn.Module], Tensor]:
    """Asks about one patch of such a size."""
    return lambda model: model(torch.zeros(1, 1, *size))


class Scale(nn.Module):
    """K = 2 logits for each voxel of 10 × 10 × 10 by one weight per logit: 2000 numbers."""

    def __init__(self, *, frozen: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 10, 10, 10), requires_grad=not frozen)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        return self.scale * (image_BCDHW + self.weight)


def test_what_is_trained_has_a_gradient_and_two_moments():
    trained = bytes_of_step(Scale, patch(10, 10, 10), **FP32)
    frozen = bytes_of_step(partial(Scale, frozen=True), patch(10, 10, 10), **FP32)
    assert trained - frozen >= 2 * 4 * 2000  # the moments at least; the gradient may come after the peak
    # Weight, image, labels (8 bytes each), logits before and after the scale, probabilities and their logarithms.
    assert frozen >= 4 * (2000 + 1000 + 4 * 2000) + 8 * 1000
    assert frozen < 2 * (4 * (2000 + 1000 + 4 * 2000) + 8 * 1000)


def test_a_model_far_too_large_for_any_machine_costs_nothing_to_estimate():
    build = partial(build_model, "autosam_demo", in_channels=1, num_classes=14, embed_dim=16384, patch=(16, 16, 16))
    assert bytes_of_step(build, patch(16, 16, 16), **FP32) > 100e9


@pytest.mark.parametrize("name", ["nnunet", "nnunet_resenc_m", "nnformer", "swin_unetr_tiny", "unetr", "unet_nano"])
def test_every_kind_of_network_can_be_estimated(name: str):
    """nnU-Net's decoder holds its encoder, so that each of its weights has two places."""
    build = partial(build_model, name, in_channels=1, num_classes=14, patch=(64, 64, 64))
    weights = 4 * find_model(name).card.parameters
    assert 4 * weights < bytes_of_step(build, patch(64, 64, 64), **FP32) < 4 * weights + 8e9


def _demo(**options: bool) -> partial[nn.Module]:
    return partial(build_model, "autosam_demo", in_channels=1, num_classes=14, **options)


def test_activation_checkpointing_needs_less():
    assert bytes_of_step(_demo(activation_checkpointing=True), patch(64, 64, 64), **FP32) < 0.9 * bytes_of_step(
        _demo(), patch(64, 64, 64), **FP32
    )


# Where the hardware has no bf16, torch imitates it: a hundred times as slow, with buffers that nobody would train with.
_BF16 = pytest.mark.skipif(not has_bf16(CPU), reason="this CPU does not compute in bf16")


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=_BF16)])
def test_a_step_takes_what_was_estimated(dtype: torch.dtype):
    size = (64, 64, 64)

    def step() -> None:
        torch.manual_seed(0)
        model = _demo()()
        optimizer = torch.optim.AdamW(model.parameters())
        image_BCDHW, label_BDHW = torch.rand(1, 1, *size), torch.randint(14, (1, *size))
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
                logits_BKDHW = model(image_BCDHW)
            nn.functional.cross_entropy(logits_BKDHW.float(), label_BDHW).backward()
            optimizer.step()
            optimizer.zero_grad()

    step()  # libraries make their own buffers the first time
    measured = measure(step, CPU).peak_mb
    if measured is None:
        pytest.skip("this system does not tell how much memory a process used at most")
    estimated = bytes_of_step(_demo(), patch(*size), device=CPU, dtype=dtype) / 1e6
    assert 0.8 * estimated < measured < _MARGIN * estimated + _BASE / 1e6


class TwoScales(Scale):
    """A second answer, of 2 × 5 × 5 × 5 numbers."""

    def forward(self, image_BCDHW: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        logits_BKDHW = super().forward(image_BCDHW)
        return logits_BKDHW, logits_BKDHW[..., ::2, ::2, ::2].contiguous()


def test_all_answers_of_a_network_that_gives_several_are_counted():
    one, two = (bytes_of_step(build, patch(10, 10, 10), **FP32) for build in (Scale, TwoScales))
    assert two - one >= 2 * 4 * 250  # it and its gradient, until the first one's is known


def test_a_mean_of_the_weights_is_a_second_model_and_workers_share_gradients_in_a_copy():
    """2001 weights, of which one is trained where the others are frozen."""
    build = partial(Scale, frozen=True)
    plain = bytes_of_step(build, patch(10, 10, 10), **FP32)
    assert bytes_of_step(build, patch(10, 10, 10), **FP32, averaged=True) - plain == 4 * 2001
    assert bytes_of_step(build, patch(10, 10, 10), **FP32, shared=True) - plain == 4
    trained = bytes_of_step(Scale, patch(10, 10, 10), **FP32)
    assert bytes_of_step(Scale, patch(10, 10, 10), **FP32, averaged=True, shared=True) - trained == 2 * 4 * 2001
