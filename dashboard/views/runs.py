"""All runs of the workspace, or the best on a dataset beside the paper's; a row that is chosen opens its run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from autosam_inference.scans.colours import organ_colour
from autosam_platform.evaluation.paper import load_paper
from autosam_platform.tracking.reading import PARENT, RunSummary
from autosam_platform.workspace import Workspace, workspace
from dashboard.components.base.messages import explained, nothing
from dashboard.components.base.selection import choosable
from dashboard.components.base.text import plain
from dashboard.components.charts import curve_charts
from dashboard.components.record import leaderboard, tracking

_ROWS = 18  # as many as a laptop's screen has room for
_LIST, _BEST = "All runs", "Leaderboard"
_FILTERS = ("dataset", "model", "role", "state")
_COLUMNS = {
    "run": st.column_config.TextColumn("Run", pinned=True),
    "dataset": st.column_config.TextColumn("Dataset"),
    "model": st.column_config.TextColumn("Model"),
    "role": st.column_config.TextColumn("Role"),
    "state": st.column_config.TextColumn("State", help="INTERRUPTED: no process of this machine makes it any more"),
    "epoch": st.column_config.NumberColumn("Epoch"),
    "dice": st.column_config.NumberColumn("Dice %", format="%.2f", help="Mean over organs and test cases"),
    "nsd": st.column_config.NumberColumn("NSD %", format="%.2f", help="Mean over organs and test cases"),
    "hd95_mm": st.column_config.NumberColumn(
        "HD95 (mm)", format="%.1f", help="Mean over organs and test cases that have it; lower is better"
    ),
    "started": st.column_config.DatetimeColumn("Started (UTC)", format="YYYY-MM-DD HH:mm"),
    "minutes": st.column_config.NumberColumn("Training (min)", format="%.1f", help="Spent training"),
    "sweep": st.column_config.TextColumn("Trial of", help="The sweep that it is a trial of"),
}
_CURVES = {  # of several runs in one chart, by their names in the record
    "val/dice/mean": "Validation Dice %",
    "train/loss": "Loss",
    "train/learning_rate": "Learning rate",
}
_BOARD = {
    "run": st.column_config.TextColumn("Run", pinned=True),
    "model": st.column_config.TextColumn("Model"),
    "role": st.column_config.TextColumn("Role"),
    "dice": st.column_config.NumberColumn("Dice %", format="%.2f"),
    "nsd": st.column_config.NumberColumn("NSD %", format="%.2f"),
    "cases": st.column_config.NumberColumn("n", help="Test cases evaluated"),
    "evaluated": st.column_config.TextColumn("Evaluated"),
    "parameters": st.column_config.NumberColumn("Parameters (M)", format="%.2f"),
    "split": st.column_config.TextColumn("Split", help="Cases to train, validate and test on"),
}
_PAPER = {
    "model": st.column_config.TextColumn("Model (the paper's)"),
    "dice": st.column_config.NumberColumn("Dice %", format="%.2f"),
    "nsd": st.column_config.NumberColumn("NSD %", format="%.2f"),
    "table": st.column_config.NumberColumn("Table"),
}


def _table(runs: Sequence[RunSummary]) -> pd.DataFrame:
    names = {run.mlflow_id: run.run_id for run in runs}
    rows = [
        {
            "run": run.run_id,
            "dataset": run.dataset,
            "model": run.model,
            "role": run.role,
            "state": run.state,
            "epoch": run.epoch,
            "dice": leaderboard.percent(run.mean_dice),
            "nsd": leaderboard.percent(run.mean_nsd),
            "hd95_mm": run.mean_hd95_mm,
            "started": run.started.replace(tzinfo=None),
            "minutes": None if run.training_seconds is None else run.training_seconds / 60,
            "sweep": names.get(run.tags.get(PARENT, "")),
        }
        for run in runs
    ]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.astype({"epoch": "Int64", "dice": float, "nsd": float, "hd95_mm": float, "minutes": float})


def _filtered(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that a search text and the chosen values of each column let through; the address has them all."""
    every = table
    search, *choices, fold = st.columns([2, 1, 1, 1, 1, 1], vertical_alignment="bottom")
    text = search.text_input("Search", placeholder="part of a run's name", key="search", bind="query-params")
    table = table[table["run"].str.contains((text or "").strip(), case=False, regex=False)]
    for place, name in zip(choices, _FILTERS, strict=True):
        # What is chosen is an option, though no run has it any more: else the filter goes but stays in the address.
        options = sorted({*every[name], *st.session_state.get(name, ()), *st.query_params.get_all(name)})
        wanted = place.multiselect(name.capitalize(), options, placeholder="all", key=name, bind="query-params")
        if wanted:
            table = table[table[name].isin(wanted)]
    if not fold.toggle("Trials of sweeps", value=True, key="trials", bind="query-params"):
        table = table[table["sweep"].isna()]
    return table.reset_index(drop=True)


def _list(runs: Sequence[RunSummary]) -> None:
    table = _table(runs)
    shown, columns = _arranged(_filtered(table))
    if shown.empty:
        st.info("No run matches the filters.")
        return
    ticked = _open_chosen(shown, {name: _COLUMNS[name] for name in columns}, "runs")
    st.caption(f"{len(shown)} of {len(table)} runs. A click on a name opens the run; ticked runs are compared.")
    if ticked:
        _together(ticked)


def _arranged(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows in the order that is chosen, and the columns; the address has both, so that a link shows the same."""
    with st.popover("Order and columns"):
        by = st.selectbox("Sort by", list(_COLUMNS), list(_COLUMNS).index("started"), key="sort", bind="query-params")
        rising = st.toggle("Lowest first", key="rising", bind="query-params")
        others = [name for name in _COLUMNS if name != "run"]
        wanted = st.multiselect("Columns", others, default=others, key="columns", bind="query-params")
    ordered = table.sort_values(by, ascending=rising, kind="stable", na_position="last", ignore_index=True)
    return ordered, ["run", *(name for name in others if name in wanted)]


def _together(ticked: list[str]) -> None:
    """What several runs that are ticked can be looked at for: their comparison, and their curves in one chart."""
    if st.button(f"Compare {len(ticked)} runs", type="primary", disabled=len(ticked) < 2):
        st.switch_page("views/compare.py", query_params={"runs": ",".join(ticked)})
    root = workspace()
    curves = {run: tracking.curves(root, run) for run in ticked}
    there = {name for each in curves.values() for name in each}
    names = [name for name in _CURVES if name in there]
    if not names:
        st.info("None of these runs has recorded a step.")
        return
    name = st.segmented_control("Curve", names, default=names[0], required=True, format_func=_CURVES.__getitem__)
    chart = curve_charts.together(_CURVES[name], name, curves)
    curve_charts.show_curves(chart, organ_colour, f"together-{name}")


def _open_chosen(shown: pd.DataFrame, columns: Mapping[str, Any], key: str) -> list[str]:
    """Draw the runs, and open the one whose name is clicked; gives those that are ticked."""
    choice = choosable(
        shown,
        list(shown["run"]),
        key,
        placeholder="–",
        height="content" if len(shown) <= _ROWS else _ROWS * 36,
        column_config=columns,
        column_order=list(columns),
        selection_mode=["multi-row", "single-cell"],
    )
    if choice.cell and choice.cell[1] == "run":
        st.switch_page("views/run.py", query_params={"run": choice.cell[0]})
    return choice.rows


def _leaderboard(root: Workspace, runs: Sequence[RunSummary]) -> None:
    datasets = leaderboard.evaluated_datasets(runs)
    if not datasets:
        nothing("No run of this workspace is evaluated yet.", "make demo")
        return
    dataset = st.selectbox("Dataset", datasets, key="on", bind="query-params", width=300)
    ours, papers = leaderboard.ours(root, runs, dataset), leaderboard.papers(dataset)
    place, beside = st.columns([3, 2]) if len(papers) else (st.container(), None)
    with place:
        _ours(ours, dataset)
    if beside is None:
        st.info(plain(f"The paper has no results on {dataset}."))
        return
    with beside:
        _paper(papers, dataset)


def _ours(table: pd.DataFrame, dataset: str) -> None:
    st.subheader(plain(f"Ours on {dataset}"))
    _open_chosen(table, _BOARD, "board")
    st.caption(
        f"The {len(table)} best, at most {leaderboard.MOST}: mean over organs and test cases. A click on a name opens "
        "the run. Runs on different splits or numbers of cases are not ranked fairly."
    )
    for reason in table["unread"].dropna():
        st.error(plain(reason), icon=":material/error:")


def _paper(table: pd.DataFrame, dataset: str) -> None:
    st.subheader("The paper's")
    st.dataframe(table, hide_index=True, height="content", placeholder="–", column_config=_PAPER)
    split = " / ".join(str(number or "–") for number in load_paper().splits[dataset])
    st.caption(
        f"As the paper prints them (its Tables 1 and 2), on its own split of {split} cases to train, validate and test "
        "on. A run of ours may be held against them only if its split is the same; the same numbers do not yet make "
        "the same cases."
    )


def _page() -> None:
    with explained():
        root = workspace()
        runs = tracking.runs(root)
        if not runs:
            nothing("No run is recorded in this workspace yet.", "make demo")
            return
        shown = st.segmented_control(
            "Show",
            [_LIST, _BEST],
            default=_LIST,
            required=True,
            label_visibility="collapsed",
            key="show",
            bind="query-params",
        )
        if shown == _BEST:
            _leaderboard(root, runs)
        else:
            _list(runs)


def _refresh_seconds() -> int | None:
    """Only a list that is going to change is read again and again."""
    with explained():
        states = {run.state for run in tracking.runs(workspace())}
        return 10 if not states or states & {tracking.RUNNING, tracking.EVALUATING} else None
    return None


st.title("Runs")
st.fragment(_page, run_every=_refresh_seconds())()
