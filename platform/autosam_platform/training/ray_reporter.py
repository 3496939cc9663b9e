"""A fit's worker on Ray Train."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray.train
import ray.train.torch

from autosam_platform.training.checkpoints import Position
from autosam_platform.training.reporter import NO_SCORE, Curve
from autosam_platform.training.workers import Workers


class RayReporter:
    """One of the workers that Ray Train started; see ``reporter.Reporter``.

    Rank 0 saves for all. Ray hands its points to the callbacks of its controller.
    """

    def __init__(self) -> None:
        context = ray.train.get_context()
        self.workers = Workers(
            rank=context.get_world_rank(),
            world=context.get_world_size(),
            here=context.get_local_world_size(),
            device=ray.train.torch.get_device(),
        )

    @contextmanager
    def newest_checkpoint(self) -> Iterator[Path | None]:
        """See ``Reporter``."""
        kept = ray.train.get_checkpoint()
        if kept is None:
            yield None
            return
        with kept.as_directory() as folder:
            yield Path(folder)

    def report(self, curve: Curve) -> None:
        """See ``Reporter``."""
        ray.train.report({"curve": list(curve)})

    def keep(self, curve: Curve, position: Position, save: Callable[[Path], None]) -> None:
        """See ``Reporter``."""
        score = NO_SCORE if position.score is None else position.score
        metrics = {"curve": list(curve), "score": score, "epoch": position.epoch}
        if self.workers.rank != 0:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory(prefix="autosam-") as folder:
            save(Path(folder))
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def machine_leaves(self) -> bool:
        """See ``Reporter``: a spot instance was given notice, or the node is being drained."""
        return ray.train.get_preemption_info() is not None
