"""One trained model, or several that answer as one: the mean of their probabilities, voxel by voxel."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from array_api_compat import array_namespace

from autosam_inference.arrays import Array
from autosam_inference.card import WEIGHTS, ModelCard, files_hash, read_card
from autosam_inference.files import content_hash
from autosam_inference.model import TrainedModel, bytes_of_prediction
from autosam_inference.sliding_window import OnWindow, Progress, Slab
from autosam_inference.windows import Window
from autosam_models.sizes import Size

_NEVER = 1e-30  # a probability whose logarithm is finite in fp32


@dataclass(frozen=True)
class ModelFolders:
    """The folder of a model, or of several that answer as one.

    Attributes:
        folders: each with its weights and its card; in the order of their hashes, so that it is the same mean to the
            last bit in whatever order they were named.
    """

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, *folders: Path) -> Self:
        """Of one folder or more.

        Raises:
            FileNotFoundError: a folder holds no model.
        """
        absolute = [each.absolute() for each in folders]
        return cls(tuple(sorted(absolute, key=files_hash) if len(absolute) > 1 else absolute))

    @property
    def cards(self) -> list[ModelCard]:
        """What each says of itself."""
        return [read_card(each) for each in self.folders]

    @property
    def card(self) -> ModelCard:
        """What they say together; see ``mean_card``.

        Raises:
            ModelFolderError: a folder holds no usable model.
        """
        return mean_card(self.cards)

    @property
    def hash(self) -> str:
        """Of all their files: ``files_hash`` of one."""
        hashes = [files_hash(each) for each in self.folders]
        return hashes[0] if len(hashes) == 1 else content_hash(hashes)

    def load(self, hashed: str, overlap: float) -> TrainedModel:
        """The model, or the mean, loaded once per process; ``hashed``, the hash, makes changed ones load again."""
        return _loaded(self.folders, hashed, overlap)

    def bytes_of_prediction(self, prepared_DHW: Size | None = None) -> int:
        """See ``model.bytes_of_prediction``: all of them, since they are at work together.

        Args:
            prepared_DHW: of a single window where not given.
        """
        needed = 0
        for folder, card in zip(self.folders, self.cards, strict=True):
            needed += bytes_of_prediction(card, (folder / WEIGHTS).stat().st_size, prepared_DHW or card.patch)
        return needed


@functools.lru_cache(maxsize=1)
def _loaded(folders: tuple[Path, ...], _: str, overlap: float) -> TrainedModel:
    return mean_of([TrainedModel.load(folder, overlap=overlap) for folder in folders])


@dataclass(frozen=True)
class MeanModel(TrainedModel):
    """Several models that see the same voxels and know the same classes. Their patches may differ.

    Its logits are the logarithm of the mean of the members' probabilities, so that their softmax is that mean.

    Attributes:
        members: all with weights of their own; their runtimes compute in the same place.
    """

    members: tuple[TrainedModel, ...] = ()

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
        """See ``TrainedModel.logits``; ``on_window`` is told of the windows of every member."""
        told = _progress_of_each(progress, len(self.members))
        shared = self.overlap if overlap is None else overlap
        sweeps = [
            member.logits(image_DHW, order, overlap=shared, within=within, progress=tell, on_window=on_window)
            for member, tell in zip(self.members, told, strict=True)
        ]
        for slabs in side_by_side(sweeps):
            yield Slab(slabs[0].start, slabs[0].stop, mean_logits([each.logits_KDHW for each in slabs]))


def mean_of(models: Sequence[TrainedModel]) -> TrainedModel:
    """The mean of ``models``, with the overlap of the first; one is its own mean.

    Raises:
        ValueError: see ``mean_card``.
    """
    first = models[0]
    if len(models) == 1:
        return first
    return MeanModel(
        mean_card([each.card for each in models]), first.runtime, first.overlap, first.batch, tuple(models)
    )


def mean_card(cards: Sequence[ModelCard]) -> ModelCard:
    """What several models say together: of one its own card. Patch: the largest; nothing of how they were trained.

    Raises:
        ValueError: their classes, spacing, window or scaling differ, so there is no mean.
    """
    if len(cards) == 1:
        return cards[0]
    if any(_sees(each) != _sees(cards[0]) for each in cards):
        names = ", ".join(each.run_id for each in cards)
        raise ValueError(f"{names} have other classes, another spacing, window or scaling than each other: no mean")
    return cards[0].model_copy(
        update={
            "run_id": f"mean of {', '.join(sorted(each.run_id for each in cards))}",
            "patch": max((each.patch for each in cards), key=math.prod),
            "weights_hash": None,
            "data_fingerprint": None,
            "histogram": (),
            "split": {},
            "lineage": {},
            "quality": None,
        }
    )


def _sees(card: ModelCard) -> tuple[object, ...]:
    return card.classes, card.spacing_xyz, card.hu_window, card.scaling


def mean_logits(logits: Sequence[Array]) -> Array:
    """Logits whose softmax along the first axis is the mean of those of ``logits``; float32."""
    total = _softmax(logits[0])
    for each in logits[1:]:
        total += _softmax(each)
    xp = array_namespace(total)
    return xp.log(xp.clip(total / len(logits), min=_NEVER))


def _softmax(logits_KN: Array) -> Array:
    xp = array_namespace(logits_KN)
    raised_KN = xp.exp(logits_KN - xp.max(logits_KN, axis=0, keepdims=True))
    return raised_KN / xp.sum(raised_KN, axis=0, keepdims=True)


def side_by_side(sweeps: Sequence[Iterator[Slab]]) -> Iterator[list[Slab]]:
    """Slabs of several sweeps over one volume, cut so that those of a list are of the same slices.

    Raises:
        ValueError: one sweep ends before another.
    """
    slabs = [next(each, None) for each in sweeps]
    while any(each is not None for each in slabs):
        held = [each for each in slabs if each is not None]
        if len(held) < len(slabs) or len({each.start for each in held}) > 1:
            raise ValueError("the sweeps of several models do not cover the same slices")
        stop = min(each.stop for each in held)
        yield [Slab(each.start, stop, each.logits_KDHW[:, : stop - each.start]) for each in held]
        slabs = [_after(each, stop, sweep) for each, sweep in zip(held, sweeps, strict=True)]


def _after(slab: Slab, stop: int, sweep: Iterator[Slab]) -> Slab | None:
    """What of a slab lies behind ``stop``, or the next one."""
    if slab.stop == stop:
        return next(sweep, None)
    return Slab(stop, slab.stop, slab.logits_KDHW[:, stop - slab.start :])


def _progress_of_each(progress: Progress | None, count: int) -> list[Callable[[int, int], None] | None]:
    """For each of several models what tells ``progress`` of all their windows together."""
    if progress is None:
        return [None] * count
    done, totals = [0] * count, [0] * count

    def tell(number: int, windows: int, total: int) -> None:
        done[number], totals[number] = windows, total
        progress(sum(done), sum(totals))

    return [functools.partial(tell, number) for number in range(count)]
