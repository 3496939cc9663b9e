"""Expected against true Dice, an organ a point."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from autosam_inference.files import atomic_write


def save_picture(
    path: Path, expected_N: NDArray[np.float64], dice_N: NDArray[np.float64], clean_N: Sequence[bool], title: str
) -> None:
    """Draw scans as they are beside those that were made bad; the band is 0.1 to either side."""
    figure = Figure((10, 5.4), layout="compressed")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    clean = np.array(clean_N)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, rows, colour, what in (
        (axes[0], clean, "#0072b2", "scans as they are"),
        (axes[1], ~clean, "#d55e00", "scans made bad on purpose"),
    ):
        close = float((np.abs(expected_N[rows] - dice_N[rows]) <= 0.1).mean()) if rows.any() else float("nan")
        axis.fill_between([0, 1], [-0.1, 0.9], [0.1, 1.1], color="0.9", zorder=0)
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=1)
        axis.axvline(0.7, color="0.6", linewidth=1, linestyle=":", zorder=1)
        axis.axhline(0.7, color="0.6", linewidth=1, linestyle=":", zorder=1)
        axis.scatter(expected_N[rows], dice_N[rows], s=9, color=colour, alpha=0.5, linewidths=0, zorder=2)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="expected Dice")
        axis.set_title(f"{what}: {rows.sum()} organs, {close:.0%} within 0.1", fontsize=10)
    axes[0].set_ylabel("Dice against the truth")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
