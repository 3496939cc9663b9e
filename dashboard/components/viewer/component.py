"""The canvas in the page: what the files in ``browser/`` make of an encoded case.

Scrolling, windows, organs and Dice of a slice are computed in the browser, from voxels that are sent once: nothing
that a person does there asks the server.
"""

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent / "browser"
_SCRIPTS = (
    "decode",
    "tally",
    "layers",
    "paint",
    "solid",
    "controls",
    "save",
    "viewer",
)  # one module: only the last exports anything


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_mount = st.components.v2.component(
    "volume_viewer",
    html=_read("viewer.html"),
    css=_read("viewer.css"),
    js="\n".join(_read(f"{name}.js") for name in _SCRIPTS),
)


def volume_viewer(message: bytes, key: str) -> None:
    """Show a message of ``encoding.message``; its header is described in ``case_view.draw_case``."""
    _mount(data=message, key=key)
