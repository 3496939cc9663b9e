"""Predict: a scan and a model in, a label map out, to look at in the viewer or to download."""

import pandas as pd
import streamlit as st

from autosam_inference.included import included_model
from autosam_platform.workspace import workspace
from dashboard.components.base.messages import explained, nothing
from dashboard.components.base.places import ReadingError
from dashboard.components.base.selection import choosable
from dashboard.components.base.tab import named_tab
from dashboard.components.base.text import plain
from dashboard.components.jobs import predicting, ray_jobs
from dashboard.components.jobs.model_choice import chosen_model
from dashboard.components.jobs.predicting import ACTIVE, DONE, WAITING, PredictionJob
from dashboard.components.jobs.ray_jobs import NoClusterError
from dashboard.components.jobs.scan_choice import chosen_scan
from dashboard.components.record.finished_runs import FinishedRun, finished_runs
from dashboard.components.record.prediction_panel import prediction_panel
from dashboard.components.record.quality_words import show_quality

_REFRESH = 2  # seconds between looks at a prediction that goes on
_MOST = 50  # predictions in the table
_COLUMNS = {
    "scan": st.column_config.TextColumn("Scan", pinned=True),
    "run": st.column_config.TextColumn("Model"),
    "state": st.column_config.TextColumn("State"),
    "started": st.column_config.DatetimeColumn("Started (UTC)", format="YYYY-MM-DD HH:mm"),
}


def _cluster() -> str | None:
    """The cluster that predicts; ``None`` where none runs: this machine does then."""
    try:
        return ray_jobs.cluster()
    except NoClusterError:
        return None


def _new(runs: list[FinishedRun], address: str | None) -> None:
    left, right = st.columns(2, gap="large")
    scan = model = None
    with left, explained():
        scan = chosen_scan()
    with right, explained():
        model = chosen_model(runs)
    if st.button("Predict", type="primary", disabled=None in (scan, model)) and scan and model:
        scan.check()
        st.query_params["prediction"] = predicting.start(scan, model, address).name
        st.rerun()
    st.caption(
        "It is predicted by " + ("the Ray cluster." if address else "this machine, since no Ray cluster runs.")
        + " Closing the browser does not stop it."
    )  # fmt: skip


def _one(name: str, address: str | None) -> None:
    prediction = predicting.find(name)
    if prediction is None:
        raise ReadingError(f"There is no prediction {name!r} in this workspace: choose one from the list.")
    running = predicting.state(prediction, address) in ACTIVE
    named_tab(prediction.scan.name, "Predict")
    st.subheader(plain(f"{prediction.scan.name} with {prediction.run}"))
    st.fragment(_shown, run_every=_REFRESH if running else None)(prediction, address, running)


def _shown(prediction: PredictionJob, address: str | None, was_running: bool) -> None:
    with explained():
        state = predicting.state(prediction, address)
        if was_running and state not in ACTIVE:
            st.rerun()
        if state == DONE:
            _result(prediction)
            return
        log = predicting.log_of(prediction, address)
        if state in ACTIVE:
            share = predicting.progress(log)
            st.progress(share or 0.0, _how_far(state, share))
            if st.button("Stop", key="stop-prediction"):
                predicting.stop(prediction, address)
                st.rerun()
        else:
            st.error(
                "This prediction ended before all its files were there: its log says why. Predict starts it again."
            )
        with st.expander("Log", expanded=state not in ACTIVE):
            st.code(log or "It printed nothing.", language=None, wrap_lines=True)


def _how_far(state: str, share: float | None) -> str:
    if state == WAITING:
        return "Waits for its turn, which comes when a core is free."
    return "Loading the scan and the model …" if share is None else f"{share:.0%} predicted"


def _result(prediction: PredictionJob) -> None:
    for note in prediction.output.notes:
        st.warning(plain(note))
    show_quality(prediction.output)
    look, read = st.columns([2, 1])
    with read:
        if st.button("Open in the viewer", type="primary"):
            st.switch_page("views/viewer.py", query_params={"prediction": prediction.name})
        prediction_panel(prediction.output)
    look.image(prediction.output.picture)


def _list(address: str | None) -> None:
    known = predicting.listed(_MOST)
    if not known:
        st.info("Nothing was predicted from this page yet.")
        return
    rows = [
        (each.scan.name, each.run, predicting.state(each, address), each.started.replace(tzinfo=None)) for each in known
    ]
    st.subheader("Predictions")
    names = [each.name for each in known]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    choice = choosable(table, names, "predictions", column_config=_COLUMNS, selection_mode="single-row")
    if choice.new:
        st.query_params["prediction"] = choice.rows[0]
        st.rerun()


def _page() -> None:
    st.title("Predict")
    with explained():
        runs = finished_runs(to_predict=True)
        if not runs and not workspace().bundles and included_model() is None:
            nothing("No run of this workspace has a model yet.", "make demo")
            return
        address = _cluster()
        with explained():
            _new(runs, address)
        if name := st.query_params.get("prediction"):
            with explained():
                _one(name, address)
        _list(address)


_page()
