"""Models by name, and the list of them."""

import json
import os
import runpy
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from autosam_models import build_model, find_model, model_cards, trained_parameters
from autosam_models.registry import register

CARDS = {card.name: card for card in model_cards()}


def test_parameters_of_the_papers_model():
    card = CARDS["autosam_vit_b"]
    assert 26.3e6 <= card.trained_parameters <= 26.8e6
    assert card.parameters == pytest.approx(115.4e6, rel=0.01)


def test_the_largest_fits_the_papers_about_600_million():
    # Sec. 3.5 says "approximately 600 million"; SAM ViT-H alone has 632 M in its encoder.
    assert 600e6 < CARDS["autosam_vit_h"].parameters < 750e6
    assert CARDS["autosam_vit_b"].parameters < CARDS["autosam_vit_l"].parameters < CARDS["autosam_vit_h"].parameters


def test_the_slim_students_are_small():
    """A fifth of the demo's teacher, so that distilling into one makes something smaller."""
    nano, micro = CARDS["unet_nano"], CARDS["unet_micro"]
    assert nano.role == micro.role == "student"
    assert 4 * nano.parameters < CARDS["autosam_demo"].parameters and nano.parameters < 0.5e6 < micro.parameters < 2e6


def test_demo_is_small_and_trained_whole():
    card = CARDS["autosam_demo"]
    assert card.parameters == card.trained_parameters < 3e6


@pytest.mark.parametrize(
    ("name", "role", "millions"),
    [
        ("swin_unetr_tiny", "student", 4.0),
        ("swin_unetr_small", "student", 15.7),
        ("swin_unetr", "baseline", 62.19),  # the paper says 62.83, which no feature size of the published class has
        ("unetr", "baseline", 93.02),
        ("nnunet", "baseline", 31.18),
        ("nnformer", "baseline", 150.14),  # of 16 classes, with deep supervision
    ],
)
def test_students_and_baselines_have_the_papers_sizes(name, role, millions):
    card = CARDS[name]
    assert card.role == role
    assert card.parameters == card.trained_parameters == pytest.approx(millions * 1e6, abs=0.1e6)


@pytest.mark.parametrize("name", CARDS)
def test_the_counts_that_are_written_down_are_the_models_own(name):
    """Nothing is allocated: the meta device has shapes only."""
    with torch.device("meta"):
        model = build_model(name, in_channels=1, num_classes=14)
    find_model(name).as_trained(model)
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in trained_parameters(model))
    assert (total, trained) == (CARDS[name].parameters, CARDS[name].trained_parameters)


def test_models_are_listed_without_torch_or_any_network():
    program = (
        "import runpy, sys; runpy.run_module('autosam_models', run_name='__main__'); "
        "print([each for each in ('torch', 'monai', 'dynamic_network_architectures') if each in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    *listed, imported = done.stdout.splitlines()
    assert imported == "[]" and len(listed) == 1 + len(CARDS)


def test_unknown_model_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"no model named 'unet'\. There are: .*autosam_demo.*autosam_vit_b"):
        build_model("unet", in_channels=1, num_classes=2)


@pytest.mark.parametrize(("name", "option"), [("autosam_vit_b", "embed_dim"), ("autosam_demo", "wings")])
def test_unknown_option_is_refused_with_what_there_is(name, option):
    with pytest.raises(ValueError, match=rf"{name} has no option {option}\. It has: .*patch"):
        build_model(name, in_channels=1, num_classes=2, **{option: 3})


def test_taken_name_and_missing_patch_are_refused():
    with pytest.raises(ValueError, match="'autosam_demo' already"):
        register(find_model("autosam_demo"))
    with pytest.raises(ValueError, match="no option 'patch'"):
        register(replace(find_model("autosam_demo"), name="another", options=()))


def run_listing(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["autosam_models", *arguments])
    runpy.run_module("autosam_models", run_name="__main__")
    return capsys.readouterr().out


def test_listing_as_json(monkeypatch, capsys):
    rows = {row["name"]: row for row in json.loads(run_listing(monkeypatch, capsys, "--json"))}
    assert set(rows) == set(CARDS)
    for row in rows.values():
        assert set(row) == {"name", "role", "parameters", "trained_parameters", "source"}
        assert isinstance(row["parameters"], int)
        assert row["trained_parameters"] <= row["parameters"]


def test_listing_as_table(monkeypatch, capsys):
    lines = run_listing(monkeypatch, capsys).splitlines()
    assert len(lines) == 1 + len(CARDS)
    assert any(line.startswith("autosam_vit_b") and "26.5" in line for line in lines)
