"""Prompts drawn from the label, which make whatever answers them an oracle: no scan comes with them."""

import numpy as np
from numpy.typing import NDArray

from autosam_inference.files import content_hash
from autosam_models.prompted.asking import Asking

ORACLE = "oracle (prompts from the label)"
"""What goes with every figure of a model that was asked so."""


def prompt_of(asking: Asking, mask_HW: NDArray[np.bool_], case_id: str, organ: int, number: int) -> NDArray[np.float64]:
    """The prompt of an organ in a slice: P pixels (x, y) of the mask. It depends on no other prompt.

    Args:
        mask_HW: where the organ is; somewhere it must be.
        organ: its class id.
        number: of the slice.
    """
    if asking.prompt == "box":
        return box(mask_HW, np.full(4, asking.margin))
    rng = np.random.default_rng([asking.prompt_seed, int(content_hash(case_id), 16), organ, number])
    return points(mask_HW, asking.points, rng)


def points(mask_HW: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Pixels (x, y) inside the mask, each as likely; all different as far as there are so many: count × 2."""
    rows_N, columns_N = np.nonzero(mask_HW)
    chosen_P = rng.choice(len(rows_N), count, replace=len(rows_N) < count)
    return np.stack([columns_N[chosen_P], rows_N[chosen_P]], axis=1).astype(np.float64)


def box(mask_HW: NDArray[np.bool_], margins: NDArray[np.integer]) -> NDArray[np.float64]:
    """Upper left and lower right pixel (x, y) of the mask, each side further out by its margin, and inside the slice.

    Args:
        margins: of left, top, right and bottom, in pixels.
    """
    rows_N, columns_N = np.nonzero(mask_HW)
    height, width = mask_HW.shape
    left, top, right, bottom = margins
    return np.array(
        [
            [max(columns_N.min() - left, 0), max(rows_N.min() - top, 0)],
            [min(columns_N.max() + right, width - 1), min(rows_N.max() + bottom, height - 1)],
        ],
        np.float64,
    )
