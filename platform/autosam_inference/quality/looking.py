"""What can be seen of a prediction while it is made, and costs nearly nothing: kept as sums, never as logits.

Looked at are the voxels of a grid of 3 to 4 mm, whatever the spacing that the network works at
(``anatomy.steps_to_look``).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from autosam_inference.arrays import Array, most_probable, to_numpy
from autosam_inference.card import ModelCard
from autosam_inference.observer import Observer
from autosam_inference.quality.anatomy import steps_to_look
from autosam_inference.sliding_window import Slab
from autosam_inference.windows import Window

_UNANSWERED = 255  # no class: no window has answered yet
_LOST = 7.0  # a class whose logit is so much below another's has less than a thousandth of the probability


@dataclass
class Counts:
    """Sums over voxels, one per class.

    Attributes:
        ours, others, same: voxels that the later of two overlapping windows gives the class, the earlier one, and both.
        labelled: voxels of the class in the result.
        probable: sum of its probability over all voxels.
        sure: sum of its probability over its own voxels.
        border, margin: its voxels at a border, and the sum of the distance in probability to the runner-up there.
    """

    classes: int
    ours: NDArray[np.float64] = field(init=False)
    others: NDArray[np.float64] = field(init=False)
    same: NDArray[np.float64] = field(init=False)
    labelled: NDArray[np.float64] = field(init=False)
    probable: NDArray[np.float64] = field(init=False)
    sure: NDArray[np.float64] = field(init=False)
    border: NDArray[np.float64] = field(init=False)
    margin: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("ours", "others", "same", "labelled", "probable", "sure", "border", "margin"):
            setattr(self, name, np.zeros(self.classes))

    def add_answers(self, ours_N: NDArray[np.uint8], others_N: NDArray[np.uint8]) -> None:
        """Count what two windows say of the same voxels."""
        self.ours += self._count(ours_N)
        self.others += self._count(others_N)
        self.same += self._count(ours_N[ours_N == others_N])

    def add_logits(self, logits_KDHW: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Count the probabilities of some finished slices, and give their labels."""
        label_DHW = most_probable(logits_KDHW)
        contested = logits_KDHW[1:].max(0) > logits_KDHW[0] - _LOST  # elsewhere is nothing but background
        label_N = label_DHW[contested]
        probability_KN = softmax(logits_KDHW[:, contested])
        own_N = np.take_along_axis(probability_KN, label_N[None].astype(np.intp), 0)[0]
        self.labelled += self._count(label_N)
        self.probable += probability_KN.sum(1)
        self.sure += self._count(label_N, own_N)
        at_border_N = borders(label_DHW)[contested]
        two_best_2N = np.partition(probability_KN[:, at_border_N], -2, axis=0)[-2:]
        self.border += self._count(label_N[at_border_N])
        self.margin += self._count(label_N[at_border_N], two_best_2N[1] - two_best_2N[0])
        return label_DHW

    def _count(self, label_N: NDArray[np.uint8], weight_N: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
        return np.bincount(label_N, weight_N, minlength=self.classes).astype(np.float64)


class Looking(Observer):
    """Looks on while one scan is predicted.

    Attributes:
        counts: of classes.
        steps: every how manieth voxel of the prepared scan is looked at, along D, H, W.
    """

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self.steps = steps_to_look(card)

    def on_image(self, image_DHW: Array, order: tuple[int, int, int]) -> None:
        """Begin, or begin again; the image is kept, as far as it is looked at."""
        self.counts = Counts(self._card.num_classes)
        d, h, w = self.steps
        self.image_DHW: NDArray[np.float32] = to_numpy(image_DHW[::d, ::h, ::w]).astype(np.float32)
        self._order = order
        swept = [image_DHW.shape[axis] for axis in order]
        self._size = swept
        self._before = [max(self._card.patch[axis] - n, 0) // 2 for axis, n in zip(order, swept, strict=True)]
        self._swept_steps = [self.steps[axis] for axis in order]
        looked_at = [self.image_DHW.shape[axis] for axis in order]
        self._answered = np.full(looked_at, _UNANSWERED, np.uint8)
        self._label = np.zeros(looked_at, np.uint8)

    def on_window(self, logits_KDHW: Array, window: Window) -> None:
        """Compare the window's answers with those of the windows before it."""
        inside, place = zip(*map(self._seen, window, self._before, self._size, self._swept_steps), strict=True)
        ours_DHW = to_numpy(most_probable(logits_KDHW[:, *inside]))
        others_DHW = self._answered[place]
        told = (ours_DHW | others_DHW != 0) & (others_DHW != _UNANSWERED)
        self.counts.add_answers(ours_DHW[told], others_DHW[told])
        others_DHW[...] = ours_DHW  # a view: the later windows are compared with these answers

    def on_slab(self, slab: Slab) -> None:
        """Count the probabilities of the slices that are finished."""
        d, h, w = self._swept_steps
        first = -slab.start % d
        logits_KDHW = to_numpy(slab.logits_KDHW[:, first::d, ::h, ::w])
        if logits_KDHW.shape[1]:
            start = (slab.start + first) // d
            self._label[start : start + logits_KDHW.shape[1]] = self.counts.add_logits(logits_KDHW)

    @property
    def label_DHW(self) -> NDArray[np.uint8]:
        """The labels of the voxels that are looked at."""
        return self._label.transpose([self._order.index(axis) for axis in range(3)])

    @staticmethod
    def _seen(part: slice, before: int, size: int, step: int) -> tuple[slice, slice]:
        """Voxels of a window's side that are looked at: in the window, and among all that are."""
        start, stop = max(part.start - before, 0), min(part.stop - before, size)
        first = -(-start // step)
        after = max(first, -(-stop // step))
        return slice(first * step + before - part.start, stop + before - part.start, step), slice(first, after)


def softmax(logits_KN: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of the classes along the first axis."""
    if not logits_KN.size:
        return logits_KN
    power_KN = np.exp(logits_KN - logits_KN.max(0))
    return power_KN / power_KN.sum(0)


def borders(label_DHW: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Voxels next to one of another class in their slice (that of D)."""
    border_DHW = np.zeros(label_DHW.shape, np.bool_)
    for axis in (1, 2):
        lower, upper = (_cut(axis, part) for part in (slice(None, -1), slice(1, None)))
        differ = label_DHW[lower] != label_DHW[upper]
        border_DHW[lower] |= differ
        border_DHW[upper] |= differ
    return border_DHW


def _cut(axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if each == axis else slice(None) for each in range(3))
