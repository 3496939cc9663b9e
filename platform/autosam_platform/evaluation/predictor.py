"""What segments the scans of an evaluation: a trained model by its sliding window, or another way to label maps."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from autosam_inference.card import ModelCard
from autosam_inference.model import TrainedModel
from autosam_inference.prediction import Prediction, predict
from autosam_inference.scans.grid import Grid
from autosam_inference.scans.scan import Scan
from autosam_inference.several import ModelFolders
from autosam_inference.stopwatch import Stopwatch


class Ready(Protocol):
    """A predictor that is loaded.

    Attributes:
        settle: waits for work that runs on (a GPU's).
    """

    @property
    def settle(self) -> Callable[[], None]: ...

    def predict(self, case_id: str, scan: Scan, truth_DHW: NDArray[np.uint8], watch: Stopwatch) -> Prediction:
        """Segment a scan.

        Args:
            truth_DHW: its label, for who is asked by prompts from it; all others leave it alone.
            watch: is to count the phases ``resample`` and ``network``.
        """
        ...


class Predictor(Protocol):
    """Travels to Ray's tasks, where it is loaded.

    Attributes:
        models: folders of the model.
        identity: what decides its predictions, for ``content_hash``.
        notice: goes with every result; empty where there is nothing to say.
    """

    @property
    def models(self) -> ModelFolders: ...

    @property
    def identity(self) -> list[Any]: ...

    @property
    def notice(self) -> str: ...

    def load(self, threads: int) -> Ready:
        """Ready to compute with so many threads; loaded once per process."""
        ...

    def memory(self, grid: Grid | None) -> int:
        """Bytes that it needs at most beside the scan and the label maps; None of a scan that cannot be read."""
        ...


@dataclass(frozen=True)
class SlidingWindow:
    """A trained model, or several whose mean is evaluated, asked about every window; see ``Predictor``.

    Attributes:
        hashed: of the models' files.
        overlap: of neighbouring windows.
    """

    models: ModelFolders
    hashed: str
    overlap: float
    notice: str = ""

    @classmethod
    def of(cls, models: ModelFolders, overlap: float | None = None) -> Self:
        """With the overlap that the model's run was told, where none is given."""
        return cls(models, models.hash, models.card.overlap if overlap is None else overlap)

    @property
    def identity(self) -> list[Any]:
        """See ``Predictor``."""
        return [self.hashed, self.overlap]

    def load(self, threads: int) -> "ReadyWindow":
        """See ``Predictor``."""
        model = self.models.load(self.hashed, self.overlap)
        model.runtime.use_threads(threads)
        return ReadyWindow(model)

    def memory(self, grid: Grid | None) -> int:
        """See ``Predictor``."""
        if grid is None:
            return self.models.bytes_of_prediction()
        return self.models.bytes_of_prediction(_prepared(grid, self.models.card))


@dataclass(frozen=True)
class ReadyWindow:
    """See ``Ready``."""

    model: TrainedModel

    @property
    def settle(self) -> Callable[[], None]:
        """See ``Ready``."""
        return self.model.runtime.synchronize

    def predict(self, case_id: str, scan: Scan, truth_DHW: NDArray[np.uint8], watch: Stopwatch) -> Prediction:
        """See ``Ready``. The figures are those of every window of the scan, as the paper has them."""
        return predict(self.model, scan, coarse=False, watch=watch)


def _prepared(grid: Grid, card: ModelCard) -> tuple[int, int, int]:
    sides = zip(grid.shape_DHW, grid.spacing_DHW, card.spacing_DHW, strict=True)
    depth, height, width = (math.ceil(n * old / new) for n, old, new in sides)
    return depth, height, width
