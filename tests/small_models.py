"""A model folder as a training run leaves it, with random weights of the smallest network."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from autosam_models import build_model
from autosam_platform.data.description import DatasetDescription

PATCH = (16, 16, 16)


def write_model(
    folder: Path,
    description: DatasetDescription,
    spacing_xyz: tuple[float, float, float],
    seed: int = 0,
    name: str = "autosam_demo",
    patch: tuple[int, int, int] = PATCH,
    **options: Any,
) -> Path:
    """Write ``model.safetensors`` and ``model.json`` for ``description`` into ``folder``.

    Args:
        options: of the model; its checkpoint is not on the card.
    """
    torch.manual_seed(seed)
    model = build_model(name, in_channels=1, num_classes=description.num_classes, patch=patch, **options)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "model.safetensors",
    )
    card = {
        "run_id": "small-01234567",
        "model": {"name": name, "options": {key: value for key, value in options.items() if key != "checkpoint"}},
        "num_classes": description.num_classes,
        "classes": [each.model_dump() for each in description.classes],
        "patch": patch,
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
