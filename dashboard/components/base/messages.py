"""What every page may say in place of its content: nothing there yet, and something broken."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from autosam_inference.errors import UserError
from dashboard.components.base.terminal import in_terminal
from dashboard.components.base.text import plain


def nothing(what: str, command: str) -> None:
    """Say that there is nothing yet, and which command makes it."""
    st.info(f"{plain(what)} Run this in a terminal:", icon=":material/hourglass_empty:")
    st.code(in_terminal(shlex.split(command)), language="bash", wrap_lines=True)


@contextmanager
def explained() -> Iterator[None]:
    """Show what cannot be read with its reason and remedy, and go on with the rest of the page."""
    try:
        yield
    except UserError as error:
        st.error(plain(error), icon=":material/error:")
