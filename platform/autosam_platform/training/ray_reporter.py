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

    Ray merges what the workers save into one checkpoint, and hands the points of rank 0 to the callbacks of its
    controller.
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
        with tempfile.TemporaryDirectory(prefix="autosam-") as folder:
            save(Path(folder))
            checkpoint = ray.train.Checkpoint.from_directory(folder)
            metrics = {"curve": list(curve), "score": score, "epoch": position.epoch}
            ray.train.report(metrics, checkpoint=checkpoint)
