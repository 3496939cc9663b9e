"""The curves of a run as a picture: loss and its parts, validation Dice, learning rate."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from autosam_inference.files import atomic_write
from autosam_inference.scans.colours import organ_rgb

Curves = Mapping[str, Sequence[tuple[int, float]]]
_LOSSES = {"train/loss": "loss", "train/dice_loss": "Dice loss", "train/cross_entropy": "cross entropy"}


def save_curves(path: Path, curves: Curves, title: str) -> None:
    """Draw the curves of ``tracking.writing.read_curves`` into a PNG; steps are optimiser steps."""
    figure, (losses, dice, rate) = plt.subplots(1, 3, figsize=(15, 4), layout="constrained")
    figure.suptitle(title)
    for key, label in _LOSSES.items():
        _smoothed(losses, curves.get(key, ()), label)
    for key, points in curves.items():
        if key.startswith("val/dice/"):
            organ = key.removeprefix("val/dice/")
            mean = organ == "mean"
            colour = "black" if mean else organ_rgb(organ)
            marks = {"marker": "o", "ms": 4, "mec": "dimgrey", "mew": 0.5}  # the edge shows a pale organ on white
            dice.plot(*_xy(points), lw=2.5 if mean else 1, color=colour, label=organ, **marks)
    rate.plot(*_xy(curves.get("train/learning_rate", ())))
    for axes, name in ((losses, "training loss"), (dice, "validation Dice"), (rate, "learning rate")):
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
    losses.legend()
    dice.set_ylim(0, 1)
    if dice.lines:
        dice.legend(fontsize=7, ncols=2)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


def _smoothed(axes: Axes, points: Sequence[tuple[int, float]], label: str) -> None:
    """The curve faintly, and over it its running mean over a twentieth of it, since single patches differ much."""
    steps, values = _xy(points)
    window = max(1, len(values) // 20)
    (line,) = axes.plot(steps, values, lw=0.5, alpha=0.3)
    if len(values) >= window:
        mean = np.convolve(values, np.full(window, 1 / window), mode="valid")
        axes.plot(steps[window - 1 :], mean, color=line.get_color(), label=label)


def _xy(points: Sequence[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([step for step, _ in points]), np.array([value for _, value in points])
