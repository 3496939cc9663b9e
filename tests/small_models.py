"""A model folder as a training run leaves it, with random weights of the smallest network."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from autosam_models import build_model
from autosam_platform.data.description import DatasetDescription

PATCH = (16, 16, 16)


def write_model(
    folder: Path, description: DatasetDescription, spacing_xyz: tuple[float, float, float], seed: int = 0
) -> Path:
    """Write ``model.safetensors`` and ``model.json`` for ``description`` into ``folder``."""
    torch.manual_seed(seed)
    model = build_model("autosam_demo", in_channels=1, num_classes=description.num_classes, patch=PATCH)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "model.safetensors",
    )
    card = {
        "run_id": "small-01234567",
        "model": {"name": "autosam_demo", "options": {}},
        "num_classes": description.num_classes,
        "classes": [each.model_dump() for each in description.classes],
        "patch": PATCH,
        "overlap": 0.25,
        "spacing_xyz": spacing_xyz,
        "hu_window": description.hu_window,
        "scaling": description.scaling.model_dump(),
        "nsd_tolerance_mm": description.nsd_tolerance_mm,
        "dataset": description.name,
        "versions": {"torch": torch.__version__},
    }
    (folder / "model.json").write_text(json.dumps(card))
    return folder
