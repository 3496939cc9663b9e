"""Pictures of an evaluation: one case in three planes, and the spread of the scores per organ.

Drawn with matplotlib's Agg canvas directly, without pyplot's global state, so that tasks can draw side by
side.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from autosam_inference.card import LabelClass
from autosam_inference.files import atomic_write
from autosam_inference.picture import PLANES, Plane, telling_slice
from autosam_inference.scans.colours import organ_rgb
from autosam_inference.scans.grid import Volume
from autosam_platform.evaluation.metrics import ClassMetrics
from autosam_platform.evaluation.table import Row, Summary, mean

DPI = 100
_PANELS_PX = 1440  # the three planes together, at one scale
_LEGEND_PX = 300
_GAP_PX = 10
_HEADER_PX = 62
_LEGEND_LINE_PX = 23
_FILL = 0.45  # opacity: the scan stays readable below the prediction
_BOX_FROM = 5  # cases: a box over fewer says less than their points


def save_case_picture(
    path: Path,
    scan: Volume,
    prediction_DHW: NDArray[np.integer],
    truth_DHW: NDArray[np.integer] | None,
    classes: Sequence[LabelClass],
    *,
    hu_window: tuple[int, int],
    title: str,
    metrics: Sequence[ClassMetrics] = (),
) -> None:
    """Write a PNG: axial, coronal and sagittal plane in millimetres, prediction filled and truth outlined.

    The slices are those that show most of most organs. Superior and anterior are up, the patient's right is
    at the left side (radiological convention), and the title says so.

    Args:
        scan: canonical, in HU.
        prediction_DHW, truth_DHW: label maps of the scan's shape; without truth only the prediction is shown.
        hu_window: HU shown black and white.
        metrics: scores of the case, whose Dice the legend shows.
    """
    guide_DHW = prediction_DHW if truth_DHW is None else truth_DHW
    size = [count * spacing for count, spacing in zip(scan.array_DHW.shape, scan.spacing_DHW, strict=True)]
    shown = np.union1d(np.unique(guide_DHW), np.unique(prediction_DHW))
    organs = [each for each in classes if each.id in shown]
    figure, axes = _case_canvas(size, len(organs))
    for plane, panel in zip(PLANES, axes, strict=True):
        index = telling_slice(guide_DHW, plane.axis, len(classes) + 1)
        draw_scan(panel, plane, scan, size, index, hu_window)
        draw_organs(panel, plane, size, index, organs, prediction_DHW)
        if truth_DHW is not None:
            draw_outlines(panel, plane, size, index, organs, truth_DHW)
    _draw_legend(figure, organs, metrics)
    how = "prediction filled" if truth_DHW is None else "prediction filled, truth outlined"
    figure.text(_GAP_PX / figure.bbox.width, 1 - 8 / figure.bbox.height, title, va="top", fontsize=13, weight="bold")
    note = f"{how} · radiological convention: the patient's right (R) is at the left side of the picture"
    figure.text(_GAP_PX / figure.bbox.width, 1 - 34 / figure.bbox.height, note, va="top", fontsize=10)
    save_figure(figure, path)


def save_organ_picture(path: Path, rows: Sequence[Row], title: str) -> None:
    """Write a PNG: Dice and NSD per organ, a point per case, their mean, a box where there are enough."""
    names = list(dict.fromkeys(row.class_name for row in rows))
    figure = Figure(figsize=(11, 1.6 + 0.36 * len(names)), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=13, weight="bold")
    tolerance = rows[0].nsd_tolerance_mm if rows else 0.0
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_spread(left, "Dice", names, [[row.dice for row in rows if row.class_name == name] for name in names])
    label = f"NSD at {tolerance:g} mm"
    _draw_spread(right, label, names, [[row.nsd for row in rows if row.class_name == name] for name in names])
    left.invert_yaxis()
    save_figure(figure, path)


def save_overlap_picture(path: Path, found: Mapping[float, Summary], title: str) -> None:
    """Write a PNG: mean Dice and NSD over the seconds that the network takes for a scan, a point per overlap."""
    figure = Figure(figsize=(7, 4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, weight="bold")
    seconds = [each.seconds_per_case["network"] for each in found.values()]
    for name, marker, values in (
        ("mean Dice %", "o", [100 * each.mean_dice for each in found.values()]),
        ("mean NSD %", "s", [100 * each.mean_nsd for each in found.values()]),
    ):
        axes.plot(seconds, values, marker=marker, label=name)
        for second, value, overlap in zip(seconds, values, found, strict=True):
            axes.annotate(f"{overlap:g}", (second, value), textcoords="offset points", xytext=(0, 7), ha="center")
    axes.set_xlim(0, 1.1 * max(seconds))
    axes.set_xlabel("seconds of the network per scan, median; the numbers are overlaps")
    axes.margins(y=0.2)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    save_figure(figure, path)


def _case_canvas(size: Sequence[float], organs: int) -> tuple[Figure, list[Axes]]:
    """A figure with three panels of one scale, side by side below the title, and room for the legend."""
    sides = [plane.millimetres(size) for plane in PLANES]
    scale = _PANELS_PX / sum(width for _, width in sides)
    tallest = max(scale * max(height for height, _ in sides), organs * _LEGEND_LINE_PX)
    total = _PANELS_PX + 4 * _GAP_PX + _LEGEND_PX, _HEADER_PX + tallest + _GAP_PX
    figure = Figure(figsize=(total[0] / DPI, total[1] / DPI), dpi=DPI, facecolor="white")
    axes, left = [], float(_GAP_PX)
    for height, width in sides:
        bottom = total[1] - _HEADER_PX - scale * height
        box = (left / total[0], bottom / total[1], scale * width / total[0], scale * height / total[1])
        panel = figure.add_axes(box)
        panel.set_axis_off()
        axes.append(panel)
        left += scale * width + _GAP_PX
    return figure, axes


def draw_scan(
    panel: Axes, plane: Plane, scan: Volume, size: Sequence[float], index: int, hu_window: tuple[int, int]
) -> None:
    """Draw a slice of a scan in millimetres, with its sides and its number; ``size`` is that of the volume in mm."""
    height, width = plane.millimetres(size)
    low, high = hu_window
    grey = plane.cut(scan.array_DHW, index)
    extent = (0, width, height, 0)
    panel.imshow(grey, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bilinear", aspect="equal")
    rim = withStroke(linewidth=3, foreground="black")  # readable on bone and on organs too
    letters: dict[str, Any] = {
        "color": "#ffe066",
        "fontsize": 12,
        "weight": "bold",
        "transform": panel.transAxes,
        "path_effects": [rim],
    }
    panel.text(0.015, 0.5, plane.left, ha="left", va="center", **letters)
    panel.text(0.985, 0.5, plane.right, ha="right", va="center", **letters)
    count = scan.array_DHW.shape[plane.axis]
    panel.text(0.015, 0.985, f"{plane.name}, slice {index + 1} of {count}", ha="left", va="top", **letters)


def draw_organs(
    panel: Axes,
    plane: Plane,
    size: Sequence[float],
    index: int,
    organs: Sequence[LabelClass],
    prediction_DHW: NDArray[np.integer],
) -> None:
    """Fill the organs of a slice, each with its colour; ``size`` is that of the volume in mm."""
    height, width = plane.millimetres(size)
    predicted = plane.cut(prediction_DHW, index)
    fill = np.zeros((*predicted.shape, 4))
    for organ in organs:
        fill[predicted == organ.id] = (*organ_rgb(organ.name), _FILL)
    panel.imshow(fill, extent=(0, width, height, 0), interpolation="nearest", aspect="equal")


def draw_outlines(
    panel: Axes,
    plane: Plane,
    size: Sequence[float],
    index: int,
    organs: Sequence[LabelClass],
    truth_DHW: NDArray[np.integer],
) -> None:
    """Outline the organs of a slice, each in its colour; ``size`` is that of the volume in mm."""
    true = plane.cut(truth_DHW, index)
    for organ in organs:
        draw_outline(panel, plane, size, true == organ.id, organ_rgb(organ.name))


def draw_outline(
    panel: Axes, plane: Plane, size: Sequence[float], mask: NDArray[np.bool_], colour: Any, width: float = 1.6
) -> None:
    """Outline what of a slice is in ``mask``, which has its rows and columns; ``size`` is that of the volume in mm."""
    height_mm, width_mm = plane.millimetres(size)
    rows, columns = mask.shape
    # Contours run through the middles of voxels, so the mask gets a rim of background to close at the scan's edge.
    x = (np.arange(-1, columns + 1) + 0.5) * width_mm / columns
    y = (np.arange(-1, rows + 1) + 0.5) * height_mm / rows
    if mask.any():
        panel.contour(x, y, np.pad(mask, 1), levels=[0.5], colors=[colour], linewidths=width)


def _draw_legend(figure: Figure, organs: Sequence[LabelClass], metrics: Sequence[ClassMetrics]) -> None:
    dice = {each.class_id: each.dice for each in metrics}
    labels = [f"{each.name}  {100 * dice[each.id]:.2f}" if each.id in dice else each.name for each in organs]
    handles = [Patch(color=organ_rgb(each.name), label=label) for each, label in zip(organs, labels, strict=True)]
    figure.legend(
        handles=handles,
        title="organ  Dice %" if dice else "organ",
        loc="upper left",
        bbox_to_anchor=(1 - _LEGEND_PX / figure.bbox.width, 1 - _HEADER_PX / figure.bbox.height),
        fontsize=11,
        title_fontsize=11,
        alignment="left",
        frameon=False,
        borderaxespad=0,
    )


def _draw_spread(panel: Axes, label: str, names: Sequence[str], values: Sequence[Sequence[float]]) -> None:
    known = [[100 * value for value in each if not np.isnan(value)] for each in values]
    for place, (name, scores) in enumerate(zip(names, known, strict=True)):
        colour = organ_rgb(name)
        if len(scores) >= _BOX_FROM:
            box = {"facecolor": (*colour, 0.25), "edgecolor": "0.3"}
            panel.boxplot(
                [scores],
                positions=[place],
                orientation="horizontal",
                widths=0.6,
                showfliers=False,
                patch_artist=True,
                boxprops=box,
                medianprops={"color": "0.3"},
                manage_ticks=False,
            )
        spread = np.linspace(-0.18, 0.18, len(scores)) if len(scores) > 1 else np.zeros(len(scores))
        panel.scatter(scores, place + spread, s=22, color=[colour], edgecolor="0.2", linewidth=0.5, zorder=3)
        panel.scatter([mean(scores)], [place], marker="|", s=260, color="black", linewidth=2, zorder=4)
    panel.set_yticks(range(len(names)), [f"{name}  (n = {len(each)})" for name, each in zip(names, known, strict=True)])
    panel.set_xlim(-2, 102)
    panel.set_xlabel(f"{label} in percent (a point is a case, the black bar their mean)")
    panel.grid(axis="x", color="0.9")
    panel.set_axisbelow(True)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as what its name ends in, PNG (at ``DPI``) or SVG, whole or not at all.

    An SVG is the same bytes whenever it is drawn: it has no date, and its ids come from what is drawn.
    """
    FigureCanvasAgg(figure)
    kind = path.suffix.removeprefix(".")
    with atomic_write(path) as temporary, matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else None)
