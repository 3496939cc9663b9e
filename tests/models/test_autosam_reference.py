"""The whole teacher gives what the literal one gives: logits and gradients, for odd shapes too."""

import pytest
import torch
from reference.autosam_reference import forward
from sam_checkpoint import small_options

from autosam_models import build_model
from autosam_models.teacher import parts


def scattered(**options):
    """A small model in which nothing is zero, so that every part counts."""
    torch.manual_seed(0)
    model = build_model("autosam_demo", in_channels=1, num_classes=3, **small_options() | options)
    for name, parameter in model.named_parameters():
        if "rel_pos" in name or "depth_DC" in name or "adapter.up" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def relative(ours, literal):
    return ((ours - literal).abs().max() / literal.abs().max()).item()


@pytest.mark.parametrize("size", [(16, 16, 16), (13, 20, 9), (24, 28, 30)])  # 4 x 4 x 4, 4 x 5 x 3 and 6 x 7 x 8 tokens
@pytest.mark.parametrize("options", [{}, {"fusion": "half"}, {"window": 3}, {"apg": False}, {"mlam": False}])
def test_logits_are_the_literal_models(size, options):
    model, image = scattered(**options), torch.rand(2, 1, *size)
    with torch.no_grad():
        assert relative(model(image), forward(model, image)) < 1e-4


def test_parts_on_a_cpu_change_nothing(monkeypatch):
    monkeypatch.setattr(parts, "PART", 1000)
    model, image = scattered(), torch.rand(2, 1, 24, 28, 30)
    with torch.no_grad():
        assert relative(model(image), forward(model, image)) < 1e-4


@pytest.mark.parametrize("name", ["autosam_demo", "autosam_vit_b", "autosam_vit_l", "autosam_vit_h"])
def test_presets_logits_are_the_literal_models(name):
    torch.manual_seed(0)
    model, image = build_model(name, in_channels=1, num_classes=14, patch=(16, 24, 20)), torch.rand(1, 1, 16, 24, 20)
    with torch.no_grad():
        assert relative(model(image), forward(model, image)) < 1e-4


@pytest.mark.parametrize("activation_checkpointing", [False, True])
def test_gradients_are_the_literal_models(activation_checkpointing):
    model = scattered(window=3, activation_checkpointing=activation_checkpointing)
    image = torch.rand(1, 1, 13, 20, 9)
    weight = torch.rand(1, 3, 13, 20, 9)
    parameters = dict(model.named_parameters())
    gradients = [
        torch.autograd.grad((logits * weight).sum(), list(parameters.values()))
        for logits in (model(image), forward(model, image))
    ]
    largest = max(literal.abs().max() for literal in gradients[1])
    for name, ours, literal in zip(parameters, *gradients, strict=True):
        assert (ours - literal).abs().max() < 1e-4 * largest, name


@pytest.mark.parametrize("name", ["autosam_demo", "autosam_vit_b"])
def test_presets_gradients_are_the_literal_models(name):
    """In fp64: in fp32, rounding in the lowest level of the prompt generator comes to 1e-3 of the gradient."""
    torch.manual_seed(0)
    size = (16, 24, 20)
    model = build_model(name, in_channels=1, num_classes=14, patch=size).double()
    image = torch.rand(1, 1, *size, dtype=torch.float64)
    weight = torch.rand(1, 14, *size, dtype=torch.float64)
    ours, literal = (
        torch.autograd.grad((logits * weight).sum(), list(model.parameters()))
        for logits in (model(image), forward(model, image))
    )
    largest = max(each.abs().max() for each in literal)
    assert all((one - other).abs().max() < 1e-9 * largest for one, other in zip(ours, literal, strict=True))
