"""A bundle of the smallest network there is, written as an export writes it."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from small_cards import organs, small_card
from torch import nn

from autosam_inference.bundle.card import IR, LICENCE, ONNX, SCHEMA, WEIGHTS
from autosam_platform.export.conversion import write_networks
from autosam_platform.export.writing import write_bundle

CLASSES = 4
PATCH = (8, 9, 10)


def small_network(seed: int = 0) -> nn.Module:
    """K filters of 3 × 3 × 3 with zeros around: an answer depends on where in the window it lies."""
    torch.manual_seed(seed)
    return nn.Conv3d(1, CLASSES, 3, padding=1).eval()


def small_bundle(place: Path, seed: int = 0, **changes: Any) -> Path:
    """Write it to ``place``, a folder or a zip, with changes of its card."""

    def fill(folder: Path) -> dict[str, Any]:
        network = small_network(seed)
        for name in (IR, LICENCE):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_networks(network, PATCH, folder / ONNX, folder / IR)
        save_file(network.state_dict(), folder / WEIGHTS)
        (folder / LICENCE).write_text("As you like.\n")
        card = small_card(organs(CLASSES - 1), patch=PATCH).model_dump(mode="json")
        return card | {"bundle_schema": SCHEMA, "written_by": "0.0.0"} | changes

    write_bundle(place, fill)
    return place


def copied(bundle: Path, place: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(bundle, place))
