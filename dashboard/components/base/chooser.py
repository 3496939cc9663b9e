"""A choice that is kept in the address (``?run=…&case=…``), so that every page has a link of its own."""

from collections.abc import Sequence

import streamlit as st

from dashboard.components.base.places import ReadingError, checked_id


def chosen(kind: str, options: Sequence[str], label: str = "", *, label_shown: bool = True) -> str:
    """Let one of ``options`` be chosen: by the address, else the session's last, else the first.

    Args:
        kind: name of the choice, in the address and on the page ("run", "case").
        label: on the page, where that is another; such a choice is remembered by itself.
        label_shown: above the list, or only told to who cannot see it.

    Raises:
        ReadingError: the address names nothing among the options; the list to choose from is on the page.
    """
    memory = f"last_{label or kind}"
    wanted = st.query_params.get(kind) or _last(memory, options)
    index = options.index(wanted) if wanted in options else None
    picked = st.selectbox(
        label or kind.capitalize(),
        options,
        index=index,
        placeholder=f"Choose a {kind}",
        label_visibility="visible" if label_shown else "collapsed",
    )
    if picked is not None and picked != wanted:
        st.query_params[kind] = picked
        st.rerun()
    if wanted not in options:
        raise ReadingError(
            f"There is no {kind} {checked_id(kind, wanted)!r} in this workspace: choose one from the list."
        )
    st.query_params[kind] = st.session_state[memory] = wanted
    return wanted


def several(kind: str, options: Sequence[str]) -> list[str]:
    """Let several of ``options`` be chosen; the address has them in order, separated by commas.

    Args:
        kind: name of the choice, in the address and on the page ("runs").

    Raises:
        ReadingError: the address names something that is not among the options.
    """
    wanted = [name for name in st.query_params.get(kind, "").split(",") if name]
    known = [name for name in wanted if name in options]
    key = f"chosen-{kind}"
    if key not in st.session_state or not set(st.session_state[key]) <= set(options):
        # Not as the default: with another default it is another widget, and a second choice made quickly is lost.
        st.session_state[key] = known
    picked = st.multiselect(kind.capitalize(), options, key=key, placeholder=f"Choose {kind}")
    if picked != known:
        st.query_params[kind] = ",".join(picked)
        return picked
    unknown = [checked_id(kind, name) for name in wanted if name not in options]
    if unknown:
        raise ReadingError(f"{', '.join(unknown)}: not among the {kind} to choose from; the others are compared.")
    return known


def _last(memory: str, options: Sequence[str]) -> str:
    last = str(st.session_state.get(memory))
    return last if last in options else options[0]
