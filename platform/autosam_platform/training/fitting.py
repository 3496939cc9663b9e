"""Start a fit or go on with it, and leave a finished model in the run's folder; a runner does the training."""

import importlib.metadata
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import filelock
import yaml

import autosam_platform
from autosam_inference.card import CARD
from autosam_inference.errors import UserError
from autosam_inference.files import write_text
from autosam_models import find_model
from autosam_platform.cluster import submission_id
from autosam_platform.data.patches import Teacher
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.locks import LOCK, LOOK_SECONDS
from autosam_platform.tracking.reading import RAY_JOB, flatten
from autosam_platform.tracking.writing import Run, open_run
from autosam_platform.training import checkpoints
from autosam_platform.training.export import export_model
from autosam_platform.training.loop import FitTask
from autosam_platform.training.objectives import Objective, SegmentationObjective
from autosam_platform.training.progress import Follower, display


class TrainingStopped(UserError):
    """A fit that cannot go on; the message says why and what to change."""


class RunBusyError(TrainingStopped):
    """The run is being trained by another process."""


@dataclass(frozen=True)
class FitResult:
    """Where a fit ended: the run's folder and whether it had been finished before."""

    run_id: str
    folder: Path
    found: bool


@dataclass(frozen=True)
class Supervision:
    """What a fit learns from.

    Attributes:
        objective: makes what it minimises, in each worker.
        teacher: of the patches, beside their labels.
        tags: what its record is to say of that.
    """

    objective: Callable[[], Objective] = SegmentationObjective
    teacher: Teacher | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


class Runner(Protocol):
    """Who trains: workers on Ray (``on_ray.OnRay``), or this process (``in_process.InProcess``)."""

    def with_resources(self, experiment: Experiment) -> Experiment:
        """Fill in what the machines decide; refuse what they cannot do.

        Raises:
            TrainingStopped: says which setting to change.
        """
        ...

    def train(self, task: FitTask, storage: Path, workspace: Path, follower: Follower | None) -> None:
        """Train to the end, with checkpoints below ``storage`` and the curves in the run's record.

        Args:
            follower: is to be asked to look while the training goes on.

        Raises:
            TrainingStopped: it cannot go on.
        """
        ...


def find_fit(experiment: Experiment, prepared: PreparedDataset, workspace: Path) -> FitResult:
    """Where the run of ``experiment`` is, and whether it is finished."""
    run_id = experiment.run_id(prepared.fingerprint)
    folder = workspace / "runs" / run_id
    return FitResult(run_id, folder, found=(folder / "model" / CARD).exists())


def fit(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Path,
    supervision: Supervision = Supervision(),
    runner: Runner | None = None,
    quiet: bool = False,
) -> FitResult:
    """Train ``experiment`` on ``prepared``, from its last checkpoint if there is one.

    Args:
        runner: who trains; workers on Ray if none is given.
        quiet: nothing is shown of how far it is.

    Raises:
        RunBusyError: the run is already going on.
        TrainingStopped: the loss stopped being finite, workers failed too often, or the cluster is too small for it.
        KeyboardInterrupt: with the place where it was interrupted; the run is recorded as stopped.
    """
    where = find_fit(experiment, prepared, workspace)
    if where.found:
        return where
    if runner is None:
        from autosam_platform.training.on_ray import OnRay

        runner = OnRay()
    where.folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(where.folder / LOCK, timeout=LOOK_SECONDS):
            _fit(experiment, prepared, workspace, where.folder, supervision, runner, quiet)
    except filelock.Timeout as error:
        raise RunBusyError(f"{where.run_id} is being trained by another process: wait for it, or stop it.") from error
    return where


def _fit(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Path,
    folder: Path,
    supervision: Supervision,
    runner: Runner,
    quiet: bool,
) -> None:
    experiment = runner.with_resources(experiment)
    write_text(folder / "config.yaml", yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False))
    run = _open_record(experiment, prepared, workspace, folder, supervision.tags)
    storage = folder / "ray"
    lost = checkpoints.tidy(storage)
    task = FitTask(experiment, prepared.folder, folder, supervision.objective, supervision.teacher, lost, quiet)
    state = "FAILED"
    try:
        _train(task, storage, workspace, runner)
        best, newest = checkpoints.best(storage), checkpoints.newest(storage)
        if best is None or newest is None:
            raise TrainingStopped(f"the fit ended without a checkpoint in {storage}: see the messages above.")
        seconds = checkpoints.read_position(newest).seconds
        export_model(best, experiment, prepared, folder, versions(), supervision.tags, seconds)
        run.add_file(folder / "model", "model")
        state = "FINISHED"
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or a signal to end
        state = "KILLED"
        raise
    finally:
        run.finish(state)


def _train(task: FitTask, storage: Path, workspace: Path, runner: Runner) -> None:
    """Train, and show how far it is."""
    if task.quiet:
        runner.train(task, storage, workspace, None)
        return
    with closing(Follower(task.run_folder, display())) as follower:
        try:
            runner.train(task, storage, workspace, follower)
        except KeyboardInterrupt as error:
            follower.look()
            last = follower.last
            where = f"{task.run_folder.name}, in epoch {last.epoch} of {last.epochs}" if last else task.run_folder.name
            raise type(error)(where) from None


def _open_record(
    experiment: Experiment, prepared: PreparedDataset, workspace: Path, folder: Path, further: Mapping[str, str]
) -> Run:
    tags = {
        "name": experiment.name,
        "role": find_model(experiment.model.name).role,
        "model": experiment.model.name,
        "dataset": prepared.name,
        "data_fingerprint": prepared.fingerprint,
        "command": " ".join(sys.argv),
    } | {f"version.{name}": version for name, version in versions().items()}
    tags |= further
    run = open_run(workspace, folder.name, tags=tags, params=flatten(experiment.model_dump(mode="json")))
    run.tag({RAY_JOB: submission_id()})  # a run that goes on may do so in another job
    run.add_file(folder / "config.yaml")
    return run


def versions() -> dict[str, str]:
    """Versions of everything that may change a result."""
    names = ("torch", "monai", "ray", "numpy", "nibabel", "blosc2")
    found = {name: importlib.metadata.version(name) for name in names}
    return found | {"autosam_platform": autosam_platform.__version__, "python": sys.version.split()[0]}
