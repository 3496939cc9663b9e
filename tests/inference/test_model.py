"""A model on disk comes back as it was; what is wrong with a folder is said with the file and the remedy."""

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import PATCH, write_model

from autosam_inference.card import ModelFolderError, read_card
from autosam_inference.files import content_hash, write_sealed
from autosam_inference.model import TrainedModel
from autosam_inference.runtimes.pytorch import DeviceError, TorchRuntime
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
        ModelFolderError, match=r"model\.json does not describe a model \(overlap: must be at most 0\.9"
    ):
        read_card(folder)
    path.write_text(path.read_text()[:50])
    with pytest.raises(ModelFolderError, match=r"model\.json is damaged \(.*copy the model again"):
        read_card(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_no_flipped_bit_of_a_model_is_ever_used(folder: Path, name: str) -> None:
    card = json.loads((folder / "model.json").read_text())
    write_sealed(folder / "model.json", card | {"weights_hash": content_hash(folder / "model.safetensors")})
    intact = read_card(folder)
    path = folder / name
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(30):
        place = rng.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        with pytest.raises(ModelFolderError, match=rf"{name} (is|was) damaged"):
            TorchRuntime.load(folder, read_card(folder), "cpu")
    path.write_bytes(whole)
    TorchRuntime.load(folder, read_card(folder), "cpu")
    assert read_card(folder) == intact


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


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", "cpu:x"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(folder: Path, device: str) -> None:
    with pytest.raises(DeviceError, match=rf"the device '{device}' .*take cpu"):
        TrainedModel.load(folder, device=device)
