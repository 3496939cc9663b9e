"""Plotly figures: the curves of a run, and the spread of a metric over cases, organ by organ."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import qualitative

Points = Sequence[tuple[int, float]]
Colour = tuple[int, int, int]
Kind = Literal["organs", "measured", "planned"]

_MOST = 2000  # points of a curve that are sent to the browser
_NOISY = 60  # points from which on a curve of single patches is shown with its running mean
_PLAIN = qualitative.D3  # readable on a light and on a dark page
_PARTS_OF_THE_LOSS = ("dice_loss", "cross_entropy")
_BESIDE = {"x": 1.02, "y": 1, "font": {"size": 10}}
_ABOVE = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
_WORDS = {"nsd": "NSD", "dice": "Dice"}


@dataclass(frozen=True)
class Chart:
    """Curves with a common axis, by their names in the legend.

    ``organs`` are drawn in their colours; ``measured`` is noisy, since patches differ, and ``planned`` is not.
    """

    title: str
    curves: dict[str, Points]
    kind: Kind


def grouped(curves: Mapping[str, Points]) -> list[Chart]:
    """The charts of a run's curves: the loss with its parts, Dice by organ, then the rest.

    ``train/loss`` is a curve of the chart "Loss", ``val/dice/liver`` one of the chart "Val Dice".
    """
    charts: dict[str, Chart] = {}
    for key in sorted(curves):
        points = [point for point in curves[key] if point[0] > 0]  # results of an evaluation stand at step 0
        part, quantity, *organ = key.split("/", 2) if "/" in key else ("", key)
        if points and part != "test" and quantity != "epoch":
            name = f"{part}_{quantity}" if organ else "loss" if quantity in _PARTS_OF_THE_LOSS else quantity
            label = organ[0] if organ else words(quantity if part == "train" else f"{part}_{quantity}")
            kind: Kind = "organs" if organ else "planned" if quantity == "learning_rate" else "measured"
            charts.setdefault(name, Chart(words(name), {}, kind)).curves[label] = points
    return sorted(charts.values(), key=lambda chart: ("Loss" not in chart.title, chart.kind != "organs", chart.title))


def words(name: str) -> str:
    """``learning_rate`` as ``Learning rate``, ``val_dice`` as ``Val Dice``."""
    first, *rest = (_WORDS.get(word, word) for word in name.strip("_").split("_"))
    return " ".join([first[:1].upper() + first[1:], *rest])


def curve(chart: Chart, colour: Callable[[str], Colour]) -> go.Figure:
    """A line for each curve over the optimiser's steps; a noisy one faint, with its running mean.

    Args:
        colour: red, green and blue of an organ, 0 to 255.
    """
    figure = go.Figure()
    for number, (label, points) in enumerate(chart.curves.items()):
        single = chart.kind == "organs" and label != "mean"
        shade = _css(colour(label)) if single else _PLAIN[number % len(_PLAIN)]
        table = pd.DataFrame(points, columns=["step", "value"])
        if chart.kind == "measured" and len(table) >= _NOISY:
            _add_line(figure, "", table, line={"color": shade, "width": 1}, opacity=0.3, showlegend=False)
            table["value"] = table["value"].rolling(len(table) // 20, min_periods=1, center=True).mean()
        _add_line(figure, html.escape(label), table, line={"color": shade, "width": 1.5 if single else 3})
    figure.update_layout(
        title=html.escape(chart.title),
        xaxis_title="step",
        yaxis_exponentformat="e",
        height=360,
        margin={"l": 8, "r": 8, "t": 48, "b": 8},
        showlegend=len(chart.curves) > 1,
        legend=_BESIDE if chart.kind == "organs" else _ABOVE,
    )
    return figure


def _add_line(figure: go.Figure, label: str, table: pd.DataFrame, **style: Any) -> None:
    shown = thinned(table)
    mode = "lines+markers" if len(shown) < _NOISY else "lines"
    hover = "step %{x}<br>%{y:.4g}"
    figure.add_scatter(x=shown["step"], y=shown["value"], name=label, mode=mode, hovertemplate=hover, **style)


def thinned(table: pd.DataFrame) -> pd.DataFrame:
    """Evenly spaced rows, the last one among them, where there are more than a chart can show."""
    stride = -(-len(table) // _MOST)
    return table.iloc[(len(table) - 1) % stride :: stride] if stride > 1 else table


def _css(colour: Colour) -> str:
    return f"rgb{colour}"


def spread(metrics: pd.DataFrame, column: str, name: str, colour: Callable[[str], Colour]) -> go.Figure:
    """A box per class over its cases, each case a point that tells its id; undefined values are left out.

    Args:
        metrics: rows with ``case``, ``class_id``, ``class_name`` and ``column`` (0 to 1).
        colour: red, green and blue of a class, 0 to 255.
    """
    figure = go.Figure()
    for (_, organ), rows in metrics.groupby(["class_id", "class_name"], sort=True):
        known = rows.dropna(subset=column)
        label = html.escape(str(organ))
        figure.add_box(
            x=known[column] if len(known) else [None],
            y=[f"{label} ({len(known)})"] * max(1, len(known)),
            orientation="h",
            boxpoints="all",
            pointpos=0,
            jitter=0.5,
            marker={"color": f"rgb{colour(str(organ))}", "size": 5},
            line_width=1.5,
            customdata=[html.escape(case) for case in known["case"]],
            hovertemplate=f"{label}, %{{customdata}}: %{{x:.3f}}<extra></extra>",
            showlegend=False,
        )
    figure.update_layout(
        title=html.escape(name),
        height=100 + 30 * len(figure.data),
        margin={"l": 8, "r": 16, "t": 48, "b": 8},
        xaxis={"range": [-0.02, 1.02], "dtick": 0.2},
        yaxis={"autorange": "reversed", "automargin": True},
    )
    return figure
