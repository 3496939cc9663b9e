"""A run's relatives and its matched report, on a page."""

from collections.abc import Sequence

import streamlit as st

from autosam_inference.card import ModelCard
from autosam_platform.tracking.reading import RunSummary
from autosam_platform.workspace import RunFolder, Workspace
from dashboard.components.base.messages import explained
from dashboard.components.base.places import run_folder
from dashboard.components.base.text import plain
from dashboard.components.record import run_files, tracking
from dashboard.components.record.leaderboard import split_in_words
from dashboard.components.record.lineage import Relative, relatives, report_means

_REPORT = {
    "model": st.column_config.TextColumn("Model", pinned=True),
    "run": st.column_config.TextColumn("Run"),
    "n_cases": st.column_config.NumberColumn("n", help="Test cases"),
    "dice_percent": st.column_config.NumberColumn("Dice %", format="%.2f"),
    "nsd_percent": st.column_config.NumberColumn("NSD %", format="%.2f"),
    "retention_percent": st.column_config.NumberColumn("% of the teacher's Dice", format="%.1f"),
    "parameters": st.column_config.NumberColumn("Parameters", format="localized"),
    "gflop_per_patch": st.column_config.NumberColumn("GFLOP per patch", format="%.1f"),
    "cpu_seconds_per_scan": st.column_config.NumberColumn("CPU s per scan", format="%.2f"),
    "peak_memory_mb": st.column_config.NumberColumn("Peak memory (MB)", format="%.0f"),
}


def show_lineage(root: Workspace, run_id: str, runs: Sequence[RunSummary]) -> None:
    """Data, split and the runs that this one is tied to, each with a link."""
    st.subheader("Lineage")
    with explained():
        card = run_files.read_card(run_folder(root, run_id))
        st.markdown(plain(_data(card)) if card else "The run has no model yet, which would say what data it is from.")
        roles = {run.run_id: run.role for run in runs}
        for relative in relatives(root, run_id, runs):
            _show(relative, run_id, roles)


def _data(card: ModelCard) -> str:
    known = {"Data": card.dataset, "fingerprint": card.data_fingerprint, "split": split_in_words(card.split)}
    return ", ".join(f"{name} {value}" for name, value in known.items() if value)


def _show(relative: Relative, run_id: str, roles: dict[str, str]) -> None:
    words, link, compare = st.columns([3, 2, 1], vertical_alignment="center")
    words.markdown(plain(f"{relative.relation}{': ' * bool(relative.note)}{relative.note}"))
    name = relative.run_id
    if name not in roles:
        link.markdown(plain(f"{name} (not in this workspace)"))
    elif roles[name] == tracking.SWEEP:
        link.page_link("views/sweeps.py", label=plain(name), query_params={"sweep": name})
    else:
        link.page_link("views/run.py", label=plain(name), query_params={"run": name})
        compare.page_link("views/compare.py", label="Compare", query_params={"runs": f"{name},{run_id}"})


def show_report(run: RunFolder) -> None:
    """The matched report of a distillation, where the run has one."""
    with explained():
        table = report_means(run)
        if table is None:
            return
        st.subheader("Student, twin and teacher on the same cases")
        columns = [name for name in _REPORT if name in table]
        st.dataframe(table, hide_index=True, placeholder="–", column_config=_REPORT, column_order=columns)
        if run.report_picture.exists():
            st.image(run.report_picture, width=900)
