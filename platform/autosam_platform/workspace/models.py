"""Models to predict with: that of a finished run, the mean of several, or a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from autosam_inference.bundle import Bundle
from autosam_inference.card import ModelCard, ModelFolderError
from autosam_inference.files import content_hash
from autosam_platform.workspace.runs import RunFolder

if TYPE_CHECKING:
    from autosam_inference.model import TrainedModel


@dataclass(frozen=True)
class NamedModel:
    """What ``TrainedModel.load`` takes, and how records call it.

    Attributes:
        name: the run's; of a bundle with a hash of its files behind it, since one run may be exported again.
        place: folder of the run's model, or the bundle's folder or zip.
        others: folders of the models that answer together with it.
    """

    name: str
    place: Path
    card: ModelCard
    others: tuple[Path, ...] = ()

    @classmethod
    def of_run(cls, run: RunFolder) -> Self:
        """
        Raises:
            ModelFolderError: the run has no usable model.
        """
        return cls(run.name, run.model, run.card)

    @classmethod
    def of_runs(cls, runs: Sequence[RunFolder]) -> Self:
        """The mean of several runs' probabilities, such as the folds of a cross-validation.

        Raises:
            ModelFolderError: a run has no usable model, or they do not go together.
        """
        from autosam_inference.several import ModelFolders

        folders = ModelFolders.of(*dict.fromkeys(run.model for run in runs))
        try:
            card = folders.card
        except ValueError as error:
            raise ModelFolderError(f"{error}: name runs of one dataset, prepared alike") from error
        first, *others = folders.folders
        return cls(f"mean-of-{len(folders.folders)}-{folders.hash[:8]}", first, card, tuple(others))

    def load(self, **options: Any) -> "TrainedModel":
        """The model, or the mean of all; ``options`` are those of ``TrainedModel.load``."""
        # Here, since it reads scans, and a page that lists runs should not wait a second for what reads them.
        from autosam_inference.model import TrainedModel
        from autosam_inference.several import mean_of

        return mean_of([TrainedModel.load(place, **options) for place in (self.place, *self.others)])

    @classmethod
    def of_bundle(cls, place: Path) -> Self:
        """
        Raises:
            BundleError: there is no bundle that can be used.
        """
        bundle = Bundle.describe(place)
        files = {name: each.sha256 for name, each in bundle.card.files.items()}
        return cls(f"{bundle.name}-bundle-{content_hash(files)[:8]}", place, bundle.card)
