"""What a bundle says of itself: ``configs/card.json``, sealed, with the hash of every other file."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from autosam_inference.bundle.contents import OrganCodes, OtherScores, RuntimeParity, Scores, TrainingData
from autosam_inference.bundle.words import SYNTHETIC, in_a_line
from autosam_inference.card import ModelCard
from autosam_inference.errors import UserError, reasons
from autosam_inference.files import DamagedError, unsealed
from autosam_inference.frozen import Frozen

SCHEMA = 2  # 1 did not know whether scans were synthetic, nor scores on other datasets
"""Of the bundles that this version writes, and the newest that it reads."""

CARD = "configs/card.json"
METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
IR, IR_WEIGHTS = "models/model.xml", "models/model.bin"
ONNX = "models/model.onnx"
WEIGHTS = "models/model.safetensors"
README = "docs/README.md"
DATA_LICENCE = "docs/data_license.txt"
LICENCE = "LICENSE"


class BundleError(UserError):
    """A bundle that cannot be used; the message names it, the file in it, and what to do."""


class FileRecord(Frozen):
    """One file of the bundle."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]


class BundleCard(ModelCard):
    """What ``card.json`` says: all that a run's model says, and what somebody needs who was not there."""

    bundle_schema: int
    """Of this file; see ``SCHEMA``."""
    written_by: str
    """Version of the platform that wrote the bundle."""
    written_on: str = ""
    """Day of the export, such as 2026-11-26."""
    made_from: str = ""
    """Hash of the run's model and evaluation and of what wrote the bundle: the same for the same bundle."""
    codes: dict[str, OrganCodes] = {}
    """By the names of the classes."""
    training_data: TrainingData | None = None
    scores: Scores | None = None
    """None of a model that was exported without an evaluation."""
    other_scores: tuple[OtherScores, ...] = ()
    """On datasets that are not its own."""
    settings: dict[str, Any] = {}
    """Of the experiment, by dotted names: what differs from the defaults, and the seed. No places on disk."""
    known_failures: tuple[str, ...] = ()
    """Where not to trust it, in plain sentences."""
    parity: dict[str, RuntimeParity] = {}
    """By the names of the runtimes."""
    versions: dict[str, str] = {}
    """Of the software that it was trained with."""
    export_versions: dict[str, str] = {}
    """Of the software that it was exported with."""
    files: dict[str, FileRecord]
    """Every file but the card itself, by its path in the bundle with ``/``."""

    @property
    def warning(self) -> str | None:
        """Of a model that has seen no patient: what it is, and its scores."""
        return None if self.short_warning is None else in_a_line(self)

    @property
    def short_warning(self) -> str | None:
        """What it is."""
        synthetic = self.training_data is not None and self.training_data.synthetic
        return SYNTHETIC if synthetic else None


def read_bundle_card(text: bytes, place: str) -> BundleCard:
    """The card that ``text`` holds.

    Args:
        place: of the bundle, for messages.

    Raises:
        BundleError: it was changed, is none, or is of a newer schema than this version reads.
    """
    try:
        told = unsealed(text, since="bundle_schema")
    except DamagedError as error:
        raise BundleError(f"{place}: {CARD} is damaged ({error}): copy the bundle again.") from error
    schema = told.get("bundle_schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleError(
            f"{place} is a bundle of schema {schema}, and this version reads those up to {SCHEMA}: install "
            f"autosam-adapter-platform {told.get('written_by', 'of the machine that wrote it')} or newer."
        )
    try:
        return BundleCard.model_validate(told)
    except ValidationError as error:
        raise BundleError(
            f"{place}: {CARD} does not describe a bundle ({'; '.join(reasons(error))}): export it again."
        ) from None
