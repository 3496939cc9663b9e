"""Start a fit or go on with it, and leave a finished model in the run's folder; a runner does the training."""

import functools
import importlib.metadata
import itertools
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import autosam_platform
from autosam_inference.card import ModelFolderError, require_weights
from autosam_inference.errors import UserError
from autosam_models import find_model
from autosam_platform.cluster import submission_id
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.locks import locked
from autosam_platform.tracking.reading import RAY_JOB, STOPPED, flatten
from autosam_platform.tracking.writing import Run, open_run
from autosam_platform.training import checkpoints
from autosam_platform.training.export import export_model
from autosam_platform.training.loop import FitTask
from autosam_platform.training.objectives import Objective, SegmentationObjective
from autosam_platform.training.pace import steps_of
from autosam_platform.training.progress import Follower, display
from autosam_platform.training.samples import PATCHES, Samples
from autosam_platform.workspace import RunFolder, Workspace


class TrainingStopped(UserError):
    """A fit that cannot go on; the message says why and what to change."""


class TrainingLost(TrainingStopped):
    """A fit whose processes were lost, with their machine or one by one: nothing has to be changed to go on."""


@dataclass(frozen=True)
class FitResult:
    """Where a fit ended, and whether the run had been finished before."""

    run: RunFolder
    found: bool


@dataclass(frozen=True)
class Supervision:
    """What a fit learns from.

    Attributes:
        objective: makes what it minimises, in each worker; where there is none, the labels' loss of the experiment.
        samples: what it draws from the dataset, and how the network is asked about it.
        tags: what its record is to say of that.
    """

    objective: Callable[[], Objective] | None = None
    samples: Samples = PATCHES
    tags: Mapping[str, str] = field(default_factory=dict)


class Runner(Protocol):
    """Who trains: workers on Ray (``on_ray.OnRay``), or this process (``in_process.InProcess``)."""

    def with_resources(self, experiment: Experiment) -> Experiment:
        """Fill in what the machines decide; refuse what they cannot do.

        Raises:
            TrainingStopped: says which setting to change.
        """
        ...

    def train(self, task: FitTask, workspace: Workspace, follower: Follower | None) -> None:
        """Train to the end, with checkpoints in the run's folder and the curves in its record.

        Args:
            follower: is to be asked to look while the training goes on.

        Raises:
            TrainingStopped: it cannot go on.
        """
        ...


def find_fit(experiment: Experiment, prepared: PreparedDataset, workspace: Workspace) -> FitResult:
    """Where the run of ``experiment`` is, and whether it is finished, with a model that can be used."""
    run = workspace.run(experiment.run_id(prepared.fingerprint))
    return FitResult(run, run.finished and _damage(run) is None)


def _damage(run: RunFolder) -> str | None:
    """What is wrong with a finished run's model; None if nothing."""
    try:
        require_weights(run.model, run.card)
    except ModelFolderError as error:
        return str(error)
    return None


def fit(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
    supervision: Supervision = Supervision(),
    runner: Runner | None = None,
    quiet: bool = False,
) -> FitResult:
    """Train ``experiment`` on ``prepared``, from its last checkpoint if there is one.

    While another process trains it, this one waits, and finds it or goes on with it.

    Args:
        runner: who trains; workers on Ray if none is given.
        quiet: nothing is shown of how far it is.

    Raises:
        TrainingStopped: the loss stopped being finite, workers failed too often, the cluster is too small for it, or
            the training cases fill no batch.
        KeyboardInterrupt: with the place where it was interrupted; the run is recorded as stopped.
    """
    result = find_fit(experiment, prepared, workspace)
    if result.found:
        return result
    if runner is None:
        from autosam_platform.training.on_ray import OnRay

        runner = OnRay()
    run = result.run
    with locked(run.lock, f"{run.name} is being trained by another process: waiting for it. Ctrl-C stops waiting."):
        result = find_fit(experiment, prepared, workspace)
        if not result.found:
            _fit(experiment, prepared, workspace, run, supervision, runner, quiet)
    return result


def _fit(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
    run: RunFolder,
    supervision: Supervision,
    runner: Runner,
    quiet: bool,
) -> None:
    _require_steps(experiment, prepared)
    experiment = runner.with_resources(experiment)
    if run.model.exists():  # else it would have been found
        _set_aside(run)
    settings = run.write_experiment(experiment)
    record = _open_record(experiment, prepared, workspace, run, settings, supervision.tags)
    lost = checkpoints.tidy(run.checkpoints)
    task = FitTask(
        experiment,
        prepared.manifest,
        run,
        supervision.objective or functools.partial(SegmentationObjective.of, experiment.training),
        supervision.samples,
        lost,
        quiet,
    )
    state = "FAILED"
    try:
        _train(task, workspace, runner)
        if not run.config.is_file():
            raise FileNotFoundError(run.config)
        best, newest = checkpoints.best(run.checkpoints), checkpoints.newest(run.checkpoints)
        if best is None or newest is None:
            raise TrainingStopped(f"the fit ended without a checkpoint in {run.checkpoints}: see the messages above.")
        seconds = checkpoints.read_position(newest).seconds
        export_model(best, experiment, prepared, run, versions(), supervision.tags, seconds)
        record.add_file(run.model, run.model.name)
        state = "FINISHED"
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or a signal to end
        state = STOPPED
        raise
    except Exception as error:
        if run.config.is_file():
            raise
        raise TrainingStopped(
            f"{run.folder} was removed, or emptied, while the run was trained: the same command begins it anew."
        ) from error
    finally:
        record.finish(state)


def _require_steps(experiment: Experiment, prepared: PreparedDataset) -> None:
    """Refuse a fit that would make no step and end with the weights that it began with.

    Raises:
        TrainingStopped: says which setting to change.
    """
    training, workers, cases = experiment.training, experiment.compute.workers, len(prepared.cases("train"))
    if experiment.untuned or not cases or steps_of(experiment, prepared):
        return
    batch = training.batch * workers
    raise TrainingStopped(
        f"{cases} training case(s) with {training.patches_per_case} patch(es) each do not fill a batch of {batch} "
        f"(--training.batch {training.batch} on {workers} worker(s)), so nothing would be trained: raise "
        f"--training.patches-per-case to {-(-batch // cases)}, or lower --training.batch or --compute.workers."
    )


def _set_aside(run: RunFolder) -> None:
    """Make room for the model of a run whose own cannot be used; its checkpoints have it as it was."""
    names = (run.model.with_name(f"{run.model.name}.damaged-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    print(f"{_damage(run)}. It is kept as {aside}, and made again from the run's checkpoints.", flush=True)
    run.model.rename(aside)


def _train(task: FitTask, workspace: Workspace, runner: Runner) -> None:
    """Train, and show how far it is."""
    if task.quiet:
        runner.train(task, workspace, None)
        return
    with closing(Follower(task.run.progress, display())) as follower:
        try:
            runner.train(task, workspace, follower)
        except KeyboardInterrupt as error:
            follower.look()
            last = follower.last
            where = f"{task.run.name}, in epoch {last.epoch} of {last.epochs}" if last else task.run.name
            raise type(error)(where) from None


def _open_record(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
    run: RunFolder,
    settings: Mapping[str, Any],
    further: Mapping[str, str],
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
    record = open_run(workspace, run.name, tags=tags, params=flatten(settings))
    record.tag({RAY_JOB: submission_id()})  # a run that goes on may do so in another job
    record.add_file(run.config)
    return record


def versions() -> dict[str, str]:
    """Versions of everything that may change a result."""
    names = ("torch", "monai", "ray", "numpy", "nibabel", "blosc2")
    found = {name: importlib.metadata.version(name) for name in names}
    return found | {"autosam_platform": autosam_platform.__version__, "python": sys.version.split()[0]}
