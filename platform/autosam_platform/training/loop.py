"""The one training loop: what every worker of a fit does, whatever the model and the objective."""

import logging
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import ray.train
import ray.train.torch
import torch
import torch.distributed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from autosam_inference.files import write_text
from autosam_models import build_model, find_model, trained_parameters
from autosam_models.numerics import autocast, format_of
from autosam_platform.data.patches import PatchDataset, Teacher
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.training import checkpoints
from autosam_platform.training.checkpoints import Position
from autosam_platform.training.objectives import Objective
from autosam_platform.training.preflight import TooLittleMemoryError, check_memory
from autosam_platform.training.schedule import learning_rate
from autosam_platform.training.validation import validate
from autosam_platform.workspace import RunFolder

T = TypeVar("T")

NO_SCORE = -1.0  # Ray ranks checkpoints by score and wants a number: without a validation it is below any Dice
_REPORT_SECONDS = 5.0


@dataclass(frozen=True)
class FitTask:
    """All that a worker is told; everything in it survives the way to another process."""

    experiment: Experiment
    dataset: Path
    run: RunFolder
    objective: Callable[[], Objective]
    teacher: Teacher | None = None
    continue_from: Path | None = None
    quiet: bool = False


class NotFiniteError(RuntimeError):
    """A loss or gradient became NaN or infinite; the message names the cases, and no weight was changed by it."""


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


class Fit:
    """One worker's part of a fit."""

    def __init__(self, task: FitTask) -> None:
        self.task, self.experiment = task, task.experiment
        self.settings = task.experiment.training
        context = ray.train.get_context()
        self.rank, self.world = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        _configure_torch(self.settings.deterministic, task.experiment.compute.cpus_per_worker)
        self.prepared = PreparedDataset.load(task.dataset)
        self._check_memory(context.get_local_world_size())
        self.model = _build(self.experiment, self.prepared.num_classes).to(self.device)
        self.optimizer = _optimizer(self.model, self.settings.learning_rate, self.settings.weight_decay)
        self.objective = task.objective()
        self.autocast = autocast(self.settings.precision, self.device)
        self.patches = PatchDataset(
            self.prepared,
            self.experiment.model.patch_DHW,
            self.settings.patches_per_case,
            self.settings.seed,
            task.teacher,
        )
        self.sampler = EpochSampler(len(self.patches), self.settings.batch, self.rank, self.world)
        self.curve: list[dict[str, float]] = []
        self.position = self._restore()
        self.network = _distributed(self.model, self.world, self.device)
        self.reported = time.monotonic()

    def run(self) -> None:
        """Train to the last epoch, from wherever the run stands."""
        self._announce()
        for epoch in range(self.position.epoch, self.settings.epochs):
            self._train_epoch(epoch)
            self._end_epoch(epoch)

    def _check_memory(self, workers_here: int) -> None:
        """All workers stop, if one has not got the memory."""
        if not self.experiment.compute.memory_check:
            return
        sharing = 1 if self.device.type == "cuda" else workers_here
        problem = None
        try:
            self._say(check_memory(self.experiment, self.prepared.num_classes, self.device, sharing))
        except TooLittleMemoryError as error:
            problem = str(error)
        problems = [each for each in self._gathered(problem) if each is not None]
        if problems:
            raise TooLittleMemoryError(problems[0])

    def _gathered(self, value: T) -> list[T]:
        """What each worker has, on all workers, which all come here."""
        told: list[Any] = [value]
        if self.world > 1:
            told = [None] * self.world
            torch.distributed.all_gather_object(told, value)
        return told

    def _train_epoch(self, epoch: int) -> None:
        self.patches.set_epoch(epoch)
        self.sampler.first_step = self.position.step
        self.network.train()
        started = time.monotonic()
        for batch in self._loader():
            waited = time.monotonic() - started
            losses, cases = self._forward(batch)
            values = self._agree(losses, cases)
            rate, norm = self._step(losses["loss"], epoch, cases)
            self.position = replace(self.position, epoch=epoch, step=self.position.step + 1, score=None)
            seconds = time.monotonic() - started
            steps = {
                "learning_rate": rate,
                "gradient_norm": norm,
                "wait_share": waited / seconds,
                "step_seconds": seconds,
            }
            self._record(values | steps)
            if self.settings.checkpoint_steps and self.position.step % self.settings.checkpoint_steps == 0:
                self._report(self.position)
            started = time.monotonic()

    def _loader(self) -> DataLoader[Any]:
        workers = self.settings.loader_workers
        return DataLoader(
            self.patches,
            batch_size=self.settings.batch,
            sampler=self.sampler,
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if workers else None,
        )

    def _forward(self, batch: dict[str, Any]) -> tuple[dict[str, Tensor], list[str]]:
        moved = {
            name: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }
        with self.autocast():
            logits_BKDHW = self.network(moved["image"])
        losses = {name: loss_B.mean() for name, loss_B in self.objective(logits_BKDHW, moved).items()}
        return losses, list(batch["case_id"])

    def _agree(self, losses: dict[str, Tensor], cases: list[str]) -> dict[str, float]:
        """Means over all workers; all stop here, before the optimiser, if one has a loss that is not finite."""
        values = torch.stack([loss.detach().float() for loss in losses.values()])
        if self.world > 1:
            torch.distributed.all_reduce(values)
        means = dict(zip(losses, (values / self.world).tolist(), strict=True))
        if not torch.isfinite(values).all():
            self._stop(f"the loss is not finite ({means})", cases, guilty=not losses["loss"].isfinite().item())
        return means

    def _stop(self, reason: str, cases: list[str], *, guilty: bool) -> NoReturn:
        """End the run on all ranks, which all come here at the same step; name the cases of those with the fault."""
        told = self._gathered((guilty, cases))
        named = sorted({case for at_fault, names in told if at_fault for case in names})
        raise NotFiniteError(
            f"{reason} at epoch {self.position.epoch + 1}, step {self.position.step + 1}, in {', '.join(named)}. No "
            "weight was changed by it. Look at these cases (python jobs/prepare.py prints what the checks say); if "
            "they are sound, lower --training.learning-rate or set --training.precision fp32."
        )

    def _step(self, loss: Tensor, epoch: int, cases: list[str]) -> tuple[float, float]:
        """One step of the optimiser; give the learning rate and the gradient's norm before it was clipped."""
        rate = learning_rate(
            epoch * self.sampler.steps + self.position.step,
            peak=self.settings.learning_rate,
            final=self.settings.final_rate,
            decay=self.settings.decay,
            steps_per_epoch=self.sampler.steps,
            epochs=self.settings.epochs,
            warmup_epochs=self.settings.warmup_epochs,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm).item()
        if not math.isfinite(norm):  # workers share their gradients, so all find it
            self._stop(f"the gradient is not finite (norm {norm})", cases, guilty=True)
        self.optimizer.step()
        return rate, norm

    def _end_epoch(self, epoch: int) -> None:
        done, last = epoch + 1, epoch + 1 == self.settings.epochs
        score = None
        if self.prepared.cases("val") and (last or done % self.settings.validate_every == 0):
            score = self._validate(epoch)
        self.position = Position(done, 0, self.world, score)
        if last or score is not None or done % self.settings.checkpoint_epochs == 0:
            self._report(self.position)

    def _validate(self, epoch: int) -> float:
        overlap = self.experiment.inference.validation_overlap
        patch = self.experiment.model.patch_DHW
        dice = validate(self.model, self.prepared, patch, overlap, self.device, self.autocast, self.rank, self.world)
        count = len(self.prepared.cases("val"))
        self._say(f"epoch {epoch + 1}: mean Dice {dice['mean']:.4f} on {count} validation case(s)")
        self.curve.append({"step": self._global_step()} | {f"val/dice/{name}": value for name, value in dice.items()})
        return dice["mean"]

    def _record(self, values: dict[str, float]) -> None:
        point = {f"train/{name}": value for name, value in values.items()} | {"train/epoch": self.position.epoch + 1.0}
        self.curve.append({"step": self._global_step()} | point)
        if self._report_is_due():
            self._progress(values)
            self._report(None)

    def _report_is_due(self) -> bool:
        """Ray's report is a barrier, so all ranks must agree: rank 0's clock decides."""
        due = torch.tensor(time.monotonic() - self.reported > _REPORT_SECONDS, dtype=torch.int32, device=self.device)
        if self.world > 1:
            torch.distributed.broadcast(due, 0)
        return bool(due)

    def _report(self, position: Position | None) -> None:
        """Send the curves since the last report to the driver, with a checkpoint if there is a position to keep."""
        if position is None:
            ray.train.report({"curve": self.curve})
        else:
            score = NO_SCORE if position.score is None else position.score
            with tempfile.TemporaryDirectory(prefix="autosam-") as folder:
                checkpoints.save(Path(folder), self.rank, position, self.model, self.optimizer, self.curve)
                checkpoint = ray.train.Checkpoint.from_directory(folder)
                ray.train.report({"curve": self.curve, "score": score, "epoch": position.epoch}, checkpoint=checkpoint)
        self.curve = []
        self.reported = time.monotonic()

    def _restore(self) -> Position:
        kept = ray.train.get_checkpoint()
        if kept is not None:
            with kept.as_directory() as folder:
                return self._load(Path(folder))
        if self.task.continue_from is not None:
            # Ray never registered this one, so the curve that went with it was not recorded either: send it again.
            self.curve = checkpoints.read_curve(self.task.continue_from)
            return self._load(self.task.continue_from)
        return Position(0, 0, self.world)

    def _load(self, folder: Path) -> Position:
        return replace(checkpoints.load(folder, self.rank, self.model, self.optimizer), world=self.world)

    def _announce(self) -> None:
        total = sum(parameter.numel() for parameter in self.model.parameters())
        trained = sum(parameter.numel() for parameter in trained_parameters(self.model))
        done = self._global_step()
        where = f"from step {done} of {self.sampler.steps * self.settings.epochs}" if done else "from the start"
        self._say(
            f"{self.experiment.model.name}: {trained / 1e6:.2f} M of {total / 1e6:.2f} M parameters are trained, "
            f"{where}; {len(self.prepared.cases('train'))} training cases, {self.world} worker(s) on "
            f"{self.device.type}, {str(format_of(self.settings.precision, self.device)).removeprefix('torch.')}"
        )
        if trained == total and "checkpoint" in find_model(self.experiment.model.name).options:
            self._say(
                "NOTE: no SAM checkpoint was given, so all weights start at random and all are trained. The paper's "
                "model starts from SAM: --model.checkpoint sam_vit_b_01ec64.pth"
            )

    def _progress(self, values: dict[str, float]) -> None:
        steps = self.sampler.steps
        left = (steps * self.settings.epochs - self._global_step()) * self._mean("train/step_seconds")
        self._say(
            f"epoch {self.position.epoch + 1}/{self.settings.epochs} step {self.position.step}/{steps}  "
            f"loss {self._mean('train/loss'):.4f}  rate {values['learning_rate']:.2e}  "
            f"waiting {self._mean('train/wait_share'):.0%}  left {left / 60:.1f} min"
        )

    def _mean(self, name: str) -> float:
        """Mean since the last report, without the first step of a loader, which waits for it to start."""
        values = [point[name] for point in self.curve if name in point]
        return sum(values) / len(values)

    def _global_step(self) -> int:
        return self.position.epoch * self.sampler.steps + self.position.step

    def _say(self, text: str) -> None:
        if self.rank == 0 and not self.task.quiet:
            print(text, file=sys.stdout, flush=True)


def fit_worker(config: dict[str, Any]) -> None:
    """Entry point of each worker that Ray Train starts; ``config`` holds the ``task``."""
    task: FitTask = config["task"]
    if task.quiet:
        logging.getLogger("ray.train").setLevel(logging.WARNING)  # it says where each checkpoint is
    try:
        Fit(task).run()
    except (NotFiniteError, TooLittleMemoryError) as error:
        # Raised on every rank at the same place. Starting again would meet it again, so the workers end in order,
        # and the driver, which finds the message, fails the run.
        if ray.train.get_context().get_world_rank() == 0:
            write_text(task.run.failure, str(error))


def _build(experiment: Experiment, num_classes: int) -> nn.Module:
    checkpoints.seed_everything(experiment.training.seed)
    section, options = experiment.model, experiment.model_options()
    if section.checkpoint is not None:
        options["checkpoint"] = str(section.checkpoint)
    return build_model(section.name, in_channels=1, num_classes=num_classes, **options)


def _optimizer(model: nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW over what is trained; a frozen parameter costs no state."""
    return torch.optim.AdamW(trained_parameters(model), lr=rate, weight_decay=weight_decay)


def _distributed(model: nn.Module, world: int, device: torch.device) -> nn.Module:
    if world == 1:
        return model
    return nn.parallel.DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def _configure_torch(deterministic: bool, cpus: int | None) -> None:
    if deterministic:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    elif cpus is not None:
        torch.set_num_threads(cpus)
