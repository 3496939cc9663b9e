"""Run a network over a whole volume in overlapping windows, and hand out the result slab by slab.

The windows and their Gaussian weights are those of MONAI's ``sliding_window_inference``, so the result is the
same. MONAI's holds the logits of the whole volume, K × D × H × W floats (14 classes at 1 mm: 5 GB and more).
Here windows are visited from the lowest to the highest along one axis, and what no later window reaches is
finished and leaves. A network gives the same answer for every window of nothing but air, so it is asked once.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from array_api_compat import array_namespace, device

from autosam_inference.arrays import Array, add_product, most_probable
from autosam_inference.windows import Window, all_windows, sweep_order, touch, window_weights
from autosam_models.sizes import Size

Logits = Callable[[Array], Array]
"""A network: patches B, C, D, H, W with one channel to logits B, K, D, H, W (see ``runtimes.Runtime.logits``)."""
Progress = Callable[[int, int], None]
"""Called with the windows done and the windows in all."""
OnWindow = Callable[[Array, Window], None]
"""Called with a window's logits K, D, H, W and its place, both in the order of the sweep and in padded voxels."""

_SLAB = 16  # slices handed out at a time: a small copy beside the sums


class Slab(NamedTuple):
    """Finished logits of ``start`` to ``stop`` (exclusive) along the axis that is swept, which comes first."""

    start: int
    stop: int
    logits_KDHW: Array


def sliding_window(
    logits: Logits,
    image_DHW: Array,
    patch: Size,
    overlap: float,
    *,
    num_classes: int,
    order: tuple[int, int, int] = (0, 1, 2),
    batch: int = 1,
    pad_value: float = 0.0,
    within: Window | None = None,
    progress: Progress | None = None,
    on_window: OnWindow | None = None,
) -> Iterator[Slab]:
    """Give the logits of a volume as slabs that follow one another along an axis and cover it once.

    A window in which every voxel has the volume's smallest value (air, clipped to the lower bound of the HU
    window) is given the network's answer to such a window, found once: same logits, nothing assumed about them.

    Logits are summed in float32 where the network's answers lie: K × patch depth × H × W floats.

    Args:
        logits: the network; see there.
        image_DHW: prepared (resampled, windowed, scaled) volume, float32, of either kind, on any device.
        patch: size of a window; a smaller volume is padded on both sides.
        overlap: share that neighbouring windows have in common, 0 up to (not including) 1.
        num_classes: K, including background.
        order: of the axes in the slabs, the one to sweep along first; see ``sweep_order``. The network sees D, H, W.
        batch: windows per forward pass.
        pad_value: what a volume smaller than the window is padded with, in prepared units.
        within: a box (slices along D, H, W) outside of which the logits are not wanted: only the windows that touch it
            are looked at, only its logits are summed, and the slabs cover it in place of the volume.
        on_window: told of every window, a window of air too, before its logits are summed; they are lent to it.

    Raises:
        ValueError: the overlap is not in [0, 1), the volume is no volume, or the network gives another shape.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"an overlap of {overlap} is not possible: give a share from 0 up to 0.9, such as 0.5")
    if image_DHW.ndim != 3 or 0 in image_DHW.shape:
        raise ValueError(f"expected a volume of depth, height and width, got the shape {tuple(image_DHW.shape)}")
    # From here on, D is the axis that is swept.
    patch = (patch[order[0]], patch[order[1]], patch[order[2]])
    wanted = within or tuple(slice(0, n) for n in image_DHW.shape)
    image_DHW = array_namespace(image_DHW).permute_dims(image_DHW, order)
    padded_DHW, before = _pad(image_DHW, patch, pad_value)
    box = [slice(wanted[axis].start + gap, wanted[axis].stop + gap) for axis, gap in zip(order, before, strict=True)]
    windows = [window for window in all_windows(padded_DHW.shape, patch, overlap) if touch(window, box)]
    sums = _Sums(num_classes, patch, box)
    network = _Network(logits, num_classes, order, air=float(padded_DHW.min()))

    layers = [list(layer) for _, layer in groupby(windows, key=lambda window: window[0].start)]
    starts = [layer[0][0].start for layer in layers]
    done = 0
    for layer, start, following in zip(layers, starts, [*starts[1:], starts[-1] + patch[0]], strict=True):
        for answered in network.answers(padded_DHW, layer, batch):
            for logits_KDHW, window in answered:
                if on_window:
                    on_window(logits_KDHW, window)
                sums.add(logits_KDHW, window)
            done += len(answered)
            if progress:
                progress(done, len(windows))
        visible = range(max(start, box[0].start), min(following, box[0].stop))
        for first in visible[::_SLAB]:
            last = min(first + _SLAB, visible.stop)
            yield Slab(first - before[0], last - before[0], sums.mean(first - start, last - start))
        sums.move_up(following - start)


def predict_labels(logits: Logits, image_DHW: Array, patch: Size, overlap: float, num_classes: int) -> Array:
    """The most probable class of every voxel of a prepared volume, uint8.

    A volume smaller than the window is padded with its own minimum, which is air in any CT.

    Args:
        logits: the network, whose answers are of the volume's kind and on its device, and so is the label map.
    """
    size = (image_DHW.shape[0], image_DHW.shape[1], image_DHW.shape[2])
    order = sweep_order(size, patch)
    pad_value = float(image_DHW.min())
    slabs = sliding_window(logits, image_DHW, patch, overlap, num_classes=num_classes, order=order, pad_value=pad_value)
    xp = array_namespace(image_DHW)
    label_DHW = xp.empty(size, dtype=xp.uint8, device=device(image_DHW))
    swept = xp.permute_dims(label_DHW, order)  # a view
    for slab in slabs:
        swept[slab.start : slab.stop] = most_probable(slab.logits_KDHW)
    return label_DHW


def _pad(image_DHW: Array, patch: Size, value: float) -> tuple[Array, list[int]]:
    """Pad to at least the patch; give also the number of voxels put before the first one, per axis."""
    missing = [max(want - have, 0) for want, have in zip(patch, image_DHW.shape, strict=True)]
    before = [gap // 2 for gap in missing]
    if not any(missing):
        return image_DHW, before
    sizes = [have + gap for have, gap in zip(image_DHW.shape, missing, strict=True)]
    padded_DHW = array_namespace(image_DHW).full(sizes, value, dtype=image_DHW.dtype, device=device(image_DHW))
    d, h, w = (slice(gap, gap + have) for gap, have in zip(before, image_DHW.shape, strict=True))
    padded_DHW[d, h, w] = image_DHW
    return padded_DHW, before


class _Network:
    """The network's answers to windows, whose axes come and go in the order of the sweep."""

    def __init__(self, logits: Logits, num_classes: int, order: tuple[int, int, int], air: float) -> None:
        self._logits, self._num_classes = logits, num_classes
        self._back = (0, 1, *(2 + order.index(axis) for axis in range(3)))
        self._there = (0, 1, *(2 + axis for axis in order))
        self._air = air
        self._answer_to_air: Array | None = None

    def answers(self, image_DHW: Array, windows: list[Window], batch: int) -> Iterator[list[tuple[Array, Window]]]:
        """``logits_KDHW`` for each window, a few windows at a time."""
        waiting: list[Window] = []
        for window in windows:
            if image_DHW[window].max() <= self._air:
                if self._answer_to_air is None:
                    self._answer_to_air = self._ask(image_DHW[window][None])[0]
                yield [(self._answer_to_air, window)]
                continue
            waiting.append(window)
            if len(waiting) == batch:
                yield self._together(image_DHW, waiting)
                waiting = []
        if waiting:
            yield self._together(image_DHW, waiting)

    def _together(self, image_DHW: Array, windows: list[Window]) -> list[tuple[Array, Window]]:
        logits_BKDHW = self._ask(array_namespace(image_DHW).stack([image_DHW[window] for window in windows]))
        return [(logits_BKDHW[number], window) for number, window in enumerate(windows)]

    def _ask(self, patches_BDHW: Array) -> Array:
        patches_BCDHW = array_namespace(patches_BDHW).permute_dims(patches_BDHW[:, None], self._back)
        logits_BKDHW = self._logits(patches_BCDHW)
        batch, _, *size = patches_BCDHW.shape
        if tuple(logits_BKDHW.shape) != (batch, self._num_classes, *size):
            raise ValueError(
                f"the network made {tuple(logits_BKDHW.shape)} of {tuple(patches_BCDHW.shape)}; "
                f"expected {self._num_classes} classes and the same depth, height and width"
            )
        return array_namespace(logits_BKDHW).permute_dims(logits_BKDHW, self._there)


class _Sums:
    """Weighted sums of the logits in a box, for as many slices as one window is deep."""

    def __init__(self, num_classes: int, patch: Size, box: Sequence[slice]) -> None:
        self._num_classes, self._patch, self._box = num_classes, patch, box
        self._weight_DHW: Array = None  # of the kind of the first answer, and on its device

    def add(self, logits_KDHW: Array, window: Window) -> None:
        """Add the logits of a window that begins at the lowest slice held."""
        if self._weight_DHW is None:
            self._begin(logits_KDHW)
        (h, h_window), (w, w_window) = (_common(self._box[axis], window[axis]) for axis in (1, 2))
        weight_DHW = self._weight_DHW[:, h_window, w_window]
        for k in range(self._num_classes):  # a float32 copy of one class only
            add_product(self._sum_KDHW[k, :, h, w], logits_KDHW[k, :, h_window, w_window], weight_DHW)
        self._weights_DHW[:, h, w] += weight_DHW

    def mean(self, first: int, last: int) -> Array:
        """Mean logits of the slices ``first`` to ``last``, counted from the lowest one held."""
        return self._sum_KDHW[:, first:last] / self._weights_DHW[first:last]

    def move_up(self, slices: int) -> None:
        """Forget the lowest ``slices`` slices and make room for as many at the top."""
        for total in (self._sum_KDHW, self._weights_DHW):
            depth = total.shape[-3]
            for source in range(slices, depth):  # slice by slice: source and target may overlap
                total[..., source - slices, :, :] = total[..., source, :, :]
            total[..., depth - slices :, :, :] = 0

    def _begin(self, logits_KDHW: Array) -> None:
        self._weight_DHW = window_weights(self._patch, logits_KDHW)
        xp, place = array_namespace(logits_KDHW), device(logits_KDHW)
        size = (self._patch[0], *(part.stop - part.start for part in self._box[1:]))
        self._sum_KDHW = xp.zeros((self._num_classes, *size), dtype=xp.float32, device=place)
        self._weights_DHW = xp.zeros(size, dtype=xp.float32, device=place)


def _common(box: slice, window: slice) -> tuple[slice, slice]:
    """What both have in common along an axis, counted from where each of them starts."""
    start, stop = max(box.start, window.start), min(box.stop, window.stop)
    return slice(start - box.start, stop - box.start), slice(start - window.start, stop - window.start)
