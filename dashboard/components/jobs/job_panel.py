"""A Ray job on a page: its state, the end of its log, a button that stops it; and the job of a run."""

import streamlit as st

from autosam_platform.workspace import RunFolder, workspace
from dashboard.components.base.messages import explained
from dashboard.components.base.places import ReadingError
from dashboard.components.base.text import duration, plain
from dashboard.components.jobs import ray_jobs
from dashboard.components.jobs.job_kinds import KINDS, checked_settings
from dashboard.components.jobs.ray_jobs import NoClusterError, Submitted
from dashboard.components.jobs.repeat_command import repeating, terminal
from dashboard.components.record import tracking
from dashboard.components.record.run_files import read_config

_REFRESH = 3  # seconds between looks at a job that goes on


def job_panel(run: RunFolder) -> None:
    """The Ray job that trained a run last: its state and log, Stop while it goes on, Continue where it stopped."""
    st.subheader("Job")
    with explained():
        command = _continuing(run)
        try:
            address = ray_jobs.cluster()
        except NoClusterError as error:
            st.info(plain(f"No Ray cluster runs: {error}. A run that stopped continues in a terminal:"))
            st.code(terminal(*command), language="bash")
            return
        job_id = tracking.ray_job(workspace(), run.name)
        job = ray_jobs.find_job(address, job_id) if job_id else None
        if job:
            follow(address, job.job_id)
        else:
            st.caption("No job of the cluster that runs now has trained this run.")
        if not (job and job.active) and not run.finished:
            _continue(address, run.name, *command)


def follow(address: str, job_id: str) -> None:
    """State and log of a job, looked at again while it goes on; then the page is drawn anew."""
    job = ray_jobs.find_job(address, job_id)
    active = job is not None and job.active
    st.fragment(_shown, run_every=_REFRESH if active else None)(address, job_id, active)


def _shown(address: str, job_id: str, was_active: bool) -> None:
    with explained():
        try:
            job = ray_jobs.find_job(address, job_id)
            if job is None:
                st.info(plain(f"The cluster knows no job {job_id}: it was started anew since."))
                return
            _head(address, job)
            with st.container(height=360, autoscroll=True):
                st.code(
                    ray_jobs.log_of(address, job_id) or "It has printed nothing yet.", language=None, wrap_lines=True
                )
        except NoClusterError as error:
            st.warning(plain(f"The cluster is gone: {error}."))
            return
        if was_active and not job.active:
            st.rerun()


def _head(address: str, job: Submitted) -> None:
    said, button = st.columns([4, 1], vertical_alignment="center")
    said.markdown(f"**{plain(job.state)}** · {plain(job.kind or job.job_id)} · {duration(job.seconds)}")
    if job.state == "FAILED":
        st.error(plain(job.message or "The job failed; its log says why."))
    if job.active and job.kind:  # somebody else's job is not ours to stop
        with button.popover("Stop", width="stretch"):
            st.write("What is done so far is kept: the same command continues, or begins anew what keeps nothing.")
            if st.button("Stop this job", type="primary", key=f"stop-{job.job_id}"):
                ray_jobs.stop(address, job.job_id)
                st.rerun()


def _continuing(run: RunFolder) -> tuple[str, list[str]]:
    """The job that trains this run, and its arguments.

    Raises:
        ReadingError: the run has not written its settings, or nothing records what it trains.
    """
    config, recorded = read_config(run), tracking.find(workspace(), run.name)
    if not config or recorded is None:
        raise ReadingError(f"{run.config} or the record of {run.name} is missing: it cannot be continued here.")
    return repeating(run, config, recorded.role)


def _continue(address: str, run_id: str, kind: str, arguments: list[str]) -> None:
    about = "Sends the same settings again; the run goes on from its last checkpoint."
    if st.button("Continue", help=about, key=f"go-{run_id}"):
        checked_settings(KINDS[kind], arguments)
        job_id = ray_jobs.submit(address, kind, arguments)
        st.success(plain(f"Sent as {job_id}. The run shows it as soon as it goes on."))
        follow(address, job_id)
