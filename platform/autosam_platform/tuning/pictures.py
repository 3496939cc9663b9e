"""Pictures of a sweep: a curve over its parameter, the front of two objectives, importances."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from autosam_platform.evaluation.paper import dice_by_lambda
from autosam_platform.evaluation.pictures import DPI, save_figure
from autosam_platform.tuning.space import FloatParameter, IntParameter
from autosam_platform.tuning.trials import Trial

KD_LAMBDA = "distillation.kd_lambda"


def save_curve(
    path: Path, name: str, parameter: FloatParameter | IntParameter, finished: Sequence[Trial], title: str
) -> None:
    """Write a PNG: validation Dice over the one parameter of a sweep; over λ, the paper's Table 4 beside it."""
    points = {float(trial.values[name]): 100 * (trial.dice or 0.0) for trial in finished}
    panels = 2 if name == KD_LAMBDA else 1
    figure = Figure(figsize=(6 * panels, 4), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    label = "λ (weight of the labels)" if name == KD_LAMBDA else _label(name, parameter.unit)
    _draw_curve(axes[0], points, f"ours: {title}", label, "mean Dice %, validation cases")
    if name == KD_LAMBDA:
        paper = "the paper's Table 4: SwinUNETR-Small on BTCV"
        _draw_curve(axes[1], dice_by_lambda(), paper, label, "mean Dice %, test cases", colour="tab:grey")
    elif parameter.log:
        axes[0].set_xscale("log")
    save_figure(figure, path)


def save_front(path: Path, finished: Sequence[Trial], front: Sequence[Trial], title: str) -> None:
    """Write a PNG: validation Dice over trained parameters, a point per trial, the Pareto front joined."""
    figure = Figure(figsize=(8, 5), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, weight="bold")
    axes.scatter(*_size_and_dice(finished), color="tab:grey", label="trial", zorder=2)
    ordered = sorted(front, key=lambda trial: trial.trained_parameters or 0)
    axes.plot(*_size_and_dice(ordered), marker="o", color="tab:blue", label="Pareto front", zorder=3)
    for trial in finished:
        place = (trial.trained_parameters or 0) / 1e6, 100 * (trial.dice or 0.0)
        axes.annotate(str(trial.number), place, textcoords="offset points", xytext=(5, 5), fontsize=8)
    axes.set_xlabel("trained parameters, millions; the numbers are trials")
    axes.set_ylabel("mean Dice %, validation cases")
    axes.margins(0.1)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    save_figure(figure, path)


def save_importances(path: Path, shares: Mapping[str, float], title: str) -> None:
    """Write a PNG: the share of the variance of Dice that each parameter explains, the largest on top."""
    names = sorted(shares, key=lambda name: shares[name])
    figure = Figure(figsize=(8, 1.4 + 0.4 * len(names)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, weight="bold")
    bars = axes.barh(names, [shares[name] for name in names], color="tab:blue")
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_xlim(0, 1.1)
    axes.set_xlabel("share of the variance of the validation Dice (fANOVA)")
    save_figure(figure, path)


def _draw_curve(
    axes: Axes, points: Mapping[float, float], title: str, xlabel: str, ylabel: str, colour: str = "tab:blue"
) -> None:
    ordered = sorted(points.items())
    axes.plot([x for x, _ in ordered], [y for _, y in ordered], marker="o", color=colour)
    rim = [withStroke(linewidth=3, foreground="white")]  # readable on the line
    for x, y in ordered:
        place: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, 7), "ha": "center", "fontsize": 9}
        axes.annotate(f"{y:.2f}", (x, y), path_effects=rim, **place)
    axes.set_title(title, fontsize=11, weight="bold")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.margins(0.12, 0.2)
    axes.grid(alpha=0.3)


def _size_and_dice(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
    return [(trial.trained_parameters or 0) / 1e6 for trial in trials], [100 * (trial.dice or 0.0) for trial in trials]


def _label(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name
