"""Models to predict with: that of a finished run, or a bundle."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from autosam_inference.bundle import Bundle
from autosam_inference.card import ModelCard
from autosam_inference.files import content_hash
from autosam_platform.workspace.runs import RunFolder


@dataclass(frozen=True)
class NamedModel:
    """What ``TrainedModel.load`` takes, and how records call it.

    Attributes:
        name: the run's; of a bundle with a hash of its files behind it, since one run may be exported again.
        place: folder of the run's model, or the bundle's folder or zip.
    """

    name: str
    place: Path
    card: ModelCard

    @classmethod
    def of_run(cls, run: RunFolder) -> Self:
        """
        Raises:
            ModelFolderError: the run has no usable model.
        """
        return cls(run.name, run.model, run.card)

    @classmethod
    def of_bundle(cls, place: Path) -> Self:
        """
        Raises:
            BundleError: there is no bundle that can be used.
        """
        bundle = Bundle.describe(place)
        files = {name: each.sha256 for name, each in bundle.card.files.items()}
        return cls(f"{bundle.name}-bundle-{content_hash(files)[:8]}", place, bundle.card)
