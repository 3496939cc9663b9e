"""One study: how far it is, its table beside the paper's, its figure, and the runs that it is made of."""

import mimetypes
from pathlib import Path

import pandas as pd
import streamlit as st

from autosam_platform.locks import is_locked
from autosam_platform.studies.results import StudyResults, read_results
from autosam_platform.studies.table import headers, lines, notes, row_title, title_of
from autosam_platform.workspace import StudyFolder, workspace
from dashboard.components.base.chooser import chosen
from dashboard.components.base.messages import explained, nothing
from dashboard.components.base.places import inside
from dashboard.components.base.tab import named_tab
from dashboard.components.base.text import plain

_PAGE_OF_RUN = "views/run.py"


def _progress(results: StudyResults, folder: StudyFolder) -> None:
    asked = [cell for cell in results.cells if cell.whole or not cell.reason.startswith("not asked for")]
    if results.done >= len(asked):
        return
    left = f"{results.done} of {len(asked)} cells are made"
    if is_locked(folder.lock):
        st.progress(results.done / len(asked), text=f"{left}; this page follows them.")
    else:
        st.warning(f"{left}, and no process of this machine makes the others: the command that began it continues it.")


def _table(results: StudyResults) -> None:
    names = ["System", *headers(results)[1:]]
    table = pd.DataFrame(lines(results), columns=names)
    pinned = {"System": st.column_config.Column(pinned=True)}
    st.dataframe(table, hide_index=True, height="content", column_config=pinned)


def _runs(results: StudyResults) -> None:
    made = [
        {
            "System": row_title(results, cell.row),
            "Column": title_of(results, cell.column),
            "Training": member.label or "–",
            "Run": member.run,
            "Dice %": None if member.dice is None else 100 * member.dice,
            "Minutes": None if member.seconds is None else member.seconds / 60,
        }
        for cell in results.cells
        for member in cell.members
    ]
    if not made:
        return
    st.subheader("Runs")
    numbers = {name: st.column_config.NumberColumn(format=f"%.{digits}f") for name, digits in _DIGITS.items()}
    picked = st.dataframe(
        pd.DataFrame(made),
        hide_index=True,
        placeholder="–",
        column_config=numbers,
        on_select="rerun",
        selection_mode="single-row",
        key=f"runs-{results.name}",
    )
    st.caption("Tick a row to open the run.")
    if picked.selection.rows:
        st.switch_page(_PAGE_OF_RUN, query_params={"run": made[picked.selection.rows[0]]["Run"]})


_DIGITS = {"Dice %": 2, "Minutes": 1}


def _files(folder: StudyFolder) -> None:
    files = folder.files
    if not files:
        return
    for place, path in zip(st.columns(len(files)), files, strict=True):
        place.download_button(
            _name(path), path.read_bytes, path.name, _kind(path), width="stretch", key=f"get-{path.name}"
        )


def _name(path: Path) -> str:
    return path.suffix.removeprefix(".").upper()


def _kind(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _study(folder: StudyFolder, drawn_over: bool) -> None:
    with explained():
        results = read_results(folder.results)
        st.subheader(plain(results.study.title))
        st.markdown(plain(results.study.about))
        if results.has_table:
            _progress(results, folder)
            _table(results)
        for note in notes(results):
            st.caption(plain(note))
        if folder.figure.exists():
            st.image(str(folder.figure))
        _files(folder)
        _runs(results)
        if not drawn_over and not is_locked(folder.lock):
            st.rerun()  # nothing changes any more


def _page() -> None:
    st.title("Studies")
    root = workspace()
    names = [study.name for study in root.studies]
    if not names:
        nothing("There is no study in this workspace yet.", "python jobs/study.py table4")
        return
    with explained():
        folder = root.study(chosen("study", names))
        named_tab(folder.name, "Study")
        inside(folder.folder, [root.folder])
        over = not is_locked(folder.lock)
        st.fragment(_study, run_every=None if over else 5)(folder, over)


_page()
