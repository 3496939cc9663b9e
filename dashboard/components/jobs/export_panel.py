"""The bundle of a finished student: exported as a job of the cluster, downloaded, and what it says of itself."""

from contextlib import suppress
from pathlib import Path

import streamlit as st

from autosam_inference.bundle import is_bundle
from autosam_platform.workspace import RunFolder, workspace
from dashboard.components.base.messages import explained
from dashboard.components.base.places import inside
from dashboard.components.base.text import file_size, plain
from dashboard.components.jobs import ray_jobs
from dashboard.components.jobs.job_kinds import KINDS, checked_settings
from dashboard.components.jobs.job_panel import follow
from dashboard.components.jobs.ray_jobs import NoClusterError
from dashboard.components.jobs.repeat_command import terminal
from dashboard.components.record.bundle_card import show_card

_EXPORT = "export"
_CARD = "What this bundle says of itself"


def export_panel(run: RunFolder) -> None:
    """Export, the running export, or the bundle that came of it."""
    st.subheader("Bundle")
    place, folder = workspace().bundle(f"{run.name}.zip"), workspace().bundle(run.name)
    arguments = ["--run", run.name, "--output", str(place)]
    with explained():
        if place.is_file():
            inside(place, [workspace().folder])
            st.download_button(
                f"Download the bundle ({file_size(place.stat().st_size)})",
                place.read_bytes,
                file_name=place.name,
                mime="application/zip",
            )
            with st.expander(_CARD):
                show_card(place)
            with suppress(NoClusterError):
                _started(ray_jobs.cluster(), run.name, arguments, "Export again")
            return
        if is_bundle(folder):
            _told(folder)
        st.caption("One zip with all that a scan needs, made in some minutes: autosam-predict needs no torch for it.")
        try:
            _started(ray_jobs.cluster(), run.name, arguments, "Export")
        except NoClusterError as error:
            st.info(plain(f"No Ray cluster runs: {error}. The bundle is made in a terminal:"))
            st.code(terminal(_EXPORT, arguments), language="bash", wrap_lines=True)


def _told(folder: Path) -> None:
    """A bundle that is a folder; one that cannot be read takes nothing else away."""
    with explained():
        inside(folder, [workspace().folder])
        st.caption(plain(f"Exported as a folder: {folder}."))
        with st.expander(_CARD):
            show_card(folder)


def _started(address: str, run_id: str, arguments: list[str], label: str) -> None:
    job = ray_jobs.last_of(ray_jobs.submitted(address), _EXPORT, run_id)
    if job:
        follow(address, job.job_id)
    about = "A bundle of the same run, version and settings is found, and not made again."
    if not (job and job.active) and st.button(label, key=f"export-button-{run_id}", help=about):
        checked_settings(KINDS[_EXPORT], arguments)
        ray_jobs.submit(address, _EXPORT, arguments)
        st.rerun()
