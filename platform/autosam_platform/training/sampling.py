"""Which patches a worker sees, and in what order."""

from collections.abc import Iterator

from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """This rank's places in an epoch: rank r of w takes every w-th of each global batch, from a step onwards.

    What patch a place holds is the data set's affair and depends on seed, epoch and place alone, so that two
    workers with batch 1 see together what one worker with batch 2 sees.
    """

    def __init__(self, places: int, batch: int, rank: int, world: int) -> None:
        self._places, self._batch, self._rank, self._world = places, batch, rank, world
        self.first_step = 0

    @property
    def steps(self) -> int:
        """Global batches of an epoch; what does not fill one is left out, since its gradient would weigh more."""
        return self._places // (self._batch * self._world)

    def __iter__(self) -> Iterator[int]:
        for step in range(self.first_step, self.steps):
            start = (step * self._world + self._rank) * self._batch
            yield from range(start, start + self._batch)

    def __len__(self) -> int:
        return (self.steps - self.first_step) * self._batch
