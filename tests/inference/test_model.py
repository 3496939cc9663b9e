"""A model on disk comes back as it was; what is wrong with a folder is said with the file and the remedy."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import PATCH, write_model

from autosam_inference.card import ModelFolderError, read_card
from autosam_inference.model import TrainedModel
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_models import build_model
from autosam_platform.data.description import load_description

SPACING_XYZ = (1.5, 2.0, 3.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "run" / "model", load_description("btcv"), SPACING_XYZ)


def test_the_network_computes_what_it_computed_before(folder: Path) -> None:
    original = build_model("autosam_demo", in_channels=1, num_classes=14, patch=PATCH).eval()
    original.load_state_dict(load_file(folder / "model.safetensors"))
    image_BCDHW = torch.randn(1, 1, *PATCH, generator=torch.Generator().manual_seed(0))

    network = TorchRuntime.load(folder, read_card(folder), "cpu").network

    assert not network.training
    with torch.inference_mode():
        assert torch.equal(network(image_BCDHW), original(image_BCDHW))


def test_a_model_takes_the_runs_overlap_unless_told_otherwise(folder: Path) -> None:
    assert TrainedModel.load(folder, device="cpu").overlap == 0.25
    assert TrainedModel.load(folder, device="cpu", overlap=0.5).overlap == 0.5
    assert read_card(folder).spacing_DHW == (3.0, 2.0, 1.5)


def test_no_model(folder: Path) -> None:
    (folder / "model.json").unlink()
    with pytest.raises(ModelFolderError, match=r"holds no model\.json: name the folder model/ of a finished run"):
        read_card(folder)


def test_a_damaged_description_names_the_key(folder: Path) -> None:
    path = folder / "model.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"overlap": 1.5}))
    with pytest.raises(
        ModelFolderError, match=r"model\.json does not describe a model \(overlap: .*than or equal to 0\.9"
    ):
        read_card(folder)
    path.write_text(path.read_text()[:50])
    with pytest.raises(ModelFolderError, match=r"model\.json does not describe a model"):
        read_card(folder)


def test_missing_truncated_or_foreign_weights(folder: Path) -> None:
    card, path = read_card(folder), folder / "model.safetensors"
    weights = load_file(path)
    whole = path.read_bytes()

    path.write_bytes(whole[:-100])
    with pytest.raises(ModelFolderError, match=r"model\.safetensors does not hold the weights of autosam_demo"):
        TorchRuntime.load(folder, card, "cpu")
    save_file(dict(list(weights.items())[1:]), path)
    with pytest.raises(ModelFolderError, match="Missing key"):
        TorchRuntime.load(folder, card, "cpu")
    path.unlink()
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is missing"):
        TorchRuntime.load(folder, card, "cpu")
