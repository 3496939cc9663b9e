"""Tables whose rows are chosen: remembered by what the rows are, since a refresh may put them into another order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from autosam_inference.files import content_hash


@dataclass(frozen=True)
class Choice:
    """What is chosen in a table.

    Attributes:
        rows: ids of the rows, in the order in which they were chosen.
        new: are there any, and others than when the table was drawn last?
        cell: id of the row and name of the column of a cell that is clicked.
    """

    rows: list[str]
    new: bool
    cell: tuple[str, str] | None


def choosable(table: pd.DataFrame, ids: Sequence[str], key: str, **shown: Any) -> Choice:
    """Draw a table and give what is chosen in it.

    The browser knows rows by their numbers alone. With other rows, or another order of them, it is therefore another
    widget, which begins with the rows that were chosen before: so a click on what was drawn earlier chooses nothing
    else.

    Args:
        ids: of the rows, in their order.
        shown: what ``st.dataframe`` is told beside that.
    """
    memory, widget = f"{key}-drawn", f"{key}-{content_hash(list(ids))}"
    drawn_as, drawn_ids, drawn_rows = st.session_state.get(memory, (widget, [], []))
    before = _rows(st.session_state.get(drawn_as), drawn_ids)  # nothing where the page was left meanwhile
    places = {each: row for row, each in enumerate(ids)}
    picked = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_default={"selection": {"rows": [places[each] for each in before if each in places]}},
        key=widget,
        **shown,
    )
    rows = _rows(picked, ids)
    st.session_state[memory] = (widget, list(ids), rows)
    cells = [(ids[row], column) for row, column in picked["selection"]["cells"] if 0 <= row < len(ids)]
    return Choice(rows, bool(rows) and rows != drawn_rows, cells[0] if cells else None)


def _rows(state: Mapping[str, Any] | None, ids: Sequence[str]) -> list[str]:
    """Ids of the rows that a table's state has, but for numbers beyond the table."""
    return [ids[row] for row in state["selection"]["rows"] if 0 <= row < len(ids)] if state else []
