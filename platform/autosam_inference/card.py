"""What a trained model says of itself: ``model.json`` beside ``model.safetensors``, read without torch."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from autosam_inference.bounds import Overlap, Spacing
from autosam_inference.errors import UserError, reasons
from autosam_inference.files import DamagedError, content_hash, require_intact, unsealed
from autosam_inference.frozen import Frozen
from autosam_inference.quality.calibration import Calibration
from autosam_models.sizes import size_text

CARD, WEIGHTS = MODEL_FILES = ("model.json", "model.safetensors")
"""What a folder must hold to be a trained model: its description and its weights."""


_LARGEST_OPTION = 16_384
"""Of numbers that networks are built with, such as widths: beyond, building one could take all memory."""


class ModelFolderError(UserError):
    """A folder that holds no usable model; the message names the file, what is wrong and what to do."""


class LabelClass(Frozen):
    """One organ. ``mirror`` names its partner on the patient's other side, if it has one."""

    id: Annotated[int, Field(ge=1, le=255)]
    name: str
    mirror: str | None = None


class Scaling(Frozen):
    """How windowed HU become network input: the window mapped onto ``to``, or (HU − subtract) / divide."""

    to: tuple[float, float] | None = None
    subtract: float | None = None
    divide: PositiveFloat | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.to is None) == (self.subtract is None) or (self.subtract is None) != (self.divide is None):
            raise ValueError("scaling needs either 'to: [low, high]' or both 'subtract' and 'divide'")
        if self.to is not None and self.to[0] >= self.to[1]:
            raise ValueError(f"scaling.to must be [low, high], not {list(self.to)}")
        return self


MOST_OF_A_PATCH = 2**27
"""Voxels: 512³, of which no network here computes that many at a time."""
_Number = Annotated[int | float, Field(ge=-_LARGEST_OPTION, le=_LARGEST_OPTION)]


class Architecture(Frozen):
    """Name in the registry of models, and the options it was built with."""

    name: str
    options: dict[str, bool | _Number | str] = {}


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
    patch: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Depth, height and width of a window in voxels."""
    overlap: Overlap
    spacing_xyz: tuple[Spacing, Spacing, Spacing]
    """Spacing of the prepared grid in mm."""
    hu_window: tuple[int, int]
    scaling: Scaling
    nsd_tolerance_mm: PositiveFloat
    dataset: str
    data_fingerprint: str | None = None
    """Hash of the prepared dataset; older models may not say."""
    split: dict[str, list[str]] = {}
    """Ids of the cases that it was trained, validated and tested on."""
    weights_hash: str | None = None
    """Of the file of weights, which is compared when they are loaded; older models do not have it."""
    histogram: tuple[int, ...] = ()
    """Of HU in the scans that it was trained on (``scans.plausibility.histogram``); older models do not have it."""
    lineage: dict[str, str] = {}
    """What the model learned from beside the labels, such as its teacher."""
    quality: Calibration | None = None
    """How its signals tell where not to trust it; None where it was not calibrated."""

    @model_validator(mode="after")
    def _patch_is_possible(self) -> Self:
        if math.prod(self.patch) > MOST_OF_A_PATCH:
            raise ValueError(f"patch must have {MOST_OF_A_PATCH:,} voxels at most, not {size_text(self.patch)}")
        return self

    @property
    def spacing_DHW(self) -> tuple[float, float, float]:
        """Spacing of the prepared grid in mm along depth, height and width."""
        x, y, z = self.spacing_xyz
        return z, y, x

    @property
    def warning(self) -> str | None:
        """What goes with every result of the model, in a line; None where there is nothing to warn of."""
        return None

    @property
    def short_warning(self) -> str | None:
        """The beginning of it, in the 64 characters that DICOM has for a description."""
        return None


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
        return ModelCard.model_validate(unsealed(path.read_bytes(), since="weights_hash"))
    except DamagedError as error:
        raise ModelFolderError(f"{path} is damaged ({error}): copy the model again, or train it again") from error
    except ValidationError as error:
        problems = "; ".join(reasons(error))
        raise ModelFolderError(f"{path} does not describe a model ({problems}): train or export it again") from None


def require_weights(folder: Path, card: ModelCard) -> Path:
    """The file of weights, if it is the one that ``card`` was written with.

    Raises:
        ModelFolderError: it is missing, or was changed since.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise ModelFolderError(f"{path} is missing: copy the whole folder, {CARD} alone is no model")
    if card.weights_hash is not None:
        try:
            require_intact(path, card.weights_hash)
        except DamagedError as error:
            raise ModelFolderError(f"{error}: copy the whole folder again, or train the run again") from error
    return path


def files_hash(folder: Path) -> str:
    """Hash of the model's files: which model it is, wherever it lies."""
    return content_hash(folder / WEIGHTS, folder / CARD)


class UnknownOrganError(UserError):
    """An organ that a model does not know by that name."""


def wanted_classes(card: ModelCard, organs: Collection[str] | None) -> tuple[LabelClass, ...]:
    """The classes of some organs, in the card's order; all of them where None is given.

    Raises:
        UnknownOrganError: the model has none of such a name, or none is named.
    """
    if organs is None:
        return card.classes
    known = [each.name for each in card.classes]
    unknown = sorted(set(organs) - set(known))
    if unknown or not organs:
        what = f"the model knows no {', '.join(unknown)}" if unknown else "no organ is named"
        raise UnknownOrganError(f"{what}: choose among {', '.join(known)}.")
    return tuple(each for each in card.classes if each.name in set(organs))
