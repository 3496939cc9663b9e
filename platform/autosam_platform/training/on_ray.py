"""A fit on Ray Train: its workers, how they are lost and started again, and the record that is kept of them."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.exceptions import RayError, RayTaskError

from autosam_inference.files import write_text
from autosam_platform.cluster import MOST_CORES, connect, may_grow
from autosam_platform.experiment import ComputeSection, Experiment
from autosam_platform.tracking.writing import Run, open_run
from autosam_platform.training.fitting import TrainingLost, TrainingStopped
from autosam_platform.training.loop import Fit, FitTask
from autosam_platform.training.preflight import TooLittleMemoryError
from autosam_platform.training.progress import Follower
from autosam_platform.training.ray_reporter import RayReporter
from autosam_platform.training.sampling import NoStepError
from autosam_platform.training.workers import NotFiniteError
from autosam_platform.workspace import Workspace

_LOOK_SECONDS = 0.5
_ASK_SECONDS = 10.0  # between questions to the cluster


class OnRay:
    """Workers of the cluster that this process belongs to, or of one that is started here; see ``fitting.Runner``.

    Args:
        callbacks: hear from Ray's controller what rank 0 reports, beside the run's own record.
    """

    def __init__(self, callbacks: Sequence[ray.train.UserCallback] = ()) -> None:
        self._callbacks = tuple(callbacks)

    def with_resources(self, experiment: Experiment) -> Experiment:
        """GPU or not, and cores per worker; refuse what the cluster can never have."""
        filled, lack = resources_of(experiment)
        if lack is not None:
            print(f"{lack}: waiting for nodes to join", flush=True)
        return experiment.model_copy(update={"compute": filled})

    def train(self, task: FitTask, workspace: Workspace, follower: Follower | None) -> None:
        """See ``fitting.Runner``."""
        task.run.failure.unlink(missing_ok=True)
        trainer = self._trainer(task, [CurveRecorder(workspace, task.run.name), *self._callbacks])
        try:
            _watched(trainer, [follower.look, _Missing(task.experiment.compute).look] if follower else [])
        except ray.train.TrainingFailedError as error:
            raise _stopped(error, task.experiment.compute.max_failures) from error
        if task.run.failure.exists():
            raise TrainingStopped(task.run.failure.read_text(encoding="utf-8"))

    def _trainer(self, task: FitTask, callbacks: list[ray.train.UserCallback]) -> ray.train.torch.TorchTrainer:
        compute = task.experiment.compute
        level = "INFO" if compute.verbose else "WARNING"
        workers = (compute.min_workers, compute.workers) if compute.min_workers else compute.workers
        return ray.train.torch.TorchTrainer(
            fit_worker,
            train_loop_config={"task": task},
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers,  # type: ignore[arg-type]  # mypy sees V1's
                use_gpu=bool(compute.gpu),
                resources_per_worker={"CPU": compute.cpus_per_worker, **({"GPU": 1} if compute.gpu else {})},
            ),
            run_config=ray.train.RunConfig(
                name=task.run.checkpoints.name,
                storage_path=str(task.run.folder),
                failure_config=ray.train.FailureConfig(max_failures=compute.max_failures),
                checkpoint_config=ray.train.CheckpointConfig(
                    num_to_keep=1, checkpoint_score_attribute="score", checkpoint_score_order="max"
                ),
                logging_config=ray.train.LoggingConfig(log_level=level),  # type: ignore[call-arg]  # likewise
                callbacks=callbacks,  # type: ignore[arg-type]  # likewise
            ),
        )


def resources_of(experiment: Experiment) -> tuple[ComputeSection, str | None]:
    """What the workers of a fit get, as the cluster is now, and what it lacks of that where nodes may still join.

    Raises:
        TrainingStopped: the cluster can never have it.
    """
    connect()
    compute = experiment.compute
    total = ray.cluster_resources()
    gpu = total.get("GPU", 0) > 0 if compute.gpu is None else compute.gpu
    share = int(total.get("CPU", 1)) // compute.workers
    cpus = compute.cpus_per_worker or max(1, min(MOST_CORES, share))
    filled = compute.model_copy(update={"gpu": gpu, "cpus_per_worker": cpus})
    lack = _lack(filled)
    if lack is not None and not (compute.wait_for_nodes and may_grow()):
        grows = (
            "no node can join the Ray that was started for this command alone, so submit the job to a cluster for "
            "--compute.wait-for-nodes"
            if compute.wait_for_nodes
            else "--compute.wait-for-nodes where the cluster grows on demand"
        )
        raise TrainingStopped(
            f"{lack}: lower --compute.workers (or --compute.min-workers, where fewer may begin) or "
            f"--compute.cpus-per-worker, give --compute.gpu False, or {grows}."
        )
    return filled, lack


def _stopped(error: Exception, most: int) -> TrainingStopped:
    """Ray Train's error in our words: processes that were lost, or an error that they met again and again."""
    goes_on = "The same command continues from the last checkpoint."
    if isinstance(error, ray.train.ControllerError):  # what leads the training has nothing of ours that could fail
        return TrainingLost(f"the process that led the training was lost ({error.controller_failure}). {goes_on}")
    failures = error.worker_failures.values() if isinstance(error, ray.train.WorkerGroupError) else ()
    # Of an error of the worker's own, Ray's is only what carries it.
    lost = [isinstance(each, RayError) and not isinstance(each, RayTaskError) for each in failures]
    kind = TrainingLost if lost and all(lost) else TrainingStopped
    return kind(f"the workers failed more often than --compute.max-failures {most} allows ({error}). {goes_on}")


def _lack(compute: ComputeSection) -> str | None:
    """What the cluster, as it is now, has too little of for the least workers of a fit, in words."""
    total, needed = ray.cluster_resources(), compute.min_workers or compute.workers
    cpus = (compute.cpus_per_worker or 1) * needed
    lacks = [
        f"want {wanted:g} {name}s and the cluster has {total.get(name, 0):g}"
        for name, wanted in (("CPU", cpus), ("GPU", needed if compute.gpu else 0))
        if wanted > total.get(name, 0)
    ]
    return f"{needed} worker(s) {', '.join(lacks)}" if lacks else None


class _Missing:
    """Says when machines that a fit needs have gone, and when they are back: Ray Train waits for them."""

    def __init__(self, compute: ComputeSection) -> None:
        self._compute, self._asked = compute, time.monotonic()
        self._begun = self._said = False

    def look(self) -> None:
        """Ask the cluster now and then."""
        if time.monotonic() - self._asked < _ASK_SECONDS:
            return
        self._asked = time.monotonic()
        lack = _lack(self._compute)
        self._begun = self._begun or lack is None  # before, nodes are waited for, as was said
        if lack is not None and self._begun and not self._said:
            less = "" if self._compute.min_workers else " (with --compute.min-workers it would go on with fewer)"
            print(f"{lack}: a machine has gone, waiting for it to come back{less}", flush=True)
        elif lack is None and self._said:
            print("there are machines enough again", flush=True)
        self._said = self._begun and lack is not None


def fit_worker(config: dict[str, Any]) -> None:
    """Entry point of each worker that Ray Train starts; ``config`` holds the ``task``."""
    task: FitTask = config["task"]
    if not task.experiment.compute.verbose:
        logging.getLogger("ray.train").setLevel(logging.WARNING)  # it says where each checkpoint is
    reporter = RayReporter()
    try:
        Fit(task, reporter).run()
    except (NotFiniteError, TooLittleMemoryError, NoStepError) as error:
        # Raised on every rank at the same place. Starting again would meet it again, so the workers end in order,
        # and the driver, which finds the message, fails the run.
        if reporter.workers.rank == 0:
            write_text(task.run.failure, str(error))


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
        self._run.log_curve(metrics[0]["curve"])


def _watched(trainer: ray.train.torch.TorchTrainer, looks: Sequence[Callable[[], None]]) -> None:
    """Fit in a thread, and look meanwhile.

    Ray Train would take Ctrl-C for itself in the main thread, say nothing and end the process; so it gets another one.
    A trial of a sweep is no main thread to begin with, and its fit must stay in the thread that Ray Tune knows.
    """
    if threading.current_thread() is not threading.main_thread():
        trainer.fit()
        return
    problems: list[BaseException] = []

    def work() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=work, name="fit", daemon=True)  # an interrupted process does not wait for it
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_SECONDS)
        for look in looks:
            look()
    if problems:
        raise problems[0]
