"""Plotly figures of a sweep: its curve, parallel coordinates, scatter, importances, the front, how trials went."""

import html
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from autosam_platform.tuning.trials import DICE, SIZE
from dashboard.components.record.sweep_files import LEFT, Parameter, SweepRecord

_OURS, _PAPERS, _FAINT = qualitative.D3[0], "#888888", "rgba(128, 128, 128, 0.6)"
_NAMED = 8  # values of an axis that have room for a label each
_MARGIN = {"l": 8, "r": 8, "t": 48, "b": 8}
_VAL_DICE = "mean Dice %, validation cases"


def is_number(trials: pd.DataFrame, parameter: Parameter) -> bool:
    """Are the values of a parameter numbers, so that an axis can hold them?"""
    values = trials[parameter.name]
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def curve(record: SweepRecord, parameter: Parameter, paper: Mapping[float, float] | None = None) -> go.Figure:
    """Dice of the finished trials over the only parameter; beside it the paper's, on axes of its own.

    Args:
        paper: mean Dice in percent by value, of the paper's model on the paper's data.
    """
    table = record.finished.dropna(subset=DICE).sort_values(parameter.name)
    ours = html.escape(f"ours: {record.description.model} on {record.description.dataset}")
    titles = [ours, "the paper's Table 4: SwinUNETR-Small on BTCV"] if paper else [ours]
    figure = make_subplots(cols=len(titles), subplot_titles=titles)
    _add_curve(figure, table[parameter.name].tolist(), (100 * table[DICE]).tolist(), _OURS, 1, table["trial"].tolist())
    if paper:
        _add_curve(figure, list(paper), list(paper.values()), _PAPERS, 2)
        figure.update_yaxes(title="mean Dice %, test cases", col=2)
    figure.update_yaxes(title=_VAL_DICE, col=1)
    figure.update_xaxes(title=html.escape(parameter.label), type="log" if parameter.log else "linear")
    return figure.update_layout(height=380, margin=_MARGIN, showlegend=False)


def _add_curve(
    figure: go.Figure, x: list[float], y: list[float], colour: str, column: int, trials: list[int] | None = None
) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers+text",
        text=[f"{value:.1f}" for value in y],
        textposition="top center",
        cliponaxis=False,
        line={"color": colour},
        customdata=trials,
        hovertemplate=("trial %{customdata}<br>" if trials else "") + "%{x:.4g}: Dice %{y:.2f} %<extra></extra>",
        row=1,
        col=column,
    )


def parallel(record: SweepRecord) -> go.Figure:
    """A line per trial with a Dice across all parameters, coloured by its Dice (Viridis: readable to all)."""
    table = record.table.dropna(subset=DICE)
    axes = [_axis(table, parameter) for parameter in record.parameters]
    if SIZE in record.description.objectives:
        axes.append({"label": "trained (M)", "values": table[SIZE] / 1e6})
    percent = 100 * table[DICE]
    axes.append({"label": "Dice %", "values": percent})
    line = {"color": percent, "colorscale": "Viridis", "showscale": True, "colorbar": {"title": "Dice %"}}
    figure = go.Figure(go.Parcoords(line=line, dimensions=axes, unselected={"line": {"opacity": 0.08}}))
    return figure.update_layout(height=420, margin={"l": 80, "r": 40, "t": 64, "b": 24})


def _axis(table: pd.DataFrame, parameter: Parameter) -> dict[str, object]:
    """Few numbers are named where they lie; choices, and numbers that are searched by magnitude, stand evenly."""
    label, values = html.escape(parameter.name.rpartition(".")[2]), table[parameter.name]
    number = is_number(table, parameter)
    shown = sorted(values.unique()) if number else sorted(map(str, values.unique()))
    if number and not parameter.log:
        return {"label": label, "values": values} | ({"tickvals": shown} if len(shown) <= _NAMED else {})
    places = values.map(shown.index) if number else values.map(str).map(shown.index)
    ticks = [f"{each:.3g}" if number else html.escape(each) for each in shown]
    return {"label": label, "values": places, "tickvals": list(range(len(shown))), "ticktext": ticks}


def scatter(record: SweepRecord, parameter: Parameter) -> go.Figure:
    """Dice over one parameter, a point per trial; those that were stopped early are open."""
    figure = go.Figure()
    for state, symbol in (
        ("finished", "circle"),
        ("stopped", "circle-open"),
        ("running", "x-thin-open"),
        (LEFT, "x-thin-open"),
    ):
        rows = record.table[record.table["state"] == state].dropna(subset=DICE)
        values = rows[parameter.name] if is_number(record.table, parameter) else rows[parameter.name].map(str)
        _add_points(figure, values, rows, state, {"symbol": symbol, "size": 10, "color": _OURS})
    figure.update_xaxes(title=html.escape(parameter.label), type="log" if parameter.log else None)
    figure.update_yaxes(title=_VAL_DICE)
    return figure.update_layout(height=380, margin=_MARGIN, title=None, legend={"orientation": "h", "y": 1.12})


def front(record: SweepRecord) -> go.Figure:
    """Dice over trained parameters; the Pareto front joined."""
    rows, best = record.finished.dropna(subset=[DICE, SIZE]), record.front
    figure = go.Figure()
    _add_points(figure, rows[SIZE] / 1e6, rows, "trial", {"color": _FAINT, "size": 10})
    _add_points(figure, best[SIZE] / 1e6, best, "Pareto front", {"color": _OURS, "size": 11}, "lines+markers+text")
    figure.update_xaxes(title="trained parameters, millions")
    figure.update_yaxes(title=_VAL_DICE)
    return figure.update_layout(height=420, margin=_MARGIN, legend={"orientation": "h", "y": 1.1})


def _add_points(
    figure: go.Figure, x: pd.Series, rows: pd.DataFrame, name: str, marker: dict[str, object], mode: str = "markers"
) -> None:
    figure.add_scatter(
        x=x,
        y=100 * rows[DICE],
        name=name,
        mode=mode,
        marker=marker,
        text=rows["trial"],
        textposition="top center",
        customdata=[html.escape(run) for run in rows["run"]],
        hovertemplate="trial %{text} (%{customdata})<br>%{x}: Dice %{y:.2f} %<extra></extra>",
    )


def importances(record: SweepRecord) -> go.Figure:
    """A bar per parameter, the largest share on top."""
    shares = sorted(record.importances.importances.items(), key=lambda item: item[1])
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in shares],
            y=[html.escape(name.rpartition(".")[2]) for name, _ in shares],
            orientation="h",
            text=[f"{share:.2f}" for _, share in shares],
            textposition="outside",
            marker_color=_OURS,
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="share of the variance of the validation Dice (fANOVA)", range=[0, 1.1])
    return figure.update_layout(height=120 + 40 * len(shares), margin=_MARGIN)


def courses(record: SweepRecord) -> go.Figure:
    """Validation Dice of each trial as it was reported; a trial that was stopped early ends in a cross."""
    figure = go.Figure()
    for row in record.table.itertuples():
        points = [(epoch, 100 * dice) for epoch, dice in row.validations]
        if points:
            epochs, dice = zip(*points, strict=True)
            last = "x" if row.state == "stopped" else "circle"
            figure.add_scatter(
                x=epochs,
                y=dice,
                name=f"trial {row.trial}",
                mode="lines+markers",
                marker={"symbol": ["circle"] * (len(points) - 1) + [last], "size": [4] * (len(points) - 1) + [10]},
                hovertemplate=f"trial {row.trial}, epoch %{{x}}: %{{y:.2f}} %<extra></extra>",
            )
    figure.update_xaxes(title="epoch", rangemode="tozero")
    figure.update_yaxes(title=_VAL_DICE)
    return figure.update_layout(height=380, margin=_MARGIN, uirevision=record.name)
