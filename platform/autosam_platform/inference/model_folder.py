"""A trained model on disk: ``model.safetensors`` with the weights, ``model.json`` with what they need."""

from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_model as load_weights
from torch import nn

from autosam_models import build_model
from autosam_platform.config import MODEL_FILES
from autosam_platform.data.description import LabelClass, Scaling
from autosam_platform.files import content_hash

CARD, WEIGHTS = MODEL_FILES

Size = tuple[PositiveInt, PositiveInt, PositiveInt]


class ModelFolderError(ValueError):
    """A folder that holds no usable model; the message names the file, what is wrong and what to do."""


class Architecture(BaseModel):
    """Name in the registry of models, and the options it was built with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    options: dict[str, bool | int | float | str] = {}


class ModelCard(BaseModel):
    """What ``model.json`` says: how to build the network, what it eats and what its channels mean.

    Further keys (versions, where the run stood, the data's fingerprint) are kept and not needed here.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    run_id: str
    model: Architecture
    num_classes: Annotated[int, Field(ge=2, le=256)]
    """K, including background."""
    classes: tuple[LabelClass, ...]
    patch: Size
    """Depth, height and width of a window in voxels."""
    overlap: Annotated[float, Field(ge=0, lt=1)]
    spacing_xyz: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Spacing of the prepared grid in mm."""
    hu_window: tuple[int, int]
    scaling: Scaling
    nsd_tolerance_mm: PositiveFloat
    dataset: str
    data_fingerprint: str | None = None
    """Hash of the prepared dataset; older models may not say."""
    split: dict[str, list[str]] = {}
    """Ids of the cases that it was trained, validated and tested on."""
    lineage: dict[str, str] = {}
    """What the model learned from beside the labels, such as its teacher."""

    @property
    def spacing_DHW(self) -> tuple[float, float, float]:
        """Spacing of the prepared grid in mm along depth, height and width."""
        x, y, z = self.spacing_xyz
        return z, y, x


def read_card(folder: Path) -> ModelCard:
    """Read ``model.json``.

    Raises:
        ModelFolderError: there is no model, or its description is damaged.
    """
    path = folder / CARD
    if not path.is_file():
        raise ModelFolderError(
            f"{folder} holds no {CARD}: name the folder model/ of a finished run; if that run has none, its "
            "training is not done: start it again with the same command and it continues"
        )
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ModelFolderError(f"{path} does not describe a model ({problems}): train or export it again") from None


def files_hash(folder: Path) -> str:
    """Hash of the model's files: which model it is, wherever it lies."""
    return content_hash(folder / WEIGHTS, folder / CARD)


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
