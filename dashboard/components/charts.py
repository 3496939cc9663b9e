"""Plotly figures: the curves of a run, and the spread of a metric over cases, organ by organ."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import qualitative

Points = Sequence[tuple[int, float]]
Colour = tuple[int, int, int]

_MOST = 2000  # points of a curve that are sent to the browser
_NOISY = 60  # points from which on a curve of single patches is shown with its running mean
_PLAIN = qualitative.D3  # readable on a light and on a dark page
_PARTS_OF_THE_LOSS = ("dice_loss", "cross_entropy")
_WORDS = {"nsd": "NSD", "dice": "Dice"}


@dataclass(frozen=True)
class Chart:
    """Curves with a common axis, by their names in the legend: organs' names if ``organs``."""

    title: str
    curves: dict[str, Points]
    organs: bool


def grouped(curves: Mapping[str, Points]) -> list[Chart]:
    """The charts of a run's curves: the loss with its parts, Dice by organ, then the rest.

    ``train/loss`` is a curve of the chart "Loss", ``val/dice/liver`` one of the chart "Val Dice".
    """
    charts: dict[str, Chart] = {}
    for key in sorted(curves):
        points = [point for point in curves[key] if point[0] > 0]  # results of an evaluation stand at step 0
        part, quantity, *organ = key.split("/", 2) if "/" in key else ("", key)
        if not points or quantity == "epoch":
            continue
        name = f"{part}_{quantity}" if organ else "loss" if quantity in _PARTS_OF_THE_LOSS else quantity
        label = organ[0] if organ else words(quantity if part == "train" else f"{part}_{quantity}")
        charts.setdefault(name, Chart(words(name), {}, bool(organ))).curves[label] = points
    return [
        charts[name]
        for name in sorted(charts, key=lambda name: ("loss" not in name, not charts[name].organs, name))
    ]


def words(name: str) -> str:
    """``learning_rate`` as ``Learning rate``, ``val_dice`` as ``Val Dice``."""
    first, *rest = (_WORDS.get(word, word) for word in name.strip("_").split("_"))
    return " ".join([first[:1].upper() + first[1:], *rest])


def curve(chart: Chart, revision: str, colour: Callable[[str], Colour]) -> go.Figure:
    """A line for each curve over the optimiser's steps; a noisy one faint, with its running mean.

    Args:
        revision: a zoom survives redrawing as long as this stays the same.
        colour: red, green and blue of an organ, 0 to 255.
    """
    figure = go.Figure()
    for number, (label, points) in enumerate(chart.curves.items()):
        single = chart.organs and label != "mean"
        shade = _css(colour(label)) if single else _PLAIN[number % len(_PLAIN)]
        _add_line(figure, html.escape(label), points, shade, width=1.5 if single else 3)
    beside = {"x": 1.02, "y": 1, "font": {"size": 11}}
    above = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
    figure.update_layout(
        title=html.escape(chart.title),
        xaxis_title="step",
        yaxis_exponentformat="e",
        height=340 if chart.organs else 300,
        margin={"l": 8, "r": 8, "t": 48, "b": 8},
        uirevision=revision,
        showlegend=len(chart.curves) > 1,
        legend=beside if chart.organs else above,
    )
    return figure


def _add_line(figure: go.Figure, label: str, points: Points, colour: str, width: float) -> None:
    table = pd.DataFrame(points, columns=["step", "value"])
    noisy = len(table) >= _NOISY
    if noisy:
        faint = thinned(table)
        figure.add_scatter(
            x=faint["step"],
            y=faint["value"],
            line={"color": colour, "width": 1},
            opacity=0.3,
            hoverinfo="skip",
            showlegend=False,
        )
        table["value"] = table["value"].rolling(len(table) // 20, min_periods=1).mean()
    shown = thinned(table)
    figure.add_scatter(
        x=shown["step"],
        y=shown["value"],
        name=label,
        mode="lines" if noisy else "lines+markers",
        line={"color": colour, "width": width},
        hovertemplate="step %{x}<br>%{y:.4g}" + (" (running mean)" if noisy else ""),
    )


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
