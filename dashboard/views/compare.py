"""Two or more runs: means per organ, paired differences case by case with their tests, settings that differ."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from autosam_inference.scans.colours import organ_colour
from autosam_platform.evaluation.statistics import Metric
from autosam_platform.evaluation.table import Row
from autosam_platform.workspace import Workspace, workspace
from dashboard.components.base.chooser import several
from dashboard.components.base.messages import explained, nothing
from dashboard.components.base.places import ReadingError, run_folder
from dashboard.components.base.tab import named_tab
from dashboard.components.base.text import plain
from dashboard.components.charts import case_boxes
from dashboard.components.record import comparison, run_files

_METRICS: dict[Metric, str] = {"dice": "Dice", "nsd": "NSD"}
_FACTS = {
    "dataset": "dataset",
    "data_fingerprint": "prepared data (by its fingerprint)",
    "split": "split into training, validation and test cases",
}

Tables = dict[str, list[Row]]


def _read(root: Workspace, runs: list[str]) -> Tables:
    """Metrics of the runs that have some; what is missing or broken is said."""
    tables = {}
    for run_id in runs:
        with explained():
            run = run_folder(root, run_id)
            metrics = run_files.read_metrics(run)
            if metrics is None:
                raise ReadingError(f"{run_id} is not evaluated: python jobs/evaluate.py --run {run_id}")
            if short := run_files.shortfall(run, metrics):
                st.warning(plain(short))
            tables[run_id] = run_files.as_rows(metrics)
    return tables


def _warn(root: Workspace, tables: Tables, shared: Tables) -> None:
    """Whether the runs can be compared: the same data, split and cases."""
    cards = {}
    for run_id in tables:
        with explained():
            cards[run_id] = run_files.read_card(run_folder(root, run_id))
    for fact, name in _FACTS.items():
        told = {run: str(value) for run, card in cards.items() if (value := getattr(card, fact, None))}
        if len(set(told.values())) > 1:
            st.warning(f"The models differ in their {name}: a difference need not come from the models.")
        for run_id in sorted(set(tables) - set(told)):
            st.caption(plain(f"{run_id} does not say its {name}: whether they are the same is not known."))
    common = comparison.cases(next(iter(shared.values())))
    left = {run: len(comparison.cases(rows) - common) for run, rows in tables.items()}
    others = ", ".join(f"{run} {number}" for run, number in left.items() if number)
    days = ", ".join(f"{run} {run_files.evaluated_on(run_folder(root, run))}" for run in tables)
    counted = f"Test cases: {len(common)} cases in common. Evaluated on: {days}."
    st.caption(plain(f"{counted} Left out, since not all have them: {others}." if others else counted))


def _means(even: Tables, metric: Metric, uneven: Mapping[str, int]) -> None:
    st.subheader(f"Mean {_METRICS[metric]} in percent")
    table = comparison.means(even, metric)
    columns: dict[str, Any] = {run: st.column_config.NumberColumn(run, format="%.2f") for run in even}
    columns["organ"] = st.column_config.TextColumn("Organ", pinned=True, width="medium")
    columns["n"] = st.column_config.NumberColumn("n", help="Cases that all these runs have a score for")
    st.dataframe(table, hide_index=True, height="content", placeholder="–", column_config=columns)
    if uneven:
        organs = ", ".join(f"{organ} {number}" for organ, number in uneven.items())
        st.caption(
            plain(
                f"Left out here and below: {sum(uneven.values())} findings of an organ in a case that only some of the "
                f"runs have a score for ({organs}). Where the truth has no such organ, a run that finds one has 0 and "
                "a run that does not has no score."
            )
        )


def _differences(shared: Tables, run_id: str, reference: str, metric: Metric) -> None:
    st.subheader(plain(f"{run_id} − {reference}"))
    try:
        found = comparison.compare(shared[run_id], shared[reference], metric)
    except ValueError as error:
        raise ReadingError(f"{run_id} and {reference}: {error}.") from error
    st.markdown(plain(f"Over cases, each with its mean over organs: {found.together}"))
    picture, table = st.columns([3, 2])
    with picture:
        title = f"{_METRICS[metric]}, points better (right) or worse (left) than the reference"
        figure = case_boxes.differences(found.points(), title, organ_colour)
        case_boxes.show_cases(figure, f"paired-{metric}-{run_id}", **{"run": run_id, "with": reference})
        st.caption("A point is a case, and a number in brackets how many. A click opens the case with both runs.")
    with table:
        _tests(found.table())


def _tests(table: pd.DataFrame) -> None:
    columns = {
        "organ": st.column_config.TextColumn("Organ", pinned=True, width="medium"),
        "n": st.column_config.NumberColumn("n", help="Cases that both runs have a score for"),
        "difference": st.column_config.NumberColumn("Difference", format="%+.2f", help="Points, mean over cases"),
        "p": st.column_config.TextColumn("p", help="Wilcoxon's signed-rank test, two-sided"),
        "corrected": st.column_config.TextColumn("p (Holm)", help="Corrected for so many organs"),
    }
    st.dataframe(table, hide_index=True, height="content", placeholder="–", column_config=columns)
    st.caption(
        "p by itself is of one organ: of twenty organs that do not differ one has p < 0.05 on average. p (Holm) is "
        "corrected for that. With fewer than six cases no p is below 0.05. Where no case differs there is none."
    )


def _settings(root: Workspace, runs: list[str]) -> None:
    st.subheader("Settings that differ")
    with explained():
        configs: Mapping[str, Any] = {run_id: run_files.read_config(run_folder(root, run_id)) for run_id in runs}
        table, same = comparison.differing(configs)
        if table.empty:
            st.info(f"None: all {same} settings are the same.")
            return
        st.dataframe(table, hide_index=True, height="content")
        st.caption(f"{same} others are the same. Those under compute do not change a result.")


def _page() -> None:
    st.title("Compare")
    root = workspace()
    evaluated = [run.name for run in root.run_folders if run.evaluation().metrics.exists()]
    if not evaluated:
        nothing("No run of this workspace is evaluated yet.", "make demo")
        return
    runs: list[str] = []
    with explained():
        runs = several("runs", evaluated)
    named_tab(" and ".join(runs), "Compare")
    if len(runs) < 2:
        st.info("Choose two runs or more. The first is the reference that the others are compared with.")
        return
    tables = _read(root, runs)
    if len(tables) >= 2:
        _compare(root, tables)
    _settings(root, runs)


def _compare(root: Workspace, tables: Tables) -> None:
    shared = comparison.in_common(tables)
    _warn(root, tables, shared)
    if not any(shared.values()):
        st.warning("The runs have no case in common: evaluate them on the same split.")
        return
    metric = st.segmented_control(
        "Metric",
        list(_METRICS),
        default="dice",
        required=True,
        format_func=_METRICS.__getitem__,
        key="metric",
        bind="query-params",
    )
    even, uneven = comparison.equally_scored(shared, metric)
    _means(even, metric, uneven)
    reference, *others = even
    for run_id in others:
        with explained():
            _differences(even, run_id, reference, metric)


_page()
