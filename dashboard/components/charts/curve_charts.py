"""The curves of a run as charts that keep a zoom while the run goes on.

They are Vega's: when a curve grows, Streamlit hands the new points to the chart that stands on the page. A Plotly chart
it would make anew, which undoes a zoom.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import streamlit as st
from plotly.colors import hex_to_rgb, qualitative

from dashboard.components.charts.legible import css

Points = Sequence[tuple[int, float]]
Colour = tuple[int, int, int]
Kind = Literal["organs", "measured", "planned"]
Spec = dict[str, Any]

ZOOM = "zoom"
"""Name of the zoom in a chart: Streamlit leaves alone what it is told to listen to, and undoes other zooms."""

_MOST = 1000  # points of a curve that are sent to the browser
_HOVERED = 200  # of them so many tell their value
_FEW = 60  # points up to which each is marked; from there on one of single patches is shown with its running mean
_PLAIN = [css(hex_to_rgb(each)) for each in qualitative.D3]
_PARTS_OF_THE_LOSS = ("dice_loss", "cross_entropy", "segmentation_loss", "distillation_loss")
_COUNTS = ("epoch", "seconds")  # they only go up; the page has the last one as a figure
_SHARES = ("dice", "nsd")
_WORDS = {"nsd": "NSD", "dice": "Dice", "val": "Validation"}
_TITLES = {"wait_share": "Share of time waiting for data", "step_seconds": "Seconds per step"}


@dataclass(frozen=True)
class Chart:
    """Curves with a common axis, by their names in the legend.

    ``organs`` are drawn in their colours; ``measured`` is noisy, since patches differ, and ``planned`` is not.
    """

    title: str
    curves: dict[str, Points]
    kind: Kind


def grouped(curves: Mapping[str, Points], validated: int | None = None) -> list[Chart]:
    """The charts of a run's curves: the loss with its parts, Dice by organ in percent, then the rest.

    ``train/loss`` is a curve of the chart "Loss", ``val/dice/liver`` one of the chart "Validation Dice %".

    Args:
        validated: cases that the validations are means over, where that is known.
    """
    charts: dict[str, Chart] = {}
    counted = "" if validated is None else f", n = {validated} cases"
    for key in sorted(curves):
        points = [point for point in curves[key] if point[0] > 0]  # results of an evaluation stand at step 0
        part, quantity, *organ = key.split("/", 2) if "/" in key else ("", key)
        if points and part not in ("test", "evaluation-val", "evaluation-train") and quantity not in _COUNTS:
            name = f"{part}_{quantity}" if organ else "loss" if quantity in _PARTS_OF_THE_LOSS else quantity
            label = organ[0] if organ else words(quantity if part == "train" else f"{part}_{quantity}")
            kind: Kind = "organs" if organ else "planned" if quantity == "learning_rate" else "measured"
            if quantity in _SHARES:
                points = [(step, 100 * value) for step, value in points]
            title = f"{words(name)}{' %' * (quantity in _SHARES)}{counted * (part == 'val')}"
            charts.setdefault(name, Chart(title, {}, kind)).curves[label] = points
    return sorted(charts.values(), key=lambda chart: ("Loss" not in chart.title, chart.kind != "organs", chart.title))


def together(title: str, key: str, curves: Mapping[str, Mapping[str, Points]]) -> Chart:
    """One curve of several runs in one chart, by the runs' names; a run that has none is left out.

    Args:
        key: of the curve in the record, such as ``val/dice/mean``.
        curves: of each run.
    """
    factor = 100 if key.split("/")[1] in _SHARES else 1
    points = {run: [(step, factor * value) for step, value in each[key]] for run, each in curves.items() if key in each}
    return Chart(title, points, "planned" if key == "train/learning_rate" else "measured")


def words(name: str) -> str:
    """``learning_rate`` as ``Learning rate``, ``val_dice`` as ``Validation Dice``."""
    if name in _TITLES:
        return _TITLES[name]
    first, *rest = (_WORDS.get(word, word) for word in name.strip("_").split("_"))
    return " ".join([first[:1].upper() + first[1:], *rest])


def show_curves(chart: Chart, colour: Callable[[str], Colour], key: str) -> None:
    """Draw a chart, whose zoom stays under ``key``.

    Args:
        colour: red, green and blue of an organ, 0 to 255.
    """
    st.vega_lite_chart(table(chart), spec(chart, colour), key=key, on_select="rerun", selection_mode=ZOOM)


def table(chart: Chart) -> pd.DataFrame:
    """A row per point: ``curve``, ``step``, ``value`` and its running mean ``smooth``.

    ``told`` are the points that say their value, ``marked`` those that are seen as such.
    """
    parts = []
    for label, points in chart.curves.items():
        part = pd.DataFrame(points, columns=["step", "value"]).astype({"value": float})
        noisy = chart.kind == "measured" and len(part) >= _FEW
        mean = part["value"].rolling(max(1, len(part) // 20), min_periods=1, center=True).mean()
        part = thinned(part.assign(curve=label, smooth=mean if noisy else part["value"]))
        stride = -(-len(part) // _HOVERED)
        parts.append(part.assign(marked=len(part) < _FEW, told=[row % stride == 0 for row in range(len(part))]))
    return pd.concat(parts, ignore_index=True)


def thinned(table: pd.DataFrame) -> pd.DataFrame:
    """Evenly spaced rows, the last one among them, where there are more than a chart can show."""
    stride = -(-len(table) // _MOST)
    return table.iloc[(len(table) - 1) % stride :: stride] if stride > 1 else table


def spec(chart: Chart, colour: Callable[[str], Colour]) -> Spec:
    """The chart in Vega-Lite, without its points: a line per curve, a noisy one faint under its running mean."""
    names = list(chart.curves)
    single = [chart.kind == "organs" and name != "mean" for name in names]
    shades = [
        css(colour(name)) if one else _PLAIN[index % len(_PLAIN)]
        for index, (name, one) in enumerate(zip(names, single, strict=True))
    ]
    beside = {"orient": "right", "labelFontSize": 11, "rowPadding": 0} if chart.kind == "organs" else {"orient": "top"}
    layers = [_line("smooth", 1.5 if chart.kind == "organs" else 2.5, 1.0), _dots()]
    if chart.kind == "organs":
        layers.insert(1, {"transform": [{"filter": "datum.curve === 'mean'"}], **_line("smooth", 4, 1.0)})
    if chart.kind == "measured":
        layers.insert(0, _line("value", 1, 0.3))
    layers[0]["params"] = [
        {"name": ZOOM, "bind": "scales", "select": {"type": "interval", "zoom": "wheel![event.ctrlKey]"}}
    ]
    return {
        "title": chart.title,
        "height": 340,
        "encoding": {
            "x": {
                "field": "step",
                "type": "quantitative",
                "title": "step",
                "scale": {"nice": False, "zero": False},
                "axis": {"format": ",d", "tickMinStep": 1},
            },
            "color": {
                "field": "curve",
                "type": "nominal",
                "scale": {"domain": names, "range": shades},
                "legend": {"title": None, "symbolType": "stroke", "symbolOpacity": 1} | beside
                if len(names) > 1
                else None,
            },
        },
        "layer": layers,
    }


def _line(field: str, width: float, opacity: float) -> Spec:
    return {
        "mark": {"type": "line", "clip": True, "strokeWidth": width, "opacity": opacity},
        "encoding": {"y": _height(field)},
    }


def _dots() -> Spec:
    """Points to hover over; seen where there are few."""
    told = [
        {"field": "curve", "title": "curve"},
        {"field": "step", "title": "step"},
        {"field": "value", "title": "value", "format": ".4~g"},
    ]
    return {
        "transform": [{"filter": "datum.told"}],
        "mark": {"type": "point", "clip": True, "filled": True, "size": 30},
        "encoding": {
            "y": _height("smooth"),
            "tooltip": told,
            "opacity": {"condition": {"test": "datum.marked", "value": 1}, "value": 0},
        },
    }


def _height(field: str) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False},
        "axis": {"format": ".3~g"},
    }
