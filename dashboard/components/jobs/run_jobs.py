"""Which jobs of the cluster make a run or a sweep, what its state is while they do, and how it is continued once."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import streamlit as st

from autosam_platform.workspace import RunFolder, workspace
from dashboard.components.base.places import ReadingError
from dashboard.components.jobs import ray_jobs
from dashboard.components.jobs.job_kinds import KINDS, checked_settings
from dashboard.components.jobs.ray_jobs import NoClusterError, Submitted
from dashboard.components.jobs.repeat_command import repeating
from dashboard.components.record import tracking
from dashboard.components.record.run_files import read_config

STARTING = "STARTING"
"""Of a run whose job was sent, and has not opened its record yet."""
GOING_ON = (STARTING, tracking.RUNNING, tracking.EVALUATING)
_EVALUATE = "evaluate"
MAKING = ("train_teacher", "train_baseline", "distill_student", _EVALUATE)
"""Jobs that are about one run; a study and a sweep make many."""

_sending = threading.Lock()


def job_of_run(run: RunFolder) -> Submitted | None:
    """The job that goes on for a run, else the newest that did; ``None`` where there is no cluster or no such job."""
    recorded = tracking.ray_job(workspace(), run.name)
    return _first(lambda job: job.job_id == recorded or (job.kind in MAKING and named_run(job) == run.name))


def named_run(job: Submitted) -> str:
    """The run that a job's command names: behind --run, or by the very command that repeats it; empty where none is.

    A run's settings with others behind them make a copy, and where a run is the teacher another one is made.
    """
    words = job.words[2:]
    told = dict(pairwise(words))
    if "--run" in told:
        return told["--run"]
    recipe = Path(told.get("--recipe", ""))
    run = workspace().run(recipe.parent.name)
    if recipe == run.config:
        with suppress(ReadingError):
            return run.name if (job.kind, words) == continuing(run) else ""
    return ""


def continuing(run: RunFolder) -> tuple[str, list[str]]:
    """The job that trains this run, and its arguments.

    Raises:
        ReadingError: the run has not written its settings, or nothing records what it trains.
    """
    config, recorded = read_config(run), tracking.find(workspace(), run.name)
    if not config or recorded is None:
        raise ReadingError(f"{run.config} or the record of {run.name} is missing: it cannot be continued here.")
    return repeating(run, config, recorded.role)


def serves(job: Submitted, run: RunFolder) -> bool:
    """Does a job go on for this very run, to train or to evaluate it?

    What a study, a sweep, or a distillation for its teacher and its twin is at, only the record and the locks say.
    """
    if not job.active or job.kind not in MAKING:
        return False
    if job.kind != _EVALUATE and run.evaluation().metrics.is_file():
        return False  # the run is done, and its job is at the twin or at another seed
    if named_run(job) == run.name:
        return True
    with suppress(ReadingError):
        return tracking.ray_job(workspace(), run.name) == job.job_id and continuing(run)[0] == job.kind
    return False


def job_of_sweep(arguments: Sequence[str]) -> Submitted | None:
    """Likewise of a sweep, which is known by the arguments of its job."""
    return _first(lambda job: job.kind == "sweep" and job.words[2:] == list(arguments))


def _first(belongs: Callable[[Submitted], bool]) -> Submitted | None:
    with suppress(NoClusterError, ReadingError):
        jobs = [job for job in ray_jobs.submitted(ray_jobs.cluster()) if belongs(job)]
        return next((job for job in jobs if job.active), jobs[0] if jobs else None)
    return None


def state_of(run: RunFolder, recorded: str, job: Submitted | None) -> str:
    """The state of a run, where its job knows more than the record: it starts, or it evaluates."""
    if job is None or not job.active or recorded == tracking.RUNNING:
        return recorded
    opened = tracking.ray_job(workspace(), run.name) == job.job_id
    if opened and recorded == tracking.INTERRUPTED:
        return tracking.RUNNING  # on another machine, the lock of which is not seen here
    if not serves(job, run):
        return recorded
    if run.finished:
        return tracking.EVALUATING
    return recorded if opened else STARTING  # what the job has opened and ended does not start any more


def continue_button(key: str, kind: str, arguments: Sequence[str], goes_on: Callable[[], bool]) -> None:
    """Send a job's settings again, unless somebody has done so in another tab meanwhile; then the page is drawn anew.

    Args:
        goes_on: asked anew, when the button is pressed.

    Raises:
        ReadingError: the job refuses the settings, or the cluster is gone.
    """
    about = "Sends the same settings again; what is done so far is kept."
    if not st.button("Continue", type="primary", width="stretch", help=about, key=f"go-{key}"):
        return
    checked_settings(KINDS[kind], arguments)
    try:
        with _sending:
            ray_jobs.submitted.clear()
            if not goes_on():
                ray_jobs.submit(ray_jobs.cluster(), kind, arguments)
    except NoClusterError as error:
        raise ReadingError(f"The cluster is gone ({error}): start one, or use the command.") from error
    st.rerun()
