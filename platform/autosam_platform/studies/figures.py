"""The figure of a study: its numbers beside the paper's, as points, as a curve or as bars."""

import itertools
import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autosam_platform.evaluation.pictures import DPI, save_figure
from autosam_platform.studies.description import FigureKind
from autosam_platform.studies.results import StudyResults
from autosam_platform.studies.table import NAMES, number, row_title, title_of

_LETTERS = 9.5  # of a title in an inch
_PANEL = 4.8  # inches of one with bars
_OURS, _PAPER = "tab:blue", "0.45"


def save_figures(results: StudyResults, places: Sequence[Path]) -> None:
    """Draw the numbers of a study into files, PNG or SVG by their names; nothing where there is no number yet.

    The kinds of figures that show scans are drawn elsewhere: ``slices``, ``embeddings``.
    """
    draw = _DRAWN.get(results.study.figure)
    if draw is None or not any(cell.members for cell in results.cells):
        return
    figure = draw(results)
    for place in places:
        save_figure(figure, place)


def _dots(results: StudyResults) -> Figure:
    """A panel per column and metric: a row's mean with its spread, the paper's beside it.

    Metrics are below one another; those of a single column beside one another.
    """
    metrics, columns, rows = results.study.metrics, list(results.columns), list(results.study.rows)
    down, across = (len(metrics), len(columns)) if len(columns) > 1 else (1, len(metrics))
    size = 1.6 + 3.1 * across, 1.0 + down * (1.0 + 0.36 * len(rows))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    _entitle(figure, results.study.title)
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    at = list(range(len(rows)))
    for (metric, column), panel in zip(itertools.product(metrics, columns), panels.flat, strict=True):
        found = [number(results, row, column, metric) for row in rows]
        _with_spread(panel, [each.ours for each in found], at, [each.spread for each in found])
        papers = [each.paper for each in found]
        if not all(map(math.isnan, papers)):
            panel.scatter(papers, at, marker="D", s=34, facecolor="none", edgecolor=_PAPER, label="paper", zorder=3)
        panel.set_yticks(at, [row_title(results, row) for row in rows])
        panel.set_xlabel(f"{NAMES[metric]} %")
        panel.set_title(title_of(results, column), fontsize=10)
        panel.grid(axis="x", color="0.9")
        panel.set_axisbelow(True)
        panel.margins(x=0.12)
    panels[0][0].set_ylim(len(rows) - 0.5, -0.7)  # of all panels, the first row above, with room for its number
    _legend(figure, panels[0][0])
    return figure


def _curve(results: StudyResults) -> Figure:
    """The metric over ``Row.at``, a panel per column, ours with its spread; the paper's in a panel of its own scale."""
    study = results.study
    metric, columns = study.metrics[0], list(results.columns)
    ordered = sorted(study.rows, key=lambda row: study.rows[row].at or 0.0)
    at = [study.rows[row].at or 0.0 for row in ordered]
    found = {column: [number(results, row, column, metric) for row in ordered] for column in columns}
    papers = [column for column in columns if not all(math.isnan(each.paper) for each in found[column])]
    figure = Figure(figsize=(4.6 * (len(columns) + len(papers)), 3.8), dpi=DPI, layout="constrained")
    _entitle(figure, study.title)
    panels = iter(figure.subplots(1, len(columns) + len(papers), squeeze=False)[0])
    for column in columns:
        title = title_of(results, column)
        _line(next(panels), at, [each.ours for each in found[column]], [each.spread for each in found[column]], title)
        if column in papers:
            numbers = [each.paper for each in found[column]]
            theirs = f"{results.columns[column].title or column}: the paper's"  # which is of real bodies
            _line(next(panels), at, numbers, [math.nan] * len(at), theirs, colour=_PAPER)
    for panel in figure.axes:
        panel.set_xlabel(study.axis)
        panel.set_ylabel(f"mean {NAMES[metric]} %")
    return figure


def _bars(results: StudyResults) -> Figure:
    """Rows as groups of bars, a bar per column, each with its number and spread; a panel per metric."""
    study, columns, rows = results.study, list(results.columns), list(results.study.rows)
    figure = Figure(figsize=(_PANEL * len(study.metrics), 3.8), dpi=DPI, layout="constrained")
    _entitle(figure, study.title)
    panels = figure.subplots(1, len(study.metrics), squeeze=False)[0]
    width = 0.8 / len(columns)
    for metric, panel in zip(study.metrics, panels, strict=True):
        for index, column in enumerate(columns):
            found = [number(results, row, column, metric) for row in rows]
            heights = [0.0 if math.isnan(each.ours) else each.ours for each in found]
            at = np.arange(len(rows)) + (index - (len(columns) - 1) / 2) * width
            spreads = [0.0 if math.isnan(each.spread) else each.spread for each in found]
            bars = panel.bar(at, heights, width * 0.92, yerr=spreads if any(spreads) else None, capsize=3)
            bars.set_label(title_of(results, column))
            panel.bar_label(bars, [each.own for each in found], padding=2, fontsize=8)
        panel.set_xticks(range(len(rows)), [_in_lines(row_title(results, row), len(rows)) for row in rows])
        panel.set_ylabel(f"mean {NAMES[metric]} %")
        panel.margins(y=0.14)
        panel.grid(axis="y", color="0.9")
        panel.set_axisbelow(True)
    _legend(figure, panels[0])
    return figure


def _entitle(figure: Figure, title: str) -> None:
    """A title over all panels, in as many lines as it needs: one that is too long would be cut at both ends."""
    lines = textwrap.wrap(title, width=int(_LETTERS * figure.get_figwidth()))
    figure.suptitle("\n".join(lines), fontsize=12, weight="bold")


def _in_lines(name: str, beside: int) -> str:
    """The name of one of so many groups of bars, as narrow as the group, with its small network below it."""
    parts = name.replace(" (here", "\n(here").split("\n")
    return "\n".join(textwrap.fill(part, width=int(_PANEL * _LETTERS / beside)) for part in parts)


def _with_spread(panel: Axes, values: Sequence[float], at: Sequence[float], spreads: Sequence[float]) -> None:
    known = [0.0 if math.isnan(each) else each for each in spreads]
    panel.errorbar(
        values, at, xerr=known if any(known) else None, fmt="o", color=_OURS, capsize=3, label="ours", zorder=4
    )
    for value, place in zip(values, at, strict=True):
        if not math.isnan(value):
            offset = {"textcoords": "offset points", "xytext": (0, 6), "ha": "center", "fontsize": 8}
            panel.annotate(f"{value:.1f}", (value, place), **offset)  # type: ignore[arg-type]


def _line(
    panel: Axes, at: Sequence[float], values: Sequence[float], spreads: Sequence[float], title: str, colour: str = _OURS
) -> None:
    known = [
        (x, y, 0.0 if math.isnan(s) else s) for x, y, s in zip(at, values, spreads, strict=True) if not math.isnan(y)
    ]
    if known:
        x, y, spread = (list(part) for part in zip(*known, strict=True))
        panel.errorbar(x, y, yerr=spread if any(spread) else None, fmt="o-", color=colour, capsize=3)
        for place, value, above in zip(x, y, spread, strict=True):
            offset = {"textcoords": "offset points", "xytext": (0, 7), "ha": "center", "fontsize": 9}
            panel.annotate(f"{value:.2f}", (place, value + above), **offset)  # type: ignore[arg-type]
    panel.set_xlim(*_around(at))
    panel.set_title(title, fontsize=10)
    panel.margins(0.12, 0.2)
    panel.grid(alpha=0.3)


def _around(at: Sequence[float]) -> tuple[float, float]:
    """The axis from the first to the last place, whether or not there is a number at each."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(sorted(at))] or [1.0]
    return min(at) - min(gaps) / 2, max(at) + min(gaps) / 2


def _legend(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)


_DRAWN: dict[FigureKind, Callable[[StudyResults], Figure]] = {"dots": _dots, "curve": _curve, "bars": _bars}
