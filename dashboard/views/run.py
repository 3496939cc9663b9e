"""One run: its state, curves while it trains, metrics per organ and case, pictures and settings."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st
import yaml

from autosam_platform.data.colours import organ_colour
from autosam_platform.files import workspace
from dashboard.components import charts, records, tracked
from dashboard.components.chooser import chosen
from dashboard.components.places import run_folder
from dashboard.components.states import explained, nothing
from dashboard.components.text import duration, millimetres, plain, score

if TYPE_CHECKING:
    from autosam_platform.tracking import RunSummary

_PICTURES = 6  # on one page


def _recorded(root: Path) -> list["RunSummary"] | None:
    """Runs on record, newest first; ``None``, and the reason on the page, where the record cannot be read."""
    with explained():
        return tracked.runs(root)
    return None


def _state(root: Path, run_id: str) -> str | None:
    """Head of the page; gives the state on record."""
    run = next((run for run in tracked.runs(root) if run.run_id == run_id), None)
    if run is None:
        st.warning("This run has a folder but no entry in the tracking record: only its files are shown.")
        return None
    started = f"{run.started:%Y-%m-%d %H:%M} UTC"
    st.caption(plain(f"{run.role} · {run.model} · trained on {run.dataset} · started {started}"))
    shown = {
        "State": run.state,
        "Epoch": "–" if run.epoch is None else str(run.epoch),
        "Mean Dice": score(run.mean_dice),
        "Mean NSD": score(run.mean_nsd),
        "Mean HD95": millimetres(run.mean_hd95_mm),
        "Duration": duration(tracked.seconds(run)),
    }
    for place, (name, value) in zip(st.columns(len(shown)), shown.items(), strict=True):
        place.metric(name, value, border=True)
    if run.state in ("FAILED", "KILLED"):
        st.error("This run stopped before its end. The command that started it continues from its last checkpoint.")
    return run.state


def _live(root: Path, run_id: str, drawn_in: str | None) -> None:
    """State and curves; when the run ends, the whole page is drawn anew with its results."""
    with explained():
        state = _state(root, run_id)
        curves = tracked.curves(root, run_id)
        if not curves:
            _no_curves(state)
        places = st.columns(2)
        for number, chart in enumerate(charts.grouped(curves)):
            figure = charts.curve(chart, organ_colour)
            places[number % 2].plotly_chart(figure, key=f"curve-{run_id}-{chart.title}")
        if state != drawn_in and drawn_in == tracked.RUNNING:
            st.rerun()


def _no_curves(state: str | None) -> None:
    if state == tracked.RUNNING:
        st.info("The run has begun; its curves appear with the first steps.", icon=":material/hourglass_empty:")
    elif state is not None:
        st.info("This run ended before it recorded a step.")


def _results(folder: Path, run_id: str) -> None:
    with explained():
        metrics = records.read_metrics(folder)
        if metrics is None:
            nothing("This run is not evaluated yet.", f"python jobs/evaluate.py --run {run_id}")
            return
        _organs(metrics)
        _cases(metrics, run_id)


def _organs(metrics: pd.DataFrame) -> None:
    st.subheader("Organs")
    tolerance = ", ".join(f"{value:g}" for value in sorted(metrics["nsd_tolerance_mm"].dropna().unique()))
    dice, nsd = st.columns(2)
    dice.plotly_chart(charts.spread(metrics, "dice", "Dice", organ_colour), key="dice-by-organ")
    nsd.plotly_chart(charts.spread(metrics, "nsd", f"NSD at {tolerance} mm", organ_colour), key="nsd-by-organ")


def _cases(metrics: pd.DataFrame, run_id: str) -> None:
    st.subheader("Cases")
    table = records.per_case(metrics)
    columns = {
        "case": st.column_config.TextColumn("Case", pinned=True),
        "dice": st.column_config.NumberColumn("Mean Dice", format="%.3f"),
        "nsd": st.column_config.NumberColumn("Mean NSD", format="%.3f"),
        "hd95_mm": st.column_config.NumberColumn("Mean HD95 (mm)", format="%.1f", help="Lower is better"),
        "worst": st.column_config.TextColumn("Lowest Dice in"),
        "n": st.column_config.NumberColumn("Organs with a Dice"),
        "n_hd95": st.column_config.NumberColumn("Organs with an HD95", help="In truth and prediction"),
    }
    picked = st.dataframe(
        table,
        hide_index=True,
        placeholder="–",
        column_config=columns,
        on_select="rerun",
        selection_mode="single-row",
        key=f"cases-{run_id}",
    )
    st.caption("Worst first. Tick a row to see the case in the viewer.")
    if picked.selection.rows:
        case_id = table["case"].iloc[picked.selection.rows[0]]
        st.switch_page("views/viewer.py", query_params={"run": run_id, "case": case_id})


def _pictures(folder: Path) -> None:
    files = records.pictures(folder)
    if not files:
        return
    st.subheader("Pictures")
    pages = -(-len(files) // _PICTURES)
    page = st.pagination(pages, key=f"pictures-{folder.name}") if pages > 1 else 1
    for number, file in enumerate(files[(page - 1) * _PICTURES : page * _PICTURES]):
        if number % 2 == 0:
            places = st.columns(2)
        places[number % 2].image(file, caption=plain(file.stem), width="stretch")


def _settings(folder: Path) -> None:
    st.subheader("Settings")
    with explained():
        config = records.read_config(folder)
        if not config:
            st.info("The run has not written its settings yet.")
            return
        with st.expander("The resolved experiment (config.yaml)"):
            st.code(yaml.safe_dump(config, sort_keys=False), language="yaml")


def _page() -> None:
    st.title("Run")
    root = workspace()
    recorded = _recorded(root)
    states = {run.run_id: run.state for run in recorded or []}
    known = list(dict.fromkeys([*states, *records.run_folders(root)]))
    if not known:
        nothing("There is no run in this workspace yet.", "make demo")
        return
    with explained():
        run_id = chosen("run", known)
        folder, state = run_folder(root, run_id), states.get(run_id)
        if recorded is not None:
            # Streamlit makes a chart anew when its points change, which undoes a zoom.
            follow = state == tracked.RUNNING and st.toggle("Follow the run (off: charts keep their zoom)", value=True)
            st.fragment(_live, run_every=3 if follow else None)(root, run_id, state)
        if state != tracked.RUNNING or (folder / "evaluation").exists():
            _results(folder, run_id)
        _pictures(folder)
        _settings(folder)


_page()
