"""What distillation gave, as a picture in the form of the paper's Fig. 4, with every case and every organ in it."""

import textwrap
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autosam_inference.scans.colours import organ_rgb
from autosam_platform.distillation.compared import Models, counts, organs, retention, runs
from autosam_platform.distillation.labels import STUDENT, TEACHER, TWIN, Label
from autosam_platform.evaluation.pictures import DPI, save_figure
from autosam_platform.evaluation.statistics import case_means
from autosam_platform.evaluation.table import percent

_WIDTH, _LINE = 12.0, 0.22  # inches
_COLUMNS = 150  # letters of the caption's font in a line
_STUDENTS: dict[Label, str] = {TWIN: "without\ndistillation", STUDENT: "with\ndistillation"}
_DARK = "0.2"


def save_report_picture(path: Path, models: Models, comparisons: Sequence[str]) -> None:
    """Write a PNG: Dice of the student without and with distillation beside the teacher's, by case and by organ.

    Args:
        models: those that there are; the picture has less in it where one is missing.
        comparisons: tests of the difference, in words, for the caption.
    """
    names = organs(models)
    caption = _caption(models, comparisons)
    height = 2.2 + 0.34 * max(len(names), 8) + _LINE * len(caption)
    figure = Figure(figsize=(_WIDTH, height), dpi=DPI, layout="constrained")
    cases, by_organ = figure.subplots(1, 2, width_ratios=(2, 3))
    _draw_cases(cases, models)
    _draw_organs(by_organ, models, names)
    figure.legend(handles=_legend(models), loc="outside upper center", ncols=4, frameon=False)
    figure.supxlabel("\n".join(caption), fontsize=10, x=0.01, ha="left")
    save_figure(figure, path)


def _draw_cases(panel: Axes, models: Models) -> None:
    """A point per case, its two students joined; a bar for the mean of a run, a line for the teacher's."""
    students = [label for label in _STUDENTS if label in models]
    scores = [{case: 100 * each for case, each in case_means(models[label].rows).items()} for label in students]
    for case in dict.fromkeys(case for each in scores for case in each):
        known = [(place, each[case]) for place, each in enumerate(scores) if case in each]
        panel.plot(*zip(*known, strict=True), color="0.75", linewidth=0.8, zorder=1)
    for place, label in enumerate(students):
        values = list(scores[place].values())
        face = "white" if label == TWIN else _DARK
        panel.scatter([place] * len(values), values, s=30, color=face, edgecolor=_DARK, linewidth=0.8, zorder=3)
        panel.hlines(100 * models[label].summary.mean_dice, place - 0.2, place + 0.2, color="black", lw=2.5, zorder=4)
    if TEACHER in models:
        panel.axhline(100 * models[TEACHER].summary.mean_dice, color="black", linestyle="--", linewidth=1.2, zorder=2)
    means = [f"{_STUDENTS[label]}\n{percent(models[label].summary.mean_dice)} %" for label in students]
    panel.set_xticks(range(len(students)), means)
    panel.set_xlim(-0.5, max(len(students), 1) - 0.5)
    panel.set_ylabel("Dice, % (a point is a case, the black bar the run's mean)")
    panel.grid(axis="y", color="0.9")
    panel.set_axisbelow(True)


def _draw_organs(panel: Axes, models: Models, names: Sequence[str]) -> None:
    """A line per organ: the students' means as circles, the teacher's as a bar."""
    for place, organ in enumerate(names):
        colour = organ_rgb(organ)
        dice = {label: 100 * model.overlap(organ).dice for label, model in models.items()}
        panel.plot(list(dice.values()), [place] * len(dice), color="0.75", linewidth=0.8, zorder=1)
        for label, value in dice.items():
            if label == TEACHER:
                panel.scatter(value, place, marker="|", s=220, color="black", linewidth=2, zorder=2)
            else:
                face = "white" if label == TWIN else colour
                panel.scatter(value, place, s=44, color=[face], edgecolor=_DARK, linewidth=0.8, zorder=3)
    panel.set_yticks(range(len(names)), [f"{organ}  (n = {counts(models, organ)})" for organ in names])
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xlabel("Dice, %, mean over cases")
    panel.grid(color="0.9")
    panel.set_axisbelow(True)


def _legend(models: Models) -> list[Line2D]:
    circle: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgecolor": _DARK, "markersize": 7}
    handles = {
        TEACHER: Line2D([], [], color="black", linestyle="--", marker="|", markersize=12, markeredgewidth=2),
        TWIN: Line2D([], [], color="white", **circle),
        STUDENT: Line2D([], [], color=_DARK, **circle),
    }
    for label, model in models.items():
        handles[label].set_label(f"{label}, mean {percent(model.summary.mean_dice)} %")
    return [handles[label] for label in models]


def _caption(models: Models, comparisons: Sequence[str]) -> list[str]:
    shares = {label: retention(models, label) for label in _STUDENTS if label in models}
    kept = [f"{label} keeps {each:.1f} % of the teacher's Dice" for label, each in shares.items() if isfinite(each)]
    kept_of_teacher = [f"{'; '.join(kept)}."] if kept else []
    return [line for each in (*kept_of_teacher, *comparisons, runs(models)) for line in textwrap.wrap(each, _COLUMNS)]
