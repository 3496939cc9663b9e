"""torch as the runtime: the network that a card names, with the weights beside it."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model as load_weights
from torch import nn

from autosam_inference.card import CARD, WEIGHTS, ModelCard, ModelFolderError
from autosam_models import build_model


def load_model(folder: Path, card: ModelCard, device: torch.device) -> nn.Module:
    """Build the network that ``card`` names, with the folder's weights, in evaluation mode on ``device``.

    Raises:
        ModelFolderError: the weights are missing, damaged, or those of another network.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise ModelFolderError(f"{path} is missing: copy the whole folder, {CARD} alone is no model")
    options = card.model.options
    model = build_model(card.model.name, in_channels=1, num_classes=card.num_classes, patch=card.patch, **options)
    try:
        load_weights(model, path)
    except (SafetensorError, RuntimeError) as error:
        raise ModelFolderError(
            f"{path} does not hold the weights of {card.model.name} as {CARD} describes it ({error}): "
            "copy both files again from the same run"
        ) from None
    return model.to(device).eval()
