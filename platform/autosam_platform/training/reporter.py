"""Who a fit belongs to: what the loop is told of its workers, where it goes on from, and where its reports go.

The loop knows this protocol alone. On Ray Train it is ``ray_reporter.RayReporter``; ``LocalReporter`` runs the very
same loop in this process, alone, with its checkpoints in the same places, for tests and tools that need no cluster.
"""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import torch

from autosam_inference.files import atomic_folder
from autosam_platform.training import checkpoints
from autosam_platform.training.checkpoints import Position
from autosam_platform.training.workers import Workers

Curve = Sequence[dict[str, float]]
"""Points to record: each has its ``step`` and values by name."""

NO_SCORE = -1.0  # checkpoints are ranked by score, a number: without a validation it is below any Dice
_OURS = re.compile(r"checkpoint_\d+")  # Ray's, of a run that was begun there, have a date and a time


class Reporter(Protocol):
    """What the loop needs of the outside."""

    workers: Workers

    def newest_checkpoint(self) -> AbstractContextManager[Path | None]:
        """The folder to go on from, there inside the block; None where there is none."""
        ...

    def report(self, curve: Curve) -> None:
        """Record points. All workers come here."""
        ...

    def keep(self, curve: Curve, position: Position, save: Callable[[Path], None]) -> None:
        """Record points and keep a checkpoint, which ``save`` writes into a folder. All workers come here."""
        ...

    def machine_leaves(self) -> bool:
        """Has it been said that a machine of one of the workers is about to be taken away? All workers come here."""
        ...


class LocalReporter:
    """One worker, this process.

    Args:
        storage: folder of the checkpoints: the newest is kept, and the best by its score.
        record: gets the points.
        device: to compute on.
    """

    def __init__(self, storage: Path, record: Callable[[Curve], None], device: torch.device) -> None:
        self.workers = Workers(rank=0, world=1, here=1, device=device)
        self._storage, self._record = storage, record

    @contextmanager
    def newest_checkpoint(self) -> Iterator[Path | None]:
        """See ``Reporter``."""
        yield checkpoints.newest(self._storage)

    def report(self, curve: Curve) -> None:
        """See ``Reporter``."""
        self._record(curve)

    def keep(self, curve: Curve, position: Position, save: Callable[[Path], None]) -> None:
        """See ``Reporter``; what is neither the newest nor the best goes."""
        ours = [folder for folder in self._storage.glob("checkpoint_*") if _OURS.fullmatch(folder.name)]
        numbers = [int(folder.name.rpartition("_")[2]) for folder in ours]
        with atomic_folder(self._storage / f"checkpoint_{max(numbers, default=-1) + 1:06d}") as folder:
            save(folder)
        wanted = {checkpoints.newest(self._storage), checkpoints.best(self._storage)}
        for folder in ours:
            if folder not in wanted:
                shutil.rmtree(folder)
        self._record(curve)

    def machine_leaves(self) -> bool:
        """See ``Reporter``: nobody says so to this process."""
        return False
