"""The spread of a figure over cases as a box per organ, every case a point that can be clicked."""

import html
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.components.charts.curve_charts import Colour
from dashboard.components.charts.legible import css
from dashboard.components.charts.plotly_charts import show

_VIEWER = "views/viewer.py"


def scores(metrics: pd.DataFrame, column: str, name: str, colour: Callable[[str], Colour]) -> go.Figure:
    """A box per class over its cases, in percent, the class of the lowest Dice first; undefined values are left out.

    Args:
        metrics: rows with ``case``, ``class_id``, ``class_name``, ``dice`` and ``column`` (0 to 1).
        colour: red, green and blue of a class, 0 to 255.
    """
    figure = go.Figure()
    worst_first = metrics.groupby("class_name")["dice"].mean().sort_values(na_position="last").index
    for organ in worst_first:
        known = metrics[metrics["class_name"] == organ].dropna(subset=column)
        _add_box(figure, str(organ), dict(zip(known["case"], 100 * known[column], strict=True)), colour, ".2f")
    _lay_out(figure, name)
    figure.update_xaxes(range=[-2, 102], dtick=20)
    return figure


def differences(found: Mapping[str, Mapping[str, float]], name: str, colour: Callable[[str], Colour]) -> go.Figure:
    """A box per organ over differences by case, with a line at zero.

    Args:
        found: percentage points by organ and case.
    """
    figure = go.Figure()
    for organ, by_case in found.items():
        _add_box(figure, organ, by_case, colour, "+.2f")
    _lay_out(figure, name)
    figure.add_vline(0, line={"width": 1.5, "dash": "dash", "color": "#888888"})
    return figure


def show_cases(figure: go.Figure, key: str, **address: str) -> None:
    """Draw a figure of this module; a click on a case opens it in the viewer, at the organ that was clicked.

    Args:
        address: what the viewer is told beside the case: ``run``, and a second run as ``with``.
    """
    picked = show(figure, key, on_select="rerun", selection_mode="points")
    for point in picked["selection"]["points"]:
        _, case, organ = point["customdata"]
        st.switch_page(_VIEWER, query_params=address | {"case": case, "organ": organ})


def _add_box(
    figure: go.Figure, organ: str, by_case: Mapping[str, float], colour: Callable[[str], Colour], digits: str
) -> None:
    label = html.escape(organ)
    values: list[float | None] = [*by_case.values()]
    figure.add_box(
        x=values or [None],
        y=[f"{label} ({len(by_case)})"] * max(1, len(by_case)),
        orientation="h",
        boxpoints="all",
        pointpos=0,
        jitter=0.5,
        marker={"color": css(colour(organ)), "size": 7},
        line_width=1.5,
        customdata=[[html.escape(case), case, organ] for case in by_case],
        hovertemplate=f"{label}, %{{customdata[0]}}: %{{x:{digits}}}<extra></extra>",
        showlegend=False,
    )


def _lay_out(figure: go.Figure, name: str) -> None:
    axis: dict[str, Any] = {"autorange": "reversed", "automargin": True}
    figure.update_layout(
        title=html.escape(name),
        height=100 + 30 * len(figure.data),
        margin={"l": 8, "r": 16, "t": 48, "b": 8},
        yaxis=axis,
    )
