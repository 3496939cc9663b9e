"""One run: its state, curves while it trains, metrics per organ and case, lineage, pictures and settings."""

import pandas as pd
import streamlit as st
import yaml

from autosam_inference.scans.colours import organ_colour
from autosam_models import find_model, model_names
from autosam_platform.tracking.reading import STOPPED, RunSummary
from autosam_platform.workspace import RunFolder, Workspace, workspace
from dashboard.components.base.chooser import chosen
from dashboard.components.base.messages import explained, nothing
from dashboard.components.base.places import run_folder
from dashboard.components.base.text import duration, millimetres, plain, score
from dashboard.components.charts import case_boxes, curve_charts
from dashboard.components.jobs.export_panel import export_panel
from dashboard.components.jobs.job_panel import job_panel
from dashboard.components.jobs.repeat_command import repeating, terminal
from dashboard.components.record import run_files, tracking
from dashboard.components.record.lineage_panel import show_lineage, show_report

_PICTURES = 6  # on one page
_EXPORTED = [name for name in model_names() if find_model(name).exportable]
_WIDTHS = [2.2, 1, 1.2, 1.2, 1.4, 1.4]  # of the figures at the head; a state is a long word
_ENDED_EARLY = "This run stopped before its end."
_CONTINUES = {
    "FAILED": f"{_ENDED_EARLY} The command below continues it from its last checkpoint.",
    STOPPED: f"{_ENDED_EARLY} The command below continues it from its last checkpoint.",
    tracking.INTERRUPTED: "The record calls this run RUNNING, but no process of this machine makes it: it was killed, "
    "or it runs on another machine. If it was killed, the command below continues it from its last checkpoint.",
}


def _recorded(root: Workspace) -> list[RunSummary] | None:
    """Runs on record, newest first; ``None``, and the reason on the page, where the record cannot be read."""
    with explained():
        return tracking.runs(root)
    return None


def _state(root: Workspace, run_id: str) -> str | None:
    """Head of the page; gives the state on record."""
    run = tracking.find(root, run_id)
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
        "Training time": duration(run.training_seconds) or "–",
    }
    for place, (name, value) in zip(st.columns(_WIDTHS), shown.items(), strict=True):
        place.metric(name, value, border=True)
    if run.state in _CONTINUES:
        st.error(_CONTINUES[run.state], icon=":material/error:")
    return run.state


def _live(root: Workspace, run_id: str, drawn_in: str | None) -> None:
    """State and curves; when the run ends, the whole page is drawn anew with its results."""
    with explained():
        state = _state(root, run_id)
        curves = tracking.curves(root, run_id)
        if not curves:
            _no_curves(state)
        places = st.columns(2)
        for number, chart in enumerate(curve_charts.grouped(curves)):
            with places[number % 2]:
                curve_charts.show_curves(chart, organ_colour, f"curve-{run_id}-{chart.title}")
        if curves:
            st.caption("Ctrl and the wheel zoom, a drag moves, a double click shows all again.")
        if state != drawn_in and drawn_in == tracking.RUNNING:
            st.rerun()


def _no_curves(state: str | None) -> None:
    if state == tracking.RUNNING:
        st.info("The run has begun; its curves appear with the first steps.", icon=":material/hourglass_empty:")
    elif state is not None:
        st.info("This run ended before it recorded a step.")


def _results(run: RunFolder) -> None:
    with explained():
        metrics = run_files.read_metrics(run)
        if metrics is None:
            nothing("This run is not evaluated yet.", f"python jobs/evaluate.py --run {run.name}")
            return
        _organs(metrics, run.name)
        _cases(metrics, run.name)


def _organs(metrics: pd.DataFrame, run_id: str) -> None:
    st.subheader("Organs")
    tolerance = ", ".join(f"{value:g}" for value in sorted(metrics["nsd_tolerance_mm"].dropna().unique()))
    for place, column, title in zip(st.columns(2), ("dice", "nsd"), ("Dice", f"NSD at {tolerance} mm"), strict=True):
        with place:
            figure = case_boxes.scores(metrics, column, title, organ_colour)
            case_boxes.show_cases(figure, f"{run_id}-{column}-by-organ", run=run_id)
    st.caption("A point is a case, and a number in brackets how many have a score. A click opens the case.")


def _cases(metrics: pd.DataFrame, run_id: str) -> None:
    st.subheader("Cases")
    table = run_files.per_case(metrics)
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


def _pictures(run: RunFolder) -> None:
    folder = run.evaluation()
    files = sorted(folder.pictures.glob("*.png"))
    named = {folder.picture(case_id): case_id for case_id in folder.case_ids}
    if not files:
        return
    st.subheader("Pictures")
    pages = -(-len(files) // _PICTURES)
    page = st.pagination(pages, key=f"pictures-{run.name}") if pages > 1 else 1
    for number, file in enumerate(files[(page - 1) * _PICTURES : page * _PICTURES]):
        if number % 2 == 0:
            places = st.columns(2)
        places[number % 2].image(file, caption=plain(named.get(file, file.stem)), width="stretch")


def _settings(folder: RunFolder, run: RunSummary | None) -> None:
    st.subheader("Settings")
    with explained():
        config = run_files.read_config(folder)
        if not config:
            st.info("The run has not written its settings yet.")
            return
        if run is not None:
            st.markdown("This command repeats the run: where it is done it is found, where it stopped it continues.")
            st.code(terminal(*repeating(folder, config, run.role)), language="bash", wrap_lines=True)
        with st.expander("The resolved experiment (config.yaml)"):
            st.code(yaml.safe_dump(config, sort_keys=False), language="yaml")
    if run is not None:
        with st.expander("Versions, and the command as it was given"):
            names = {"autosam.command": "command", "autosam.data_fingerprint": "data fingerprint"}
            names |= {tag: tag.removeprefix("autosam.version.") for tag in run.tags if ".version." in tag}
            st.table({name: [run.tags[tag]] for tag, name in names.items() if tag in run.tags}, border="horizontal")


def _page() -> None:
    st.title("Run")
    root = workspace()
    recorded = _recorded(root)
    runs = {run.run_id: run for run in recorded or []}
    known = list(dict.fromkeys([*runs, *(run.name for run in root.run_folders)]))
    if not known:
        nothing("There is no run in this workspace yet.", "make demo")
        return
    with explained():
        run_id = chosen("run", known)
        _one(root, run_id, runs, recorded is not None)


def _one(root: Workspace, run_id: str, runs: dict[str, RunSummary], can_ask: bool) -> None:
    folder, run = run_folder(root, run_id), runs.get(run_id)
    state = run.state if run else None
    if can_ask:
        follow = state == tracking.RUNNING
        st.fragment(_live, run_every=3 if follow else None)(root, run_id, state)
    if run is not None and run.role == tracking.SWEEP:
        st.page_link("views/sweeps.py", label="Open this sweep", query_params={"sweep": run_id})
        return
    if state != tracking.RUNNING or folder.evaluation().folder.exists():
        _results(folder)
    if run is not None:
        job_panel(folder)
        if folder.finished and run.model in _EXPORTED:
            export_panel(folder)
    show_lineage(root, run_id, list(runs.values()))
    show_report(folder)
    _pictures(folder)
    _settings(folder, run)


_page()
