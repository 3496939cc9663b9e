"""The one training loop: what every worker of a fit does, whatever the model, the objective and the machines."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from autosam_inference.files import DamagedError
from autosam_models import build_model, find_model, trained_parameters
from autosam_models.numerics import autocast, format_of
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.training import checkpoints
from autosam_platform.training.averaging import WeightAverage
from autosam_platform.training.checkpoints import Position
from autosam_platform.training.objectives import DeepSupervision, Objective
from autosam_platform.training.optimizers import build_optimizer
from autosam_platform.training.preflight import TooLittleMemoryError, check_memory
from autosam_platform.training.progress import Progress, ProgressFile, TimeLeft
from autosam_platform.training.reporter import Reporter
from autosam_platform.training.samples import PATCHES, Samples
from autosam_platform.training.sampling import EpochSampler
from autosam_platform.training.schedule import learning_rate
from autosam_platform.workspace import RunFolder

_REPORT_SECONDS = 5.0


@dataclass(frozen=True)
class FitTask:
    """All that a worker is told; everything in it survives the way to another process.

    Attributes:
        samples: what is trained on, and how.
        continue_from: a checkpoint that Ray lost sight of.
        quiet: nothing is said of how far it is.
    """

    experiment: Experiment
    dataset: Path
    run: RunFolder
    objective: Callable[[], Objective]
    samples: Samples = PATCHES
    continue_from: Path | None = None
    quiet: bool = False


class Fit:
    """One worker's part of a fit.

    Args:
        reporter: the worker's place among the others, and where its reports go.

    Raises:
        TooLittleMemoryError: on all workers, if one has not got the memory.
        NoStepError: on all workers, if an epoch fills no batch.
    """

    def __init__(self, task: FitTask, reporter: Reporter) -> None:
        self.task, self.experiment, self.settings = task, task.experiment, task.experiment.training
        self.reporter, self.workers = reporter, reporter.workers
        self.device = reporter.workers.device
        _configure_torch(self.settings.deterministic, task.experiment.compute.cpus_per_worker)
        speaks = self.workers.rank == 0 and not task.quiet
        self.progress = ProgressFile(task.run.progress) if speaks else None
        self.prepared = PreparedDataset.load(task.dataset)
        self._check_memory()
        self.model = build_network(self.experiment, self.prepared.num_classes).to(self.device)
        self.average = WeightAverage.of(self.model, self.settings.ema)
        self.optimizer = build_optimizer(self.model, self.settings)
        self.objective = DeepSupervision(task.objective())
        self.autocast = autocast(self.settings.precision, self.device)
        self.dataset = task.samples.dataset(self.prepared, self.experiment)
        self.sampler = EpochSampler(
            len(self.dataset),
            self.settings.batch,
            self.experiment.compute.workers,
            self.workers.rank,
            self.workers.world,
            self.experiment.batch_at_once,
        )
        self.curve: list[dict[str, float]] = []
        self.leaving = False
        self.position = self._restore()
        self.network = self.workers.network(self.model)
        self.started = self.reported = time.monotonic()
        self.before = self.position.seconds
        self.time_left = TimeLeft()

    def run(self) -> None:
        """Train to the last epoch, from wherever the run stands.

        Raises:
            NotFiniteError: on all workers, at the same step.
        """
        self._announce()
        if self.curve:
            self.reporter.report(self.curve)
            self._reported()
        for epoch in range(self.position.epoch, self.settings.epochs):
            self._train_epoch(epoch)
            self._end_epoch(epoch)

    def _check_memory(self) -> None:
        """All workers stop, if one has not got the memory."""
        if not self.experiment.compute.memory_check:
            return
        sharing = 1 if self.device.type == "cuda" else self.workers.here
        problem = None
        try:
            found = check_memory(self.experiment, self.prepared.num_classes, self.device, sharing, self.task.samples)
            self._say(found)
        except TooLittleMemoryError as error:
            problem = str(error)
        problems = [each for each in self.workers.gathered(problem) if each is not None]
        if problems:
            raise TooLittleMemoryError(problems[0])

    def _train_epoch(self, epoch: int) -> None:
        self.dataset.set_epoch(epoch)
        self.sampler.first_step = self.position.step
        self.network.train()
        started = time.monotonic()
        parts: list[dict[str, Any]] = []
        for part in self._loader():
            parts.append(part)
            if len(parts) < len(self.sampler.parts(self.position.step)):
                continue
            waited = time.monotonic() - started
            values = self._step(parts, epoch)
            parts = []
            self.position = replace(self.position, epoch=epoch, step=self.position.step + 1, score=None)
            seconds = time.monotonic() - started
            self._record(values | {"wait_share": waited / seconds, "step_seconds": seconds})
            if self.settings.checkpoint_steps and self.position.step % self.settings.checkpoint_steps == 0:
                self._keep(self.position)
            started = time.monotonic()

    def _loader(self) -> DataLoader[Any]:
        workers = self.settings.loader_workers
        # A loader draws a seed whenever it starts, on which no patch depends: from a stream of its own, so that it
        # leaves that of the process alone.
        return DataLoader(
            self.dataset,  # type: ignore[arg-type]  # it has what a map-style dataset has
            batch_size=self.experiment.batch_at_once,
            sampler=self.sampler,
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if workers else None,
            generator=torch.Generator(),
        )

    def _step(self, parts: Sequence[dict[str, Any]], epoch: int) -> dict[str, float]:
        """One step of the optimiser: losses, learning rate, and the gradient's norm before it was clipped."""
        cases = [case for part in parts for case in part["case_id"]]
        place = f"epoch {epoch + 1}, step {self.position.step + 1}"
        self.optimizer.zero_grad(set_to_none=True)
        values = self.workers.mean_losses(self._backward(parts, epoch), cases, place)
        rate = self._learning_rate(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm).item()
        if not math.isfinite(norm):  # workers share their gradients, so all find it
            self.workers.stop(f"the gradient is not finite (norm {norm})", cases, place, guilty=True)
        self.optimizer.step()
        if self.average is not None:
            self.average.follow(self.model, self._steps_done() + 1)
        return values | {"learning_rate": rate, "gradient_norm": norm}

    def _backward(self, parts: Sequence[dict[str, Any]], epoch: int) -> dict[str, Tensor]:
        """Add up the gradients of this worker's parts of a batch.

        Gives:
            their losses, scaled so that the mean over the workers is the mean over the whole batch's parts, of which
            workers may have different numbers.
        """
        means: dict[str, Tensor] = {}
        compute = self.experiment.compute
        each = compute.accumulate * compute.workers / self.workers.world  # parts of the whole batch, for each worker
        for number, (part, place) in enumerate(zip(parts, self.sampler.parts(self.position.step), strict=True), 1):
            checkpoints.seed_step(self.settings.seed, epoch, place)
            with self.workers.sharing(self.network, number == len(parts)):
                losses = {name: loss / each for name, loss in self._losses(part).items()}
                losses["loss"].backward()
            means = {name: loss.detach() + means.get(name, 0) for name, loss in losses.items()}
        return means

    def _losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        moved = {
            name: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }
        moved["progress"] = self._steps_done() / self._steps()
        with self.autocast():
            outputs = self.task.samples.logits(self.network, moved)
        return {name: loss_B.mean() for name, loss_B in self.objective(outputs, moved).items()}

    def _learning_rate(self, epoch: int) -> float:
        return learning_rate(
            epoch * self.sampler.steps + self.position.step,
            peak=self.settings.learning_rate,
            final=self.settings.final_rate,
            decay=self.settings.decay,
            steps_per_epoch=self.sampler.steps,
            epochs=self.settings.epochs,
            warmup_epochs=self.settings.warmup_epochs,
        )

    def _end_epoch(self, epoch: int) -> None:
        done, last = epoch + 1, epoch + 1 == self.settings.epochs
        score = None
        if self.prepared.cases("val") and (last or done % self.settings.validate_every == 0):
            score = self._validate(epoch)
        self.position = Position(done, 0, score)
        if last or score is not None or done % self.settings.checkpoint_epochs == 0:
            self._keep(self.position)

    def _validate(self, epoch: int) -> float:
        model = self.model if self.average is None else self.average.model
        dice = self.task.samples.validate(model, self.prepared, self.experiment, self.autocast, self.workers)
        count = len(self.prepared.cases("val"))
        self._say(f"epoch {epoch + 1}: mean Dice {100 * dice['mean']:.2f} % on {count} validation case(s)")
        self._add({f"val/dice/{name}": value for name, value in dice.items()})
        return dice["mean"]

    def _record(self, values: dict[str, float]) -> None:
        self._add(
            {f"train/{name}": value for name, value in values.items()} | {"train/epoch": self.position.epoch + 1.0}
        )
        self._show(values["learning_rate"])
        # A report is a barrier of all workers, so one clock decides.
        if not self.workers.first_says(time.monotonic() - self.reported > _REPORT_SECONDS):
            return
        leaving = self.reporter.machine_leaves()
        if leaving and not self.leaving:
            self._say("a machine is about to be taken away: keeping a checkpoint")
            self._keep(self.position)
        else:
            self._add({"train/seconds": self._seconds()})
            self.reporter.report(self.curve)
            self._reported()
        self.leaving = leaving

    def _keep(self, position: Position) -> None:
        """Report, with a checkpoint."""
        position = replace(position, seconds=self._seconds())
        self._add({"train/seconds": position.seconds})
        curve, average = self.curve, self._averaged()

        def save(folder: Path) -> None:
            checkpoints.save(folder, position, self.model, self.optimizer, curve, average)

        self.reporter.keep(curve, position, save)
        self._reported()

    def _reported(self) -> None:
        self.curve = []
        self.reported = time.monotonic()

    def _add(self, values: dict[str, float]) -> None:
        self.curve.append({"step": self._steps_done()} | values)

    def _seconds(self) -> float:
        """Spent training so far, over all starts."""
        return self.before + time.monotonic() - self.started

    def _restore(self) -> Position:
        with self.reporter.newest_checkpoint() as folder:
            if folder is not None:
                return self._load(self._whole(folder))
        if self.task.continue_from is not None:
            return self._load(self.task.continue_from)
        return Position(0, 0)

    def _whole(self, folder: Path) -> Path:
        """The checkpoint itself; the newest whole one where it was damaged since it was written.

        Raises:
            DamagedError: there is no other.
        """
        problem = checkpoints.damage(folder)
        if problem is None:
            return folder
        other = checkpoints.newest(self.task.run.checkpoints)
        if other is None:
            raise DamagedError(f"{problem}, and no other checkpoint is there")
        self._say(f"{problem}: going on from {other.name}")
        return other

    def _load(self, folder: Path) -> Position:
        # It is recorded after the checkpoint is kept, and a kill may come between: it is sent again, and counts once.
        self.curve = checkpoints.read_curve(folder)
        return checkpoints.load(folder, self.model, self.optimizer, self._averaged())

    def _averaged(self) -> nn.Module | None:
        """The model with the running mean of the weights, where one is kept."""
        return None if self.average is None else self.average.model

    def _announce(self) -> None:
        total = sum(parameter.numel() for parameter in self.model.parameters())
        trained = sum(parameter.numel() for parameter in trained_parameters(self.model))
        done = self._steps_done()
        where = f"from step {done} of {self._steps()}" if done else "from the start"
        self._say(
            f"{self.experiment.model.name}: {trained / 1e6:.2f} M of {total / 1e6:.2f} M parameters are trained, "
            f"{where}; {len(self.prepared.cases('train'))} training cases, {self._workers()} on "
            f"{self.device.type}, {str(format_of(self.settings.precision, self.device)).removeprefix('torch.')}"
        )
        if trained == total and "checkpoint" in find_model(self.experiment.model.name).options:
            self._say(
                "NOTE: no SAM checkpoint was given, so all weights start at random and all are trained. The paper's "
                "model starts from SAM: --model.checkpoint sam_vit_b_01ec64.pth"
            )

    def _workers(self) -> str:
        wanted, there = self.experiment.compute.workers, self.workers.world
        return f"{there} worker(s)" if there == wanted else f"{there} of {wanted} workers"

    def _show(self, rate: float) -> None:
        if self.progress is None:
            return
        done, total = self._steps_done(), self._steps()
        left = self.time_left.of(done, total)
        epoch, epochs = self.position.epoch + 1, self.settings.epochs
        self.progress.show(Progress(done, total, epoch, epochs, self._mean_loss(), rate, left))

    def _mean_loss(self) -> float:
        """Since the last report."""
        losses = [point["train/loss"] for point in self.curve if "train/loss" in point]
        return sum(losses) / len(losses)

    def _steps_done(self) -> int:
        return self.position.epoch * self.sampler.steps + self.position.step

    def _steps(self) -> int:
        return self.settings.epochs * self.sampler.steps

    def _say(self, text: str) -> None:
        if self.progress is not None:
            self.progress.say(text)


def build_network(experiment: Experiment, num_classes: int) -> nn.Module:
    """The network that a fit starts from: SAM's weights where there is a checkpoint, the others by the seed.

    Args:
        num_classes: K, background included.
    """
    checkpoints.seed_everything(experiment.training.seed)
    section, options = experiment.model, experiment.model_options()
    if section.checkpoint is not None:
        options["checkpoint"] = str(section.checkpoint)
    return build_model(section.name, in_channels=1, num_classes=num_classes, **options)


def _configure_torch(deterministic: bool, cpus: int | None) -> None:
    if deterministic:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    elif cpus is not None:
        torch.set_num_threads(cpus)
