"""Which patches a worker sees, and in what order."""

from collections.abc import Iterator

from torch.utils.data import Sampler


class NoStepError(RuntimeError):
    """An epoch that fills no batch, so that nothing would be trained; the message says what to change."""


class EpochSampler(Sampler[int]):
    """This rank's places in an epoch, from a step onwards.

    A global batch is cut into shares of ``batch`` places; rank r of w takes every w-th share. What patch a place holds
    is the data set's affair and depends on seed, epoch and place alone. So two workers with batch 1 see together what
    one worker with batch 2 sees, and where fewer workers than shares are there, they take over the shares of the
    missing ones and the batch stays the same.

    Args:
        places: of an epoch.
        batch: places of a share.
        shares: of a global batch: the workers that the run is meant for.
        rank: of this worker, from 0.
        world: workers that are there, at most ``shares``.
        at_once: places that are computed together; it divides ``batch``.

    Raises:
        ValueError: more workers than shares.
        NoStepError: on all workers, if the places do not fill a global batch.
    """

    def __init__(self, places: int, batch: int, shares: int, rank: int, world: int, at_once: int) -> None:
        if world > shares:
            raise ValueError(f"{world} workers cannot share {shares} part(s) of a batch")
        self._places, self._batch, self._shares, self._at_once = places, batch, shares, at_once
        self._mine = range(rank, shares, world)
        self.first_step = 0
        if not self.steps:
            raise NoStepError(
                f"an epoch of {places} patch(es) does not fill a batch of {batch * shares} (--training.batch {batch} "
                f"on {shares} worker(s)), so nothing would be trained: raise --training.patches-per-case, or lower "
                "--training.batch or --compute.workers."
            )

    @property
    def steps(self) -> int:
        """Global batches of an epoch; what does not fill one is left out, since its gradient would weigh more."""
        return self._places // (self._batch * self._shares)

    def parts(self, step: int) -> list[int]:
        """The first place of each part that this rank computes in a step, one after the other."""
        starts = ((step * self._shares + share) * self._batch for share in self._mine)
        return [place for start in starts for place in range(start, start + self._batch, self._at_once)]

    def __iter__(self) -> Iterator[int]:
        for step in range(self.first_step, self.steps):
            for place in self.parts(step):
                yield from range(place, place + self._at_once)

    def __len__(self) -> int:
        return (self.steps - self.first_step) * self._batch * len(self._mine)
