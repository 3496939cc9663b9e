"""Models by name, and the list of them."""

import json
import os
import runpy
import subprocess
import sys

import pytest
from torch import nn

from autosam_models import build_model, model_cards
from autosam_models.registry import Model, register

CARDS = {card.name: card for card in model_cards()}


def test_parameters_of_the_papers_model():
    card = CARDS["autosam_vit_b"]
    assert 26.3e6 <= card.trained_parameters <= 26.8e6
    assert card.parameters == pytest.approx(115.4e6, rel=0.01)


def test_the_largest_fits_the_papers_about_600_million():
    # Sec. 3.5 says "approximately 600 million"; SAM ViT-H alone has 632 M in its encoder.
    assert 600e6 < CARDS["autosam_vit_h"].parameters < 750e6
    assert CARDS["autosam_vit_b"].parameters < CARDS["autosam_vit_l"].parameters < CARDS["autosam_vit_h"].parameters


def test_demo_is_small_and_trained_whole():
    card = CARDS["autosam_demo"]
    assert card.parameters == card.trained_parameters < 3e6


@pytest.mark.parametrize(
    ("name", "role", "millions"),
    [
        ("swin_unetr_tiny", "student", 4.08),
        ("swin_unetr_small", "student", 15.70),
        ("swin_unetr", "baseline", 62.19),  # the paper says 62.83
        ("unetr", "baseline", 93.02),
        ("nnunet", "baseline", 31.19),
    ],
)
def test_students_and_baselines_have_the_papers_sizes(name, role, millions):
    card = CARDS[name]
    assert card.role == role
    assert card.parameters == card.trained_parameters == pytest.approx(millions * 1e6, abs=0.02e6)


def test_listing_imports_no_network_before_it_is_built():
    program = "import sys, autosam_models; print('monai' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_unknown_model_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"no model named 'unet'\. There are: .*autosam_demo.*autosam_vit_b"):
        build_model("unet", in_channels=1, num_classes=2)


@pytest.mark.parametrize(("name", "option"), [("autosam_vit_b", "embed_dim"), ("autosam_demo", "wings")])
def test_unknown_option_is_refused_with_what_there_is(name, option):
    with pytest.raises(ValueError, match=rf"{name} has no option {option}\. It has: .*patch"):
        build_model(name, in_channels=1, num_classes=2, **{option: 3})


def test_taken_name_and_missing_patch_are_refused():
    taken = Model("autosam_demo", "teacher", "nowhere", nn.Identity, {}, ("patch",))
    with pytest.raises(ValueError, match="'autosam_demo' already"):
        register(taken)
    with pytest.raises(ValueError, match="no option 'patch'"):
        register(Model("another", "teacher", "nowhere", nn.Identity, {}, ()))


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
