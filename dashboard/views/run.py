"""One run: its state and what can be done with it at the head, then results, training, log and settings in tabs."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st
import yaml

from autosam_inference.scans.colours import organ_colour
from autosam_models import find_model, model_names
from autosam_platform.tracking.reading import RunSummary
from autosam_platform.workspace import RunFolder, Workspace, workspace
from dashboard.components.base.chooser import chosen
from dashboard.components.base.messages import explained, nothing
from dashboard.components.base.places import run_folder
from dashboard.components.base.tab import named_tab
from dashboard.components.base.text import millimetres, plain, score
from dashboard.components.charts import case_boxes, curve_charts
from dashboard.components.jobs.export_panel import export_panel
from dashboard.components.jobs.job_panel import job_panel
from dashboard.components.jobs.repeat_command import repeating, terminal
from dashboard.components.jobs.run_head import run_actions, run_state
from dashboard.components.jobs.run_jobs import GOING_ON, STARTING, job_of_run, state_of
from dashboard.components.record import run_files, tracking
from dashboard.components.record.lineage_panel import show_lineage, show_report

_OFTEN, _SELDOM = 3, 10  # seconds between looks at a run that goes on, and at one that may be continued elsewhere
_PICTURES = 6  # on one page
_EXPORTED = [name for name in model_names() if find_model(name).exportable]
_TABS = ("Results", "Training", "Log", "Settings")


def _recorded(root: Workspace) -> list[RunSummary] | None:
    """Runs on record, newest first; ``None``, and the reason on the page, where the record cannot be read."""
    with explained():
        return tracking.runs(root)
    return None


def _head(root: Workspace, run_id: str, drawn_in: str | None) -> None:
    """State of the run, looked at again and again; when it is another one, the whole page is drawn anew."""
    with explained():
        run = tracking.find(root, run_id)
        if run is not None and run_state(run_folder(root, run_id), run) != drawn_in:
            st.rerun()


def _training(root: Workspace, run_id: str, state: str | None, validated: int | None) -> None:
    with explained():
        curves = tracking.curves(root, run_id)
        if not curves and state in GOING_ON:
            st.info("The run has begun; its curves appear with the first steps.", icon=":material/hourglass_empty:")
        elif not curves and state is not None:
            st.info("This run ended before it recorded a step.")
        places = st.columns(2)
        for number, chart in enumerate(curve_charts.grouped(curves, validated)):
            with places[number % 2]:
                curve_charts.show_curves(chart, organ_colour, f"curve-{run_id}-{chart.title}")
        if curves:
            st.caption("Ctrl and the wheel zoom, a drag moves, a double click shows all again.")


def _results(run: RunFolder, summary: RunSummary | None, state: str | None) -> None:
    with explained():
        metrics = run_files.read_metrics(run)
        if metrics is None and state == tracking.EVALUATING:
            st.info("The cases are being evaluated; results come when all are done.", icon=":material/hourglass_empty:")
        elif metrics is None and not run.finished:
            st.info("Results come after the training: this run is not trained to its end.")
        elif metrics is None:
            nothing("This run is not evaluated yet.", f"python jobs/evaluate.py --run {run.name}")
        else:
            _evaluated(run, summary, metrics)


def _evaluated(run: RunFolder, summary: RunSummary | None, metrics: pd.DataFrame) -> None:
    if short := run_files.shortfall(run, metrics):
        st.warning(plain(short))
        st.code(terminal("evaluate", ["--run", run.name]), language="bash", wrap_lines=True)
    told = f"Test cases, n = {metrics['case'].nunique()}, evaluated on {run_files.evaluated_on(run)}"
    if summary is not None:
        means = (score(summary.mean_dice), score(summary.mean_nsd), millimetres(summary.mean_hd95_mm))
        names = ("Mean Dice", "Mean NSD", "Mean HD95")
        for place, name, value in zip(st.columns([1, 1, 1, 2]), names, means, strict=False):
            place.metric(name, value)
        told += "; means over organs"
    st.caption(plain(f"{told}."))
    _organs(metrics, run.name)
    _cases(metrics, run.name)


def _organs(metrics: pd.DataFrame, run_id: str) -> None:
    tolerance = ", ".join(f"{value:g}" for value in sorted(metrics["nsd_tolerance_mm"].dropna().unique()))
    titles = ("Dice %", f"NSD % at {tolerance} mm")
    for place, column, title in zip(st.columns(2), ("dice", "nsd"), titles, strict=True):
        with place:
            figure = case_boxes.scores(metrics, column, title, organ_colour)
            case_boxes.show_cases(figure, f"{run_id}-{column}-by-organ", run=run_id)
    st.caption(
        "The organ of the lowest Dice first. A point is a case, and a number in brackets how many have a score. "
        "A click opens the case at that organ."
    )


def _cases(metrics: pd.DataFrame, run_id: str) -> None:
    table = run_files.per_case(metrics)
    table = table.assign(dice=100 * table["dice"], nsd=100 * table["nsd"])
    columns = {
        "case": st.column_config.TextColumn("Case", pinned=True),
        "dice": st.column_config.NumberColumn("Mean Dice %", format="%.2f"),
        "nsd": st.column_config.NumberColumn("Mean NSD %", format="%.2f"),
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
        selection_mode=["single-row", "single-cell"],
        key=f"cases-{run_id}",
    )
    st.caption("The case of the lowest mean Dice first. A click on a row opens it at its worst organ.")
    rows = [*picked.selection.rows, *(row for row, _ in picked.selection.cells)]
    if rows:
        case = table.iloc[rows[0]]
        st.switch_page("views/viewer.py", query_params={"run": run_id, "case": case["case"], "organ": case["worst"]})


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
            if "autosam.command" in run.tags:
                st.code(run.tags["autosam.command"], language="bash", wrap_lines=True)
            names = {"autosam.data_fingerprint": "data fingerprint"}
            names |= {tag: tag.removeprefix("autosam.version.") for tag in run.tags if ".version." in tag}
            told = {plain(name): [plain(run.tags[tag])] for tag, name in names.items() if tag in run.tags}
            st.table(told, border="horizontal")


def _page() -> None:
    root = workspace()
    recorded = _recorded(root)
    runs = {run.run_id: run for run in recorded or []}
    known = list(dict.fromkeys([*runs, *(run.name for run in root.run_folders)]))
    if not known:
        st.title("Run")
        nothing("There is no run in this workspace yet.", "make demo")
        return
    with explained():
        title, choice = st.columns([3, 1])
        with choice:
            run_id = chosen("run", known, bare=True)
        title.title(plain(run_id), anchor=False)
        named_tab(run_id, "Run")
        _one(root, run_id, runs, recorded is not None)


def _one(root: Workspace, run_id: str, runs: Mapping[str, RunSummary], can_ask: bool) -> None:
    folder, run = run_folder(root, run_id), runs.get(run_id)
    state = state_of(folder, run.state, job_of_run(folder)) if run else None
    every = _OFTEN if state in GOING_ON else None if folder.finished else _SELDOM
    if run is not None:
        st.fragment(_head, run_every=every)(root, run_id, state)
    elif can_ask:
        st.warning("This run has a folder but no entry in the tracking record: only its files are shown.")
    if run is not None and run.role == tracking.SWEEP:
        st.page_link("views/sweeps.py", label="Open this sweep", query_params={"sweep": run_id})
        return
    if run is not None:
        with explained():
            run_actions(folder)
    first = "Training" if state in (STARTING, tracking.RUNNING) else "Results"
    results, training, log, settings = st.tabs(_TABS, default=first)
    with results:
        _results(folder, run, state)
        show_report(folder)
        _pictures(folder)
    with training, explained():
        if can_ask:
            fingerprint = run.tags.get("autosam.data_fingerprint", "") if run else ""
            validated = run_files.validation_cases(folder, root, fingerprint)
            st.fragment(_training, run_every=every if state in GOING_ON else None)(root, run_id, state, validated)
    with log:
        if run is not None:
            job_panel(folder)
    with settings:
        _settings(folder, run)
        if run is not None and folder.finished and run.model in _EXPORTED:
            export_panel(folder)
        show_lineage(root, run_id, list(runs.values()))


_page()
