"""Predict a scan: from Hounsfield units to a label map on the scan's own grid.

The scan goes the way a training case went (``scans.resampling.resample``, ``scans.intensity.normalise``), through
the sliding window, and comes back to its own voxels; see ``sliding_window`` and ``native_grid`` for how this
is done without the logits of the whole scan in memory.
"""

import functools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autosam_inference.arrays import Array
from autosam_inference.card import LabelClass, ModelCard, wanted_classes
from autosam_inference.coarse import Search, counted, doubt, searches
from autosam_inference.model import TrainedModel
from autosam_inference.native_grid import labels_on_grid
from autosam_inference.observer import Observer
from autosam_inference.quality.judging import judge
from autosam_inference.quality.looking import Looking
from autosam_inference.quality.measures import measures
from autosam_inference.quality.verdict import OrganQuality
from autosam_inference.scans.grid import Volume, to_grid
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
        classes: the organs that were wanted; the card's where no choice was made.
        search: the part of the scan that the network was asked about; None where that was not recorded.
        doubts: why a smaller part was not enough, in words.
    """

    scan: Scan
    label_DHW: NDArray[np.uint8]
    card: ModelCard
    seconds: dict[str, float]
    quality: tuple[OrganQuality, ...] = ()
    classes: tuple[LabelClass, ...] = ()
    search: Search | None = None
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.classes:
            object.__setattr__(self, "classes", self.card.classes)

    @property
    def label_xyz(self) -> NDArray[np.uint8]:
        """The label map in the axes of the scan's file."""
        return to_grid(self.label_DHW, self.scan.grid)

    @property
    def searched(self) -> dict[str, str | int]:
        """Which part of the scan the network was asked about, in how many windows, and how many the whole has."""
        search = self.search
        if search is None:
            return {}
        return {"part": search.name, "windows": search.windows, "all_windows": search.all_windows}

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volume of each wanted organ by its name; 0 of one that was not found."""
        voxels = counted(self.label_DHW)
        return {each.name: float(voxels[each.id] * self.scan.grid.voxel_ml) for each in self.classes}


def predict(
    model: TrainedModel,
    scan: Scan,
    *,
    organs: Collection[str] | None = None,
    coarse: bool = True,
    progress: Progress | None = None,
    watch: Stopwatch | None = None,
    observers: Sequence[Observer] = (),
) -> Prediction:
    """Segment a scan.

    Its values are looked at first, as those of a case to train on are: see ``scans.plausibility``.

    Args:
        organs: names of those that are wanted; all where not given. The others' voxels are background, and windows
            that can only hold others are spared where ``coarse`` is on.
        coarse: look for the organs roughly first and compute the windows around them; see ``coarse`` for what that
            assumes, and when everything is computed all the same.
        progress: called with the windows done and the windows in all.
        watch: counts on, where the caller times more than this.
        observers: told of the windows and slabs as they come; where a search is repeated with a larger box, from the
            image on.

    Raises:
        ScanError: the scan's values cannot be Hounsfield units.
        UnknownOrganError: the model has no organ of such a name.
    """
    wanted = wanted_classes(model.card, organs)
    watch = watch or Stopwatch(model.runtime.synchronize)
    scan = checked_ct(scan, lower=model.card.hu_window[0])
    scan = replace(scan, notes=(*scan.notes, *unlike_training(scan, model.card.histogram)))
    looking = None if model.card.quality is None else Looking(model.card)
    observers = [*observers, *([] if looking is None else [looking])]
    names, doubts = {each.id: each.name for each in wanted}, []
    found = searches(model, scan.volume, names, coarse=coarse)
    for search in watch.each("coarse", found) if coarse else found:
        label_DHW = _searched(model, scan.volume, search, progress, watch, observers)
        if organs is not None:
            _keep(label_DHW, names)
        why = doubt(search, label_DHW, names)
        if why is None:
            break
        doubts.append(f"{why}: searched again, in more.")
    scan = replace(scan, notes=(*scan.notes, *doubts))
    quality: tuple[OrganQuality, ...] = ()
    if looking is not None and model.card.quality is not None:
        with watch.phase("quality"):
            quality = judge(model.card.quality, measures(looking, model.card, scan.volume, search.box), wanted)
    return Prediction(scan, label_DHW, model.card, dict(watch.seconds), quality, wanted, search, tuple(doubts))


def _searched(
    model: TrainedModel,
    volume: Volume,
    search: Search,
    progress: Progress | None,
    watch: Stopwatch,
    observers: Sequence[Observer],
) -> NDArray[np.uint8]:
    """Label map on the scan's own grid of what is in the box."""
    with watch.phase("resample"):
        image_DHW = model.prepare(volume, within=search.box)
    depth, height, width = image_DHW.shape
    order = sweep_order((depth, height, width), model.card.patch)
    for observer in observers:
        observer.on_image(image_DHW, order)
    on_window = functools.partial(_tell, observers) if observers else None
    slabs = model.logits(image_DHW, order, progress=progress, on_window=on_window)
    first, second, third = (volume.array_DHW.shape[axis] for axis in order)
    with watch.phase("resample"):
        shown = _shown(watch.each("network", slabs), observers)
        label = labels_on_grid(shown, image_DHW.shape[order[0]], (first, second, third), search.parts(order))
    return label.transpose([order.index(axis) for axis in range(3)])


def _keep(label_DHW: NDArray[np.uint8], organs: Collection[int]) -> None:
    """Make background of all other ids, in place."""
    kept = np.zeros(256, np.uint8)
    kept[list(organs)] = list(organs)
    for slice_HW in label_DHW:
        slice_HW[...] = kept[slice_HW]


def _tell(observers: Sequence[Observer], logits_KDHW: Array, window: Window) -> None:
    for observer in observers:
        observer.on_window(logits_KDHW, window)


def _shown(slabs: Iterable[Slab], observers: Sequence[Observer]) -> Iterator[Slab]:
    for slab in slabs:
        for observer in observers:
            observer.on_slab(slab)
        yield slab
