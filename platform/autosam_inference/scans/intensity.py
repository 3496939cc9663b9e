"""From Hounsfield units to network input: one function, for training and for prediction."""

import numpy as np

from autosam_inference.card import Scaling


def to_window(array: np.ndarray, hu_window: tuple[int, int]) -> np.ndarray:
    """Clip to the window and round to whole HU, int16: what the store keeps.

    Scanners write whole HU themselves; what resampling adds behind the point is far below a CT's noise.
    """
    if np.issubdtype(array.dtype, np.floating):
        return np.rint(np.clip(array, *hu_window)).astype(np.int16)
    if array.dtype not in (np.int16, np.int32):
        array = array.astype(np.int64)  # the bounds must fit the dtype that np.clip works in
    return np.clip(array, *hu_window).astype(np.int16, copy=False)


def normalise(array: np.ndarray, hu_window: tuple[int, int], scaling: Scaling) -> np.ndarray:
    """Finite HU of any shape and dtype → windowed, rounded to whole HU as in the store, scaled, float32.

    Source: paper, Sec. 7.2.
    """
    hu = to_window(array, hu_window)
    offset, divisor = offset_and_divisor(hu_window, scaling)
    scaled = hu.astype(np.float32)
    scaled -= offset
    scaled /= divisor
    return scaled


def offset_and_divisor(hu_window: tuple[int, int], scaling: Scaling) -> tuple[np.float32, np.float32]:
    """The two numbers with which scaled = (HU − offset) / divisor."""
    if scaling.subtract is not None and scaling.divide is not None:
        return np.float32(scaling.subtract), np.float32(scaling.divide)
    assert scaling.to is not None  # Scaling holds one of the two
    (low, high), (bottom, top) = hu_window, scaling.to
    divisor = (high - low) / (top - bottom)
    return np.float32(low - bottom * divisor), np.float32(divisor)


def fill_non_finite(array: np.ndarray, value: float) -> np.ndarray:
    """The array with NaN and ±Inf replaced by ``value``; the array itself where there are none."""
    if not np.issubdtype(array.dtype, np.floating):
        return array
    finite = np.isfinite(array)
    return array if finite.all() else np.where(finite, array, array.dtype.type(value))
