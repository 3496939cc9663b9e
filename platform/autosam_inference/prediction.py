"""Predict a scan: from Hounsfield units to a label map on the scan's own grid.

The scan goes the way a training case went (``scans.resampling.resample``, ``scans.intensity.normalise``), through
the sliding window, and comes back to its own voxels; see ``sliding_window`` and ``native_grid`` for how this
is done without the logits of the whole scan in memory.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autosam_inference.arrays import Array
from autosam_inference.card import ModelCard
from autosam_inference.model import TrainedModel
from autosam_inference.native_grid import labels_on_grid
from autosam_inference.observer import Observer
from autosam_inference.quality.judging import judge
from autosam_inference.quality.looking import Looking
from autosam_inference.quality.measures import measures
from autosam_inference.quality.verdict import OrganQuality
from autosam_inference.scans.grid import to_grid
from autosam_inference.scans.plausibility import checked_ct, unlike_training
from autosam_inference.scans.scan import Scan
from autosam_inference.sliding_window import Progress, Slab
from autosam_inference.stopwatch import Stopwatch
from autosam_inference.windows import Window, sweep_order


@dataclass(frozen=True)
class Prediction:
    """A scan that was segmented.

    Attributes:
        label_DHW: class ids on the scan's own voxels, in canonical axes.
        card: of the model; it says what the ids mean.
        scan: as it was segmented; its notes say what was put right in it and what looks odd.
        seconds: that each phase took, ``resample`` (there and back) and ``network`` among them.
        quality: where not to trust it, organ by organ; empty where the model was not calibrated.
    """

    scan: Scan
    label_DHW: NDArray[np.uint8]
    card: ModelCard
    seconds: dict[str, float]
    quality: tuple[OrganQuality, ...] = ()

    @property
    def label_xyz(self) -> NDArray[np.uint8]:
        """The label map in the axes of the scan's file."""
        return to_grid(self.label_DHW, self.scan.grid)

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volume of each organ by its name; 0 of one that was not found."""
        voxels = np.bincount(self.label_DHW.ravel(), minlength=256)
        return {each.name: float(voxels[each.id] * self.scan.grid.voxel_ml) for each in self.card.classes}


def predict(
    model: TrainedModel,
    scan: Scan,
    *,
    progress: Progress | None = None,
    watch: Stopwatch | None = None,
    observers: Sequence[Observer] = (),
) -> Prediction:
    """Segment a scan.

    Its values are looked at first, as those of a case to train on are: see ``scans.plausibility``.

    Args:
        progress: called with the windows done and the windows in all.
        watch: counts on, where the caller times more than this.
        observers: told of the windows and slabs as they come.

    Raises:
        ScanError: the scan's values cannot be Hounsfield units.
    """
    watch = watch or Stopwatch(model.runtime.synchronize)
    scan = checked_ct(scan, lower=model.card.hu_window[0])
    scan = replace(scan, notes=(*scan.notes, *unlike_training(scan, model.card.histogram)))
    volume, calibration = scan.volume, model.card.quality
    looking = Looking(model.card)
    if calibration is not None:
        observers = (*observers, looking)
    with watch.phase("resample"):
        image_DHW = model.prepare(volume)
    depth, height, width = image_DHW.shape
    order = sweep_order((depth, height, width), model.card.patch)
    for observer in observers:
        observer.on_image(image_DHW, order)
    on_window = functools.partial(_tell, observers) if observers else None
    slabs = model.logits(image_DHW, order, progress=progress, on_window=on_window)
    first, second, third = (volume.array_DHW.shape[axis] for axis in order)
    with watch.phase("resample"):
        label = labels_on_grid(
            _shown(watch.each("network", slabs), observers), image_DHW.shape[order[0]], (first, second, third)
        )
    label_DHW = label.transpose([order.index(axis) for axis in range(3)])
    quality: tuple[OrganQuality, ...] = ()
    if calibration is not None:
        with watch.phase("quality"):
            quality = judge(calibration, measures(looking, model.card, volume), model.card.classes)
    return Prediction(scan, label_DHW, model.card, dict(watch.seconds), quality)


def _tell(observers: Sequence[Observer], logits_KDHW: Array, window: Window) -> None:
    for observer in observers:
        observer.on_window(logits_KDHW, window)


def _shown(slabs: Iterable[Slab], observers: Sequence[Observer]) -> Iterator[Slab]:
    for slab in slabs:
        for observer in observers:
            observer.on_slab(slab)
        yield slab
