"""How every chart comes onto a page: as wide as its place, and saved as an SVG by the camera in its corner."""

from typing import Any

import plotly.graph_objects as go
import streamlit as st


def show(figure: go.Figure, key: str, name: str | None = None, **arguments: Any) -> Any:
    """Draw ``figure``; its camera button saves ``name``.svg (``key`` where no name is given)."""
    config = {"displaylogo": False, "toImageButtonOptions": {"format": "svg", "filename": name or key}}
    return st.plotly_chart(figure, key=key, config=config, **arguments)
