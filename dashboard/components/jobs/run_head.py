"""The head of a run's page: one line of its state, and what can be done with it."""

import streamlit as st

from autosam_platform.tracking.reading import STOPPED, RunSummary
from autosam_platform.workspace import RunFolder
from dashboard.components.base.text import duration, plain
from dashboard.components.jobs.job_panel import run_button
from dashboard.components.jobs.run_jobs import GOING_ON, STARTING, continuing, job_of_run, state_of
from dashboard.components.record import tracking
from dashboard.components.record.run_files import read_config, read_json

_ENDED_EARLY = "This run stopped before its end."
_CONTINUES = {
    "FAILED": f"{_ENDED_EARLY} Continue goes on from its last checkpoint, as its command under Settings does.",
    STOPPED: f"{_ENDED_EARLY} Continue goes on from its last checkpoint, as its command under Settings does.",
    tracking.INTERRUPTED: "The record calls this run RUNNING, but no process of this machine makes it: it was killed, "
    "or it runs on another machine. If it was killed, Continue goes on from its last checkpoint, as its command under "
    "Settings does.",
}


def run_state(folder: RunFolder, run: RunSummary) -> str:
    """Draw the state, how far the run is, the time left and spent; gives the state, which its job may know better.

    Raises:
        ReadingError: a file of the run is damaged.
    """
    state = state_of(folder, run.state, job_of_run(folder))
    share, said = _how_far(folder, run, state)
    spent = duration(run.training_seconds)
    about = f"{run.role} · {run.model} · {run.dataset} · started {run.started:%Y-%m-%d %H:%M} UTC"
    parts = [*said, f"{spent} spent training" if spent else "", about]
    line = f"**{state}** · " + plain(" · ".join(part for part in parts if part))
    if share is None:
        st.markdown(line)
    else:
        st.progress(share, line)
    if state in _CONTINUES:
        st.error(_CONTINUES[state], icon=":material/error:")
    return state


def _how_far(folder: RunFolder, run: RunSummary, state: str) -> tuple[float | None, list[str]]:
    """The share that is done of what goes on now, and the epoch and time left, or the cases, in words."""
    if state == tracking.EVALUATING:
        asked, done = len(folder.card.split.get("test", ())), len(folder.evaluation().case_ids)
        return (min(done / asked, 1.0), [f"{done} of {asked} cases"]) if asked else (None, [])
    epochs = (read_config(folder).get("training") or {}).get("epochs")
    told = read_json(folder.progress, "the run writes it anew").get("progress") if state in GOING_ON else None
    if not told:
        known = run.epoch is not None and state != STARTING
        return None, [f"epoch {run.epoch}{f' of {epochs}' if epochs else ''}"] if known else []
    left = duration(told["seconds_left"])
    share = told["done"] / max(told["total"], 1)
    return share, [f"epoch {told['epoch']} of {told['epochs']}", f"{left} left" if left else ""]


def run_actions(folder: RunFolder) -> None:
    """Stop or Continue, a copy to launch, a comparison, a prediction.

    Raises:
        ReadingError: the run cannot be continued or copied.
    """
    first, copy, compare, predict, _ = st.columns([1, 1, 1, 1, 2])
    copied = copy.button("Launch a copy", width="stretch", help="Opens the form with this run's settings filled in")
    scored = folder.evaluation().metrics.is_file()
    about = "Opens Compare with this run as the reference" if scored else "It is not evaluated yet"
    if compare.button("Compare", width="stretch", disabled=not scored, help=about):
        st.switch_page("views/compare.py", query_params={"runs": folder.name})
    none = "It has no model yet" if not folder.finished else "It needs prompts from a label" if folder.prompted else ""
    if predict.button("Predict", width="stretch", disabled=bool(none), help=none or "Opens Predict with this model"):
        st.switch_page("views/predict.py", query_params={"run": folder.name})
    with first:
        run_button(folder)
    if copied:
        job, words = continuing(folder)
        network = {"network": words[-1]} if len(words) > 2 else {}  # --recipe FILE, and of some jobs --model NAME
        st.switch_page("views/launch.py", query_params={"job": job, "copy": folder.name} | network)
