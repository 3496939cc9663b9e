"""Predict a scan: from its file in Hounsfield units to a label map on its own grid.

The scan goes the way a training case went (``scans.resampling.resample``, ``scans.intensity.normalise``), through
the sliding window, and comes back to its own voxels; see ``sliding_window`` and ``native_grid`` for how this
is done without the logits of the whole scan in memory.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autosam_inference.card import ModelCard, read_card
from autosam_inference.native_grid import labels_on_grid
from autosam_inference.runtimes.pytorch import load_model
from autosam_inference.scans.grid import Volume, read_scan, to_grid
from autosam_inference.scans.intensity import fill_non_finite, normalise
from autosam_inference.scans.label_files import save_label
from autosam_inference.scans.names import SUFFIXES
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.resampling import resample
from autosam_inference.stopwatch import Stopwatch
from autosam_inference.windows import Progress, Slab, Window, sliding_window, sweep_order
from autosam_models.numerics import format_of

_BYTES_A_TASK = 1 << 30  # interpreter, libraries
_BYTES_A_PATCH_VOXEL = 800  # activations of a forward pass; measured 370 to 700 (docs/benchmarks.md)


@dataclass(frozen=True)
class Predictor:
    """A trained network, ready to predict scans.

    Attributes:
        model: ``image_BCDHW`` to ``logits_BKDHW``, in evaluation mode on ``device``.
        card: how its input is prepared and what its classes are.
        overlap: share that neighbouring windows have in common.
        batch: windows per forward pass.
        amp: type of autocast, or None for float32.
    """

    model: nn.Module
    card: ModelCard
    device: torch.device
    overlap: float
    batch: int = 1
    amp: torch.dtype | None = None

    @classmethod
    def load(cls, folder: Path, *, overlap: float | None = None, device: str | None = None, batch: int = 1) -> Self:
        """Load ``model/`` of a run: on a GPU where there is one, in bf16 where the hardware has it.

        Args:
            overlap: the one that the run was told to use, where not given.
            device: such as ``cuda:1`` or ``cpu``.

        Raises:
            ModelFolderError: the folder holds no usable model.
        """
        card = read_card(folder)
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model = load_model(folder, card, place)
        amp = torch.bfloat16 if format_of("auto", place) is torch.bfloat16 else None
        return cls(model, card, place, card.overlap if overlap is None else overlap, batch, amp)

    def prepare(self, volume: Volume) -> Tensor:
        """Network input of a canonical scan in HU, made as in training: float32, D H W."""
        low = self.card.hu_window[0]
        finite = Volume(fill_non_finite(volume.array_DHW, low), volume.spacing_DHW)
        resampled = resample(finite, self.card.spacing_DHW, kind="image")
        return torch.from_numpy(normalise(resampled.array_DHW, self.card.hu_window, self.card.scaling))

    @property
    def pad_value(self) -> float:
        """The window's lower bound as the network sees it: what lies outside a scan."""
        card = self.card
        return float(normalise(np.array(card.hu_window[0]), card.hu_window, card.scaling))

    def logits(
        self,
        image_DHW: Tensor,
        order: tuple[int, int, int],
        *,
        within: Window | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Slab]:
        """Logits of a prepared volume by the sliding window; see there for ``order`` and ``within``."""
        return sliding_window(
            self.model,
            image_DHW,
            self.card.patch,
            self.overlap,
            num_classes=self.card.num_classes,
            order=order,
            batch=self.batch,
            device=self.device,
            amp=self.amp,
            pad_value=self.pad_value,
            within=within,
            progress=progress,
        )

    def stopwatch(self) -> Stopwatch:
        """A stopwatch that waits for this predictor's device."""
        on_gpu = self.device.type == "cuda"
        return Stopwatch(lambda: torch.cuda.synchronize(self.device)) if on_gpu else Stopwatch()


@functools.lru_cache(maxsize=1)
def loaded(model: Path, files_hash: str, overlap: float) -> Predictor:
    """The model, loaded once per process; ``files_hash`` makes a changed one load again."""
    return Predictor.load(model, overlap=overlap)


def bytes_of_prediction(card: ModelCard, weights: int, prepared_DHW: tuple[int, int, int]) -> int:
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


def predict_volume(
    predictor: Predictor, volume: Volume, *, progress: Progress | None = None, watch: Stopwatch | None = None
) -> NDArray[np.uint8]:
    """Label map of a canonical scan in HU, on the scan's own voxels (D, H, W).

    Args:
        progress: called with the windows done and the windows in all.
        watch: gets the seconds of ``resample`` (there and back) and ``network``.
    """
    watch = watch or predictor.stopwatch()
    card = predictor.card
    with watch.phase("resample"):
        image_DHW = predictor.prepare(volume)
    order = sweep_order((image_DHW.shape[0], image_DHW.shape[1], image_DHW.shape[2]), card.patch)
    slabs = predictor.logits(image_DHW, order, progress=progress)
    native = volume.array_DHW.shape
    swept = (native[order[0]], native[order[1]], native[order[2]])
    with watch.phase("resample"):
        label = labels_on_grid(watch.each("network", slabs), image_DHW.shape[order[0]], swept)
    return label.numpy().transpose([order.index(axis) for axis in range(3)])


@dataclass(frozen=True)
class Prediction:
    """A scan that was predicted, in canonical axes, and the seconds that each phase took."""

    scan: Volume
    label_DHW: NDArray[np.uint8]
    watch: Stopwatch


def predict_scan(predictor: Predictor, scan: Path, target: Path, *, progress: Progress | None = None) -> Prediction:
    """Predict a NIfTI file and write the label map on its grid: same shape, affine and orientation.

    The names and colours of the labels lie beside ``target`` (see ``scans.label_files.save_label``).

    Raises:
        ScanError: the scan cannot be read, or ``target`` is no .nii or .nii.gz file; said before the work.
    """
    if not target.name.endswith(SUFFIXES):
        raise ScanError(f"{target} must end in .nii.gz or .nii: a label map is written as NIfTI")
    watch = predictor.stopwatch()
    with watch.phase("read"):
        volume, grid = read_scan(scan)
    label_DHW = predict_volume(predictor, volume, progress=progress, watch=watch)
    with watch.phase("write"):
        save_label(target, to_grid(label_DHW, grid), grid, predictor.card.classes)
    return Prediction(volume, label_DHW, watch)
