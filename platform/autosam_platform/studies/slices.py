"""The paper's Fig. 3: one slice of a scan of each dataset, the truth, and what each model makes of it side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from autosam_inference.card import LabelClass
from autosam_inference.picture import PLANES, telling_slice
from autosam_inference.scans.colours import organ_rgb
from autosam_inference.scans.grid import Grid
from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.labels import read_on_grid
from autosam_platform.data.readers import Case
from autosam_platform.evaluation.pictures import (
    DPI,
    draw_organs,
    draw_outline,
    draw_outlines,
    draw_scan,
    save_figure,
)
from autosam_platform.evaluation.statistics import case_means
from autosam_platform.evaluation.table import Row

ERROR = "#ffd400"
"""Colour of what outlines an error; no organ has it."""

_PANEL_INCHES = 2.7
_AXIAL = PLANES[0]


@dataclass(frozen=True)
class Shown:
    """A scan that is shown.

    Attributes:
        title: of its dataset.
        predictions: label maps on the scan's grid, by the titles of the systems.
        dice: mean over the organs of the case, by the same.
    """

    title: str
    case: Case
    description: DatasetDescription
    predictions: Mapping[str, Path]
    dice: Mapping[str, float]


def telling_case(rows: Mapping[str, Sequence[Row]]) -> str:
    """The case in the middle of all by the mean Dice over the systems, so that it is neither chosen nor the best.

    Args:
        rows: scores by system.

    Raises:
        ValueError: no case has a score with every system.
    """
    means = [case_means(each) for each in rows.values()]
    shared = set.intersection(*(set(each) for each in means)) if means else set()
    if not shared:
        raise ValueError("no case has a score with every system")
    ordered = sorted(shared, key=lambda case: (sum(each[case] for each in means), case))
    return ordered[(len(ordered) - 1) // 2]


def save_slices(places: Sequence[Path], shown: Sequence[Shown], title: str) -> None:
    """Draw the axial slice that shows most of most organs: truth outlined, each system's organs filled and its errors
    outlined; a line per scan.
    """
    systems = list(dict.fromkeys(name for each in shown for name in each.predictions))
    size = _PANEL_INCHES * (1 + len(systems)) + 1.9, (_PANEL_INCHES + 0.35) * len(shown) + 0.9
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    note = "organs filled, errors outlined in yellow · the patient's right (R) is at the left side"
    figure.suptitle(f"{title}\n{note}", fontsize=11)
    panels = figure.subplots(len(shown), 1 + len(systems), squeeze=False)
    organs: dict[str, LabelClass] = {}
    for each, line in zip(shown, panels, strict=True):
        for panel in line:
            panel.set_axis_off()
        checked = load_checked(each.case, each.description)
        assert checked.scan is not None and checked.label_DHW is not None  # it was evaluated
        scan, grid, truth_DHW = checked.scan.volume, checked.scan.grid, checked.label_DHW
        extent = [n * spacing for n, spacing in zip(scan.array_DHW.shape, scan.spacing_DHW, strict=True)]
        index = telling_slice(truth_DHW, _AXIAL.axis, len(each.description.classes) + 1)
        true = _AXIAL.cut(truth_DHW, index)
        classes = each.description.classes
        draw_scan(line[0], _AXIAL, scan, extent, index, each.description.hu_window)
        draw_outlines(line[0], _AXIAL, extent, index, classes, truth_DHW)
        line[0].set_title(f"{each.title}, {each.case.case_id}\ntruth", fontsize=9)
        for name, panel in zip(systems, line[1:], strict=True):
            if name not in each.predictions:
                panel.set_title(f"{name}\nnot made", fontsize=9)
                continue
            found_DHW = _label(each, name, grid)
            draw_scan(panel, _AXIAL, scan, extent, index, each.description.hu_window)
            draw_organs(panel, _AXIAL, extent, index, classes, found_DHW)
            draw_outline(panel, _AXIAL, extent, _AXIAL.cut(found_DHW, index) != true, ERROR, width=1.0)
            panel.set_title(f"{name}\nDice of the scan {100 * each.dice[name]:.2f} %", fontsize=9)
        organs |= {organ.name: organ for organ in classes if np.any(true == organ.id)}
    handles = [Patch(color=organ_rgb(name), label=name) for name in organs]
    figure.legend(handles=handles, loc="outside right center", fontsize=9, frameon=False)
    for place in places:
        save_figure(figure, place)


def _label(shown: Shown, name: str, grid: Grid) -> NDArray[np.integer]:
    label = read_on_grid(shown.predictions[name], shown.case.image, grid, [])
    return np.asarray(label.volume.array_DHW).round().astype(np.uint8)
