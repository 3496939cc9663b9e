"""Start or continue a fit on Ray Train, and leave a finished model in the run's folder."""

import importlib.metadata
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import ray
import ray.train
import ray.train.torch

import autosam_platform
from autosam_inference.errors import UserError
from autosam_models import find_model
from autosam_platform.cluster import connect, submission_id
from autosam_platform.data.patches import Teacher
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.locks import LOOK_SECONDS
from autosam_platform.tracking.reading import RAY_JOB, STOPPED, flatten
from autosam_platform.tracking.writing import Run, open_run
from autosam_platform.training import checkpoints
from autosam_platform.training.export import export_model
from autosam_platform.training.loop import FitTask, fit_worker
from autosam_platform.training.objectives import Objective, SegmentationObjective
from autosam_platform.workspace import RunFolder, Workspace


class TrainingStopped(UserError):
    """A fit that cannot go on; the message says why and what to change."""


class RunBusyError(TrainingStopped):
    """The run is being trained by another process."""


@dataclass(frozen=True)
class FitResult:
    """Where a fit ended, and whether the run had been finished before."""

    run: RunFolder
    found: bool

    @property
    def run_id(self) -> str:
        return self.run.name

    @property
    def folder(self) -> Path:
        return self.run.folder


@dataclass(frozen=True)
class Lesson:
    """What a fit learns: the objective that it minimises, and who teaches it beside the labels.

    Attributes:
        objective: makes the objective in each worker.
        teacher: of the patches.
        tags: what its record is to say of that.
    """

    objective: Callable[[], Objective] = SegmentationObjective
    teacher: Teacher | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


def find_fit(experiment: Experiment, prepared: PreparedDataset, workspace: Workspace) -> FitResult | None:
    """The run of ``experiment`` if it is finished."""
    run = workspace.run(experiment.run_id(prepared.fingerprint))
    return FitResult(run, found=True) if run.finished else None


def fit(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
    lesson: Lesson = Lesson(),
    callbacks: Sequence[ray.train.UserCallback] = (),
    quiet: bool = False,
) -> FitResult:
    """Train ``experiment`` on ``prepared``, from its last checkpoint if there is one.

    Args:
        callbacks: told by Ray's controller what rank 0 reports, beside the run's own record.
        quiet: the workers print nothing.

    Raises:
        RunBusyError: the run is already going on.
        TrainingStopped: the loss stopped being finite, workers failed too often, or the cluster is too small for it.
    """
    found = find_fit(experiment, prepared, workspace)
    if found is not None:
        return found
    run = workspace.run(experiment.run_id(prepared.fingerprint))
    run.folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(run.lock, timeout=LOOK_SECONDS):
            _fit(experiment, prepared, workspace, run, lesson, callbacks, quiet)
    except filelock.Timeout as error:
        raise RunBusyError(f"{run.name} is being trained by another process: wait for it, or stop it.") from error
    return FitResult(run, found=False)


def _fit(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
    run: RunFolder,
    lesson: Lesson,
    callbacks: Sequence[ray.train.UserCallback],
    quiet: bool,
) -> None:
    connect()
    experiment = _with_resources(experiment)
    settings = run.write_experiment(experiment)
    run.failure.unlink(missing_ok=True)
    record = _open_record(experiment, prepared, workspace, run, settings, lesson.tags)
    storage = run.checkpoints
    lost = checkpoints.tidy(storage)
    task = FitTask(experiment, prepared.manifest, run, lesson.objective, lesson.teacher, lost, quiet)
    state = "FAILED"
    try:
        _run_on_ray(task, run, [CurveRecorder(workspace, run.name), *callbacks])
        best = checkpoints.best(storage)
        if best is None:
            raise TrainingStopped(f"the fit ended without a checkpoint in {storage}: see the messages above.")
        export_model(best, experiment, prepared, run, versions(), lesson.tags)
        record.add_file(run.model, run.model.name)
        state = "FINISHED"
    except KeyboardInterrupt:
        state = STOPPED
        raise
    finally:
        record.finish(state)


def _run_on_ray(task: FitTask, run: RunFolder, callbacks: list[ray.train.UserCallback]) -> None:
    compute = task.experiment.compute
    trainer = ray.train.torch.TorchTrainer(
        fit_worker,
        train_loop_config={"task": task},
        scaling_config=ray.train.ScalingConfig(
            num_workers=compute.workers,
            use_gpu=bool(compute.gpu),
            resources_per_worker={"CPU": compute.cpus_per_worker, **({"GPU": 1} if compute.gpu else {})},
        ),
        run_config=ray.train.RunConfig(
            name=run.checkpoints.name,
            storage_path=str(run.folder),
            failure_config=ray.train.FailureConfig(max_failures=compute.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute="score", checkpoint_score_order="max"
            ),
            logging_config=ray.train.LoggingConfig(log_level="WARNING"),  # type: ignore[call-arg]  # mypy sees V1's
            callbacks=callbacks,  # type: ignore[arg-type]  # likewise
        ),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise TrainingStopped(
            f"the workers failed more often than --compute.max-failures {compute.max_failures} allows ({error}). The "
            "same command continues from the last checkpoint."
        ) from error
    if run.failure.exists():
        raise TrainingStopped(run.failure.read_text())


class CurveRecorder(ray.train.UserCallback):
    """Writes the curves that rank 0 reports into the run's record.

    It runs in Ray's controller, on the machine of the driver, so that one process writes a run.
    """

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self._workspace, self._run_id = workspace, run_id
        self._run: Run | None = None

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Record what rank 0 sent: a list of points, each with its ``step``."""
        if self._run is None:
            self._run = open_run(self._workspace, self._run_id, tags={}, params={})
        points = [(dict(point), int(point["step"])) for point in metrics[0]["curve"]]
        for values, _ in points:
            values.pop("step")
        self._run.log_many(points)


def _with_resources(experiment: Experiment) -> Experiment:
    """Fill in what the cluster decides: GPU or not, and cores per worker; refuse what it can never have."""
    compute = experiment.compute
    total = ray.cluster_resources()
    gpu = total.get("GPU", 0) > 0 if compute.gpu is None else compute.gpu
    cpus = compute.cpus_per_worker or max(1, min(8, int(total.get("CPU", 1)) // compute.workers))
    for name, wanted in (("CPU", cpus * compute.workers), ("GPU", compute.workers if gpu else 0)):
        if wanted > total.get(name, 0):
            lack = f"{compute.workers} worker(s) want {wanted:g} {name}s and the cluster has {total.get(name, 0):g}"
            if not compute.wait_for_nodes:
                raise TrainingStopped(
                    f"{lack}: lower --compute.workers or --compute.cpus-per-worker, give --compute.gpu False, or "
                    "--compute.wait-for-nodes where the cluster grows on demand."
                )
            print(f"{lack}: waiting for nodes to join", flush=True)
    filled = compute.model_copy(update={"gpu": gpu, "cpus_per_worker": cpus})
    return experiment.model_copy(update={"compute": filled})


def _open_record(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
    folder: RunFolder,
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
    run = open_run(workspace, folder.name, tags=tags, params=flatten(settings))
    run.tag({RAY_JOB: submission_id()})  # a run that goes on may do so in another job
    run.add_file(folder.config)
    return run


def versions() -> dict[str, str]:
    """Versions of everything that may change a result."""
    names = ("torch", "monai", "ray", "numpy", "nibabel", "blosc2")
    found = {name: importlib.metadata.version(name) for name in names}
    return found | {"autosam_platform": autosam_platform.__version__, "python": sys.version.split()[0]}
