"""The data at a glance, before anything is trained on it: every case in three planes, its HU, its verdict."""

import streamlit as st

from autosam_platform.workspace import workspace
from dashboard.components.base.chooser import chosen
from dashboard.components.base.messages import explained, nothing
from dashboard.components.base.tab import named_tab
from dashboard.components.base.text import plain
from dashboard.components.record.sheet_files import Sheet, read_sheet, sheets

_PICTURES = 8  # a page of them
_STATES = ("rejected", "fixed", "ok")
_COLUMNS = {
    "case": st.column_config.TextColumn("Case", pinned=True),
    "status": st.column_config.TextColumn("Verdict"),
    "splits": st.column_config.TextColumn("Split"),
    "voxels": st.column_config.TextColumn("Voxels", help="Depth × height × width, prepared"),
    "spacing_mm": st.column_config.TextColumn("Spacing, mm", help="Depth × height × width, prepared"),
    "reasons": st.column_config.TextColumn("What was put right, looks odd, or is wrong", width="large"),
}


def _counts(sheet: Sheet) -> None:
    counts = sheet.cases["status"].value_counts()
    places = st.columns(len(_STATES) + 1)
    places[0].metric("Cases", len(sheet.cases))
    for place, state in zip(places[1:], _STATES, strict=True):
        place.metric(state.capitalize(), int(counts.get(state, 0)))


def _cases(sheet: Sheet) -> None:
    wanted = st.pills("Verdict", _STATES, selection_mode="multi", default=_STATES)
    shown = sheet.cases[sheet.cases["status"].isin(wanted)]
    st.dataframe(shown.drop(columns="picture"), column_config=_COLUMNS, hide_index=True)
    pages = max(1, -(-len(shown) // _PICTURES))
    page = st.number_input(f"Pictures, page of {pages}", 1, pages, 1) if pages > 1 else 1
    st.caption("Radiological convention: the patient's right is at the left side of axial and coronal pictures.")
    for row in shown.iloc[(page - 1) * _PICTURES : page * _PICTURES].itertuples():
        st.markdown(f"**{plain(row.case)}** · {plain(row.status)} · {plain(row.splits)}")
        if row.reasons:
            st.warning(plain(row.reasons))
        picture = sheet.picture(row.picture)
        if picture is not None:
            st.image(picture)


def _page() -> None:
    st.title("Data")
    root = workspace()
    known = sheets(root)
    if not known:
        nothing("No dataset of this workspace was looked at yet.", "python jobs/prepare.py")
        return
    with explained():
        sheet = read_sheet(known[chosen("dataset", list(known))], root)
        named_tab(sheet.title, "Data")
        st.subheader(plain(f"{sheet.title} ({sheet.name})"))
        _counts(sheet)
        for note in sheet.notes:
            st.warning(plain(note))
        _cases(sheet)


_page()
