"""What every registered model of patches must do, whoever made it; of those with prompts see ``test_prompted_sam``.

Patches are the smallest that a model takes, so that all of them together cost less than a minute. The teachers with
SAM's encoders are built with four blocks instead of 12 to 32, since the others repeat these; UNETR with its own twelve;
nnFormer and the residual encoders are narrow, the latter with a block a stage.
"""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from autosam_models import build_model, find_model, model_names, trained_parameters

K = 3
PATCH = (64, 32, 32)
SMALLER: dict[str, dict[str, Any]] = {
    **{f"autosam_vit_{size}": {"depth": 4, "patch": (32, 16, 16)} for size in "blh"},
    "nnformer": {"width": 48, "heads": 3, "drop_path": 0.0},
    "nnunet_resenc_m": {"blocks": (1,) * 6, "widths": (8,) * 6},
    "nnunet_resenc_l": {"blocks": (1,) * 7, "widths": (8,) * 7},
}
SUPERVISED = [name for name in model_names() if "deep_supervision" in find_model(name).options]


def build(name: str, **options: bool) -> nn.Module:
    entry = find_model(name)
    arguments = dict(entry.defaults) | {"patch": PATCH} | SMALLER.get(name, {}) | options
    return entry.build(in_channels=1, num_classes=K, **arguments)


@pytest.fixture(scope="module", params=[name for name in model_names() if not find_model(name).prompted])
def built(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """A model's name and the model, once for all tests of it."""
    torch.manual_seed(0)
    return request.param, build(request.param)


def batch(name: str) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    image_BCDHW = torch.randn(1, 1, *SMALLER.get(name, {}).get("patch", PATCH))
    return image_BCDHW, (image_BCDHW[:, 0] > 0).long() + (image_BCDHW[:, 0] > 1).long()


def outputs_of(model: nn.Module, image_BCDHW: Tensor) -> tuple[Tensor, ...]:
    outputs = model(image_BCDHW)
    return (outputs,) if isinstance(outputs, Tensor) else outputs


def loss_of(model: nn.Module, image_BCDHW: Tensor, label_BDHW: Tensor) -> Tensor:
    """Of each output, with labels of its size."""
    losses = []
    for logits_BKDHW in outputs_of(model, image_BCDHW):
        label_B1DHW = nn.functional.interpolate(label_BDHW[:, None].float(), logits_BKDHW.shape[2:])
        losses.append(nn.functional.cross_entropy(logits_BKDHW, label_B1DHW[:, 0].long()))
    return torch.stack(losses).mean()


def test_the_loss_falls_along_gradients_that_are_finite_and_complete(built: tuple[str, nn.Module]) -> None:
    name, model = built
    image_BCDHW, label_BDHW = batch(name)
    assert outputs_of(model.train(), image_BCDHW)[0].shape == (1, K, *image_BCDHW.shape[2:])
    loss = loss_of(model, image_BCDHW, label_BDHW)
    loss.backward()
    without = [name for name, each in model.named_parameters() if each.requires_grad and each.grad is None]
    assert not without, "several workers would wait for gradients that never come"
    gradients = [each.grad for each in trained_parameters(model) if each.grad is not None]
    assert all(each.isfinite().all() for each in gradients)
    square = sum(each.square().sum().item() for each in gradients)
    with torch.no_grad():
        for parameter in trained_parameters(model):  # so far that a straight loss would fall by a hundredth
            parameter -= 0.01 * loss.item() / square * parameter.grad
        after = loss_of(model, image_BCDHW, label_BDHW)
    model.zero_grad(set_to_none=True)
    assert after < loss


def test_saved_and_loaded_it_answers_the_same(built: tuple[str, nn.Module], tmp_path: Path) -> None:
    name, model = built
    image_BCDHW, _ = batch(name)
    file = tmp_path / "model.safetensors"
    save_model(model, str(file))
    torch.manual_seed(2)
    again = build(name)
    load_model(again, str(file))
    file.unlink()
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(image_BCDHW), model.eval()(image_BCDHW), rtol=0, atol=0)


def test_an_odd_size_comes_back_as_it_went_in(built: tuple[str, nn.Module]) -> None:
    _, model = built
    size = (37, 25, 30)
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 1, *size)).shape == (1, K, *size)


@pytest.mark.parametrize("name", SUPERVISED)
def test_of_several_answers_in_training_the_first_is_the_one_of_a_prediction(name: str) -> None:
    """The others are coarser, odd sizes rounded; without deep supervision there is one answer in training too."""
    torch.manual_seed(0)
    model = build(name, deep_supervision=True)
    image_BCDHW = torch.randn(1, 1, 64, 32, 25)
    with torch.no_grad():
        first, *coarser = model.train()(image_BCDHW)
        torch.testing.assert_close(model.eval()(image_BCDHW), first, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(copy.deepcopy(model).eval()(image_BCDHW), model(image_BCDHW))
        assert len(copy.deepcopy(model).train()(image_BCDHW)) == 1 + len(coarser)  # means of weights are copies
        alone = build(name, deep_supervision=False).train()(image_BCDHW)
    assert isinstance(alone, Tensor) and alone.shape == first.shape
    sizes = [each.shape[3:] for each in coarser]
    assert sizes == [(16, 12), (8, 6), (4, 3), (2, 2)][: len(coarser)] and len(coarser) >= 2


@pytest.mark.parametrize("name", ["swin_unetr_tiny", "nnunet"])
def test_a_patch_of_one_coarse_voxel_is_refused_with_one_that_works(name: str) -> None:
    with pytest.raises(ValueError, match="64 × 32 × 32 or more"):
        build_model(name, in_channels=1, num_classes=K, patch=(32, 20, 32))


@pytest.mark.parametrize("name", ["unetr", "nnformer"])
def test_an_image_larger_than_the_patch_of_a_network_of_one_size_is_refused(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name, in_channels=1, num_classes=K, patch=(30, 32, 32))
        with pytest.raises(ValueError, match=r"larger than 32 × 32 × 32.*patch=\(33, 32, 32\)"):
            model(torch.empty(1, 1, 33, 32, 32))


@pytest.mark.parametrize("name", ["swin_unetr_tiny", "nnformer"])
def test_on_the_smallest_patch_gradients_in_bf16_are_those_in_fp32(name: str) -> None:
    torch.manual_seed(0)
    model = build(name)
    image_BCDHW, label_BDHW = batch(name)

    def gradient(*, bf16: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits_BKDHW, *coarser = (each.float() for each in outputs_of(model, image_BCDHW))
        loss = nn.functional.cross_entropy(logits_BKDHW, label_BDHW) + sum(each.square().mean() for each in coarser)
        return torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(model.parameters()))])

    expected = gradient(bf16=False)
    for _ in range(3):  # what was wrong came from memory that others had used
        used = [torch.full_like(parameter, 1e30) for parameter in model.parameters()]
        del used
        assert (gradient(bf16=True) - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("name", ["swin_unetr_tiny", "unet_nano"])
def test_a_student_starts_from_background(name: str) -> None:
    """The organs' logits start low, so that an untrained student says background nearly everywhere."""
    torch.manual_seed(0)
    model = build_model(name, in_channels=1, num_classes=K, patch=(64, 32, 32)).eval()
    with torch.no_grad():
        background_DHW = model(torch.rand(1, 1, 64, 32, 32))[0].softmax(0)[0]
    assert background_DHW.mean() > 0.8
