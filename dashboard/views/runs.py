"""All runs of the workspace; a row that is chosen opens its run."""

import pandas as pd
import streamlit as st

from autosam_platform.files import workspace
from dashboard.components import tracked
from dashboard.components.states import explained, nothing

_ROWS = 18  # as many as a laptop's screen has room for
_COLUMNS = {
    "run": st.column_config.TextColumn("Run", pinned=True),
    "dataset": st.column_config.TextColumn("Dataset"),
    "model": st.column_config.TextColumn("Model"),
    "role": st.column_config.TextColumn("Role"),
    "state": st.column_config.TextColumn("State"),
    "epoch": st.column_config.NumberColumn("Epoch"),
    "dice": st.column_config.NumberColumn("Dice", format="%.3f", help="Mean over classes and test cases"),
    "nsd": st.column_config.NumberColumn("NSD", format="%.3f", help="Mean over classes and test cases"),
    "hd95_mm": st.column_config.NumberColumn(
        "HD95 (mm)", format="%.1f", help="Mean over classes and test cases that have it; lower is better"
    ),
    "started": st.column_config.DatetimeColumn("Started (UTC)", format="YYYY-MM-DD HH:mm"),
    "minutes": st.column_config.NumberColumn("Minutes", format="%.1f"),
}


def _table() -> pd.DataFrame:
    rows = [
        {
            "run": run.run_id,
            "dataset": run.dataset,
            "model": run.model,
            "role": run.role,
            "state": run.state,
            "epoch": run.epoch,
            "dice": run.mean_dice,
            "nsd": run.mean_nsd,
            "hd95_mm": run.mean_hd95_mm,
            "started": run.started.replace(tzinfo=None),
            "minutes": seconds / 60 if (seconds := tracked.seconds(run)) is not None else None,
        }
        for run in tracked.runs(workspace())
    ]
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.astype({"epoch": "Int64", "dice": float, "nsd": float, "hd95_mm": float, "minutes": float})


def _filtered(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that a search text and the chosen values of each column let through."""
    search, *choices = st.columns([2, 1, 1, 1, 1])
    text = search.text_input("Search", placeholder="part of a run's name")
    table = table[table["run"].str.contains(text.strip(), case=False, regex=False)]
    for place, name in zip(choices, ("dataset", "model", "role", "state"), strict=True):
        wanted = place.multiselect(name.capitalize(), sorted(table[name].unique()), placeholder="all")
        if wanted:
            table = table[table[name].isin(wanted)]
    return table.reset_index(drop=True)


def _list() -> None:
    with explained():
        table = _table()
        if table.empty:
            nothing("No run is recorded in this workspace yet.", "make demo")
            return
        shown = _filtered(table)
        if shown.empty:
            st.info("No run matches the filters.")
            return
        picked = st.dataframe(
            shown,
            hide_index=True,
            placeholder="–",
            height="content" if len(shown) <= _ROWS else _ROWS * 36,
            column_config=_COLUMNS,
            on_select="rerun",
            selection_mode="single-row",
            key="runs",
        )
        st.caption(f"{len(shown)} of {len(table)} runs. Tick a row to open it; a click on a heading sorts.")
        if picked.selection.rows:
            st.switch_page("views/run.py", query_params={"run": shown["run"].iloc[picked.selection.rows[0]]})


def _refresh_seconds() -> int | None:
    """Only a list that is going to change is read again and again."""
    with explained():
        states = {run.state for run in tracked.runs(workspace())}
        return 10 if not states or tracked.RUNNING in states else None
    return None


st.title("Runs")
st.fragment(_list, run_every=_refresh_seconds())()
