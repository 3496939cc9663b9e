"""Which jobs of the cluster make a run or a sweep, what its state is while they do, and how it is continued once."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import streamlit as st

from autosam_platform.workspace import RunFolder, workspace
from dashboard.components.base.places import ReadingError
from dashboard.components.jobs import ray_jobs
from dashboard.components.jobs.job_kinds import KINDS, checked_settings
from dashboard.components.jobs.ray_jobs import NoClusterError, Submitted
from dashboard.components.record import tracking

STARTING = "STARTING"
"""Of a run whose job was sent, and has not opened its record yet."""
GOING_ON = (STARTING, tracking.RUNNING, tracking.EVALUATING)
_MAKING = ("train_teacher", "train_baseline", "distill_student", "evaluate")

_sending = threading.Lock()


def job_of_run(run: RunFolder) -> Submitted | None:
    """The job that goes on for a run, else the newest that did; ``None`` where there is no cluster or no such job."""
    recorded = tracking.ray_job(workspace(), run.name)
    names = {run.name, str(run.config)}
    return _first(lambda job: job.job_id == recorded or (job.kind in _MAKING and not names.isdisjoint(job.words)))


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
    if run.finished:
        return tracking.EVALUATING
    opened = recorded == tracking.INTERRUPTED and tracking.ray_job(workspace(), run.name) == job.job_id
    return tracking.RUNNING if opened else STARTING  # on another machine, the lock of which is not seen here


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
