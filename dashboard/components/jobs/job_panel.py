"""A Ray job on a page: its state, the end of its log, a button that stops it; and the job and the button of a run."""

import streamlit as st

from autosam_platform.locks import is_locked
from autosam_platform.workspace import RunFolder, workspace
from dashboard.components.base.messages import explained
from dashboard.components.base.places import ReadingError
from dashboard.components.base.text import duration, plain
from dashboard.components.jobs import ray_jobs
from dashboard.components.jobs.ray_jobs import NoClusterError, Submitted
from dashboard.components.jobs.repeat_command import terminal
from dashboard.components.jobs.run_jobs import GOING_ON, continue_button, continuing, job_of_run, serves, state_of
from dashboard.components.record import tracking

_REFRESH = 3  # seconds between looks at a job that goes on


def job_panel(run: RunFolder) -> None:
    """The Ray job of a run: its state and log; without a cluster what continues the run."""
    with explained():
        command = continuing(run)
        try:
            address = ray_jobs.cluster()
        except NoClusterError as error:
            st.info(plain(f"No Ray cluster runs: {error}. A run that stopped continues in a terminal:"))
            st.code(terminal(*command), language="bash", wrap_lines=True)
            return
        job = job_of_run(run)
        if job:
            follow(address, job.job_id, can_stop=False)
        else:
            st.caption("No job of the cluster that runs now has made this run.")


def run_button(run: RunFolder) -> None:
    """Stop while a job of the cluster makes this run and no other, Continue where it stopped; nothing where no cluster
    lets us in, as the panel says.

    Raises:
        ReadingError: the run cannot be continued, since a record is missing or its job refuses the settings.
    """
    try:
        address = ray_jobs.cluster()
    except (NoClusterError, ReadingError):
        return
    job = job_of_run(run)
    if job is not None and job.ours and serves(job, run):
        _stop(address, job)
    elif not run.finished and not run_goes_on(run):
        continue_button(run.name, *continuing(run), lambda: run_goes_on(run))


def run_goes_on(run: RunFolder) -> bool:
    """Does a job of the cluster, or a process of this machine, make the run?"""
    job, recorded = job_of_run(run), tracking.find(workspace(), run.name)
    state = None if job is None or not job.active or recorded is None else state_of(run, recorded.state, job)
    if state in GOING_ON or (job is not None and serves(job, run)):
        return True
    return run.lock.exists() and is_locked(run.lock)


def follow(address: str, job_id: str, can_stop: bool = True) -> None:
    """State and log of a job, looked at again while it goes on; then the page is drawn anew.

    Args:
        can_stop: with a button that stops it.
    """
    job = ray_jobs.find_job(address, job_id)
    active = job is not None and job.active
    st.fragment(_shown, run_every=_REFRESH if active else None)(address, job_id, active, can_stop)


def _shown(address: str, job_id: str, was_active: bool, can_stop: bool) -> None:
    with explained():
        try:
            job = ray_jobs.find_job(address, job_id)
            if job is None:
                st.info(plain(f"The cluster knows no job {job_id}: it was started anew since."))
                return
            _head(address, job, can_stop)
            with st.container(height=360, autoscroll=True):
                st.code(
                    ray_jobs.log_of(address, job_id) or "It has printed nothing yet.", language=None, wrap_lines=True
                )
        except NoClusterError as error:
            st.warning(plain(f"The cluster is gone: {error}."))
            return
        if was_active and not job.active:
            st.rerun()


def _head(address: str, job: Submitted, can_stop: bool) -> None:
    said, button = st.columns([4, 1], vertical_alignment="center")
    said.markdown(f"**{plain(job.state)}** · {plain(job.kind or job.job_id)} · {duration(job.seconds)}")
    if job.state == "FAILED":
        st.error(plain(job.message or "The job failed; its log says why."))
    if can_stop and job.active and job.ours:  # somebody else's job is not ours to stop
        with button:
            _stop(address, job)


def _stop(address: str, job: Submitted) -> None:
    with st.popover("Stop", width="stretch"):
        st.write("What is done so far is kept: the same command continues, or begins anew what keeps nothing.")
        if st.button("Stop this job", type="primary", key=f"stop-{job.job_id}"):
            ray_jobs.stop(address, job.job_id)
            st.rerun()
