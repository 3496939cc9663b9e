"""A fit in this process, without Ray: the very same loop, for tests and tools. It gives the same bits as one worker."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from autosam_platform.experiment import Experiment
from autosam_platform.tracking.writing import open_run
from autosam_platform.training.fitting import TrainingStopped
from autosam_platform.training.loop import Fit, FitTask
from autosam_platform.training.preflight import TooLittleMemoryError
from autosam_platform.training.progress import Follower
from autosam_platform.training.reporter import Curve, LocalReporter
from autosam_platform.training.sampling import NoStepError
from autosam_platform.training.workers import NotFiniteError
from autosam_platform.workspace import Workspace


class InProcess:
    """One worker, which is this process; see ``fitting.Runner``."""

    def with_resources(self, experiment: Experiment) -> Experiment:
        """The GPU if there is one and it is wanted, and the threads that torch has."""
        compute = experiment.compute
        if (compute.min_workers or compute.workers) != 1:
            raise TrainingStopped(
                f"one process is one worker, not {compute.workers}: lower --compute.workers to 1, or give "
                "--compute.min-workers 1."
            )
        gpu = torch.cuda.is_available() if compute.gpu is None else compute.gpu
        cpus = compute.cpus_per_worker or torch.get_num_threads()
        filled = compute.model_copy(update={"gpu": gpu, "cpus_per_worker": cpus})
        return experiment.model_copy(update={"compute": filled})

    def train(self, task: FitTask, workspace: Workspace, follower: Follower | None) -> None:
        """See ``fitting.Runner``."""
        run = open_run(workspace, task.run.name, tags={}, params={})

        def record(curve: Curve) -> None:
            run.log_curve(curve)
            if follower is not None:
                follower.look()

        storage = task.run.checkpoints
        storage.mkdir(exist_ok=True)
        device = torch.device("cuda" if task.experiment.compute.gpu else "cpu")
        with _settings_of_torch_kept():
            try:
                Fit(task, LocalReporter(storage, record, device)).run()
            except (NotFiniteError, TooLittleMemoryError, NoStepError) as error:
                raise TrainingStopped(str(error)) from error


@contextmanager
def _settings_of_torch_kept() -> Iterator[None]:
    """The loop sets threads and determinism for a process of its own; this one may go on with something else."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
