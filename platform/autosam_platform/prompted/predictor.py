"""A prompted model behind the evaluation of all the others: prompts from the label, slices, a label map."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from autosam_inference.card import WEIGHTS, ModelCard, read_card
from autosam_inference.prediction import Prediction
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.scans.grid import Grid
from autosam_inference.scans.scan import Scan
from autosam_inference.several import ModelFolders
from autosam_inference.stopwatch import Stopwatch
from autosam_models.prompted.asking import Asking
from autosam_models.prompted.sam import PromptedSam
from autosam_platform.prompted.prompts import ORACLE
from autosam_platform.prompted.slices import bytes_at_work, segment_slices

VERSION = 1  # raise it whenever the same model and scan would give another label map


def told_of(asking: Asking) -> str:
    """What goes with every result: that it is an oracle's, and how it was asked."""
    return f"{ORACLE}: {asking.words}"


@dataclass(frozen=True)
class PromptedPredictor:
    """See ``evaluation.predictor.Predictor``.

    Attributes:
        hashed: of the model's files, how it is asked among them.
    """

    models: ModelFolders
    hashed: str

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Of the folder of a run's model."""
        models = ModelFolders.of(folder)
        return cls(models, models.hash)

    @property
    def identity(self) -> list[Any]:
        """See ``Predictor``."""
        return ["prompted", VERSION, self.hashed]

    @property
    def notice(self) -> str:
        """See ``Predictor``."""
        return told_of(Asking.of(self.models.card.model.options))

    def load(self, threads: int) -> "ReadySam":
        """See ``Predictor``."""
        ready = _loaded(self.models.folders[0], self.hashed)
        ready.runtime.use_threads(threads)
        return ready

    def memory(self, grid: Grid | None) -> int:
        """See ``Predictor``: of whatever scan, since slice after slice is looked at."""
        return bytes_at_work(self.models.card.patch[1], (self.models.folders[0] / WEIGHTS).stat().st_size)


@functools.lru_cache(maxsize=1)
def _loaded(folder: Path, _: str) -> "ReadySam":
    card = read_card(folder)
    return ReadySam(card, TorchRuntime.load(folder, card))


@dataclass(frozen=True)
class ReadySam:
    """See ``evaluation.predictor.Ready``."""

    card: ModelCard
    runtime: TorchRuntime

    @property
    def settle(self) -> Callable[[], None]:
        """See ``Ready``."""
        return self.runtime.synchronize

    def predict(self, case_id: str, scan: Scan, truth_DHW: NDArray[np.uint8], watch: Stopwatch) -> Prediction:
        """See ``Ready``."""
        runtime, network = self.runtime, cast(PromptedSam, self.runtime.network)
        window = network.asking.grey(self.card.hu_window)
        hu_DHW = scan.volume.array_DHW
        with torch.autocast(runtime.device.type, dtype=runtime.amp) if runtime.amp else nullcontext():
            label_DHW = segment_slices(network, hu_DHW, truth_DHW, case_id, window, runtime.device, watch)
        return Prediction(scan, label_DHW, self.card, dict(watch.seconds))
