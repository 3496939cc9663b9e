"""A trained model, ready to predict: its card, what computes its logits, and how its windows lie."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from autosam_inference.arrays import Array, all_finite
from autosam_inference.bundle import Bundle, is_bundle
from autosam_inference.card import ModelCard, ModelFolderError, read_card
from autosam_inference.errors import UserError
from autosam_inference.runtimes import Runtime
from autosam_inference.runtimes.chosen import RuntimeName, runtime_of, runtime_of_run
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.intensity import normalise
from autosam_inference.scans.resampling import resample
from autosam_inference.sliding_window import OnWindow, Progress, Slab, sliding_window
from autosam_inference.windows import Window, sweep_order
from autosam_models import find_model
from autosam_models.sizes import Size

_BYTES_A_TASK = 1 << 30  # interpreter, libraries
_BYTES_A_PATCH_VOXEL = 800  # activations of a forward pass; measured 370 to 700 (docs/benchmarks.md)


@dataclass(frozen=True)
class TrainedModel:
    """A trained network, ready to predict scans.

    Attributes:
        card: how its input is prepared and what its classes are.
        runtime: computes its logits.
        overlap: share that neighbouring windows have in common.
        batch: windows per forward pass.
    """

    card: ModelCard
    runtime: Runtime
    overlap: float
    batch: int = 1

    @classmethod
    def load(
        cls,
        place: Path | str,
        *,
        runtime: RuntimeName | None = None,
        overlap: float | None = None,
        device: str | None = None,
        batch: int = 1,
    ) -> Self:
        """Load ``model/`` of a run, or a bundle (folder or zip).

        Args:
            runtime: what computes; torch for a run, which has no other, and OpenVINO for a bundle where not given.
            overlap: the one that the run was told to use, where not given.
            device: for torch, such as ``cuda:1`` or ``cpu``; a GPU where there is one. The others compute on the CPU.

        Raises:
            ModelFolderError: the folder holds no usable model.
            BundleError: the bundle is damaged, or of a newer version.
            RuntimeMissingError: the runtime is not installed, or has not that device.
        """
        place = Path(place)
        if is_bundle(place):
            bundle = Bundle.load(place)
            card: ModelCard = bundle.card
            computes = runtime_of(bundle, runtime or "openvino", device)
        else:
            card = read_card(place)
            if find_model(card.model.name).prompted:
                raise ModelFolderError(
                    f"{card.run_id} is {card.model.name}, which is asked by prompts, and no scan comes with them: "
                    "jobs/evaluate.py draws them from the labels of cases that have some. Name another run."
                )
            computes = runtime_of_run(place, card, runtime or "torch", device)
        return cls(card, computes, card.overlap if overlap is None else overlap, batch)

    def prepare(
        self,
        volume: Volume,
        spacing_DHW: tuple[float, float, float] | None = None,
        *,
        within: Window | None = None,
    ) -> NDArray[np.float32]:
        """Network input of a canonical scan in finite HU (``plausibility.checked_ct``), made as in training: D H W.

        Args:
            spacing_DHW: in mm; the model's own where not given.
            within: a box of the prepared voxels, which alone are made.
        """
        card = self.card
        resampled = resample(volume, spacing_DHW or card.spacing_DHW, kind="image", within=within)
        return normalise(resampled.array_DHW, card.hu_window, card.scaling)

    @property
    def pad_value(self) -> float:
        """The window's lower bound as the network sees it: what lies outside a scan."""
        card = self.card
        return float(normalise(np.array(card.hu_window[0]), card.hu_window, card.scaling))

    def logits(
        self,
        image_DHW: Array,
        order: tuple[int, int, int],
        *,
        overlap: float | None = None,
        within: Window | None = None,
        progress: Progress | None = None,
        on_window: OnWindow | None = None,
    ) -> Iterator[Slab]:
        """Logits of a prepared volume by the sliding window; see there for what can be told.

        Raises:
            UserError: some are NaN or infinite, which would be background without a word.
        """
        slabs = sliding_window(
            self.runtime.logits,
            image_DHW,
            self.card.patch,
            self.overlap if overlap is None else overlap,
            num_classes=self.card.num_classes,
            order=order,
            batch=self.batch,
            pad_value=self.pad_value,
            within=within,
            progress=progress,
            on_window=on_window,
        )
        for slab in slabs:
            if not all_finite(slab.logits_KDHW):
                raise UserError(
                    f"The network {self.card.run_id} gives NaN or infinite logits where {type(self.runtime).__name__} "
                    f"computes it on {self.runtime.device}: choose another runtime, and report it if it does so "
                    "there too."
                )
            yield slab


def bytes_of_prediction(card: ModelCard, weights: int, prepared_DHW: Size) -> int:
    """Bytes that predicting a case needs at most beside the volumes: the network at work, the sums of the window.

    Args:
        weights: bytes of the network's weights.
        prepared_DHW: voxels of the case on the prepared grid.
    """
    depth, height, width = (max(n, window) for n, window in zip(prepared_DHW, card.patch, strict=True))
    swept, *others = sweep_order((depth, height, width), card.patch)
    plane = math.prod((depth, height, width)[axis] for axis in others)
    sums = 4 * (card.num_classes + 1) * card.patch[swept] * plane
    return _BYTES_A_TASK + 2 * weights + _BYTES_A_PATCH_VOXEL * math.prod(card.patch) + sums
