"""What a page under test says, and a choice in one of its tables."""

from collections.abc import Sequence

from streamlit.testing.v1 import AppTest


def texts(elements: object) -> str:
    """The values of some elements of a page, a line each, without the escapes that keep Markdown away."""
    return "\n".join(element.value for element in elements).replace("\\", "")  # type: ignore[attr-defined]


def errors(app: AppTest) -> str:
    """The page's error messages; an exception is none of them."""
    assert not app.exception
    return texts(app.error)


def choose(app: AppTest, key: str, rows: Sequence[int] = (), cell: tuple[int, str] | None = None) -> AppTest:
    """Choose rows, or click on a cell, of the table of this key as it is drawn now."""
    widget = app.session_state[f"{key}-drawn"][0]
    app.session_state[widget] = {"selection": {"rows": list(rows), "columns": [], "cells": [cell] if cell else []}}
    return app.run()
