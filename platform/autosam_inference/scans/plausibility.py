"""Are these Hounsfield units? Asked of every scan before anything is computed from it, at training and at the bedside.

A network answers to anything, and its answer to a scan that is off by 1,024, or is no CT, looks like one. The scale of
Hounsfield fixes two of its values, water at 0 and air at −1,000, and every CT shows soft tissue: so what a scan's
values are is seen in how many of them lie where, and not in its smallest one, which is whatever the scanner writes
where it saw nothing (−1024, −2000, −3024, −32768).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autosam_inference.scans.grid import Volume
from autosam_inference.scans.intensity import fill_non_finite
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan

MOST_NON_FINITE = 0.01
PLAUSIBLE_HU = (-4096, 32767)
"""What a CT may store; beyond lie padding and values of other formats."""
AIR_HU = -1024

_LEAST_RANGE = 100  # fat to muscle is more; images scaled to [0, 1] or [-1, 1] are less
_FEWEST_VALUES = 16
_FEWEST_VOXELS = 1000  # of fewer, few values say nothing
_MOST_VOXELS = 2_000_000  # voxels looked at; the shares below are of thousands of voxels even then
_SOFT = (-150, 200)  # fat, water, organs, blood with contrast
_AIR = (-1200, -300)  # around the patient, in lungs and bowel
_LEAST_SOFT = 0.002  # a small child in a wide field of view has more
_LEAST_SHARE = 0.01  # of all voxels, for a peak that says something
_MOST_APART = 50  # HU: noise and contrast move peaks by less than two bins
_LEAST_COMMON = 0.4
_GAP = 50  # between the value of padding and all others
_PADDING_SHARE = 1e-3


HISTOGRAM_HU = tuple(range(-1100, 2001, 25))
"""Edges of the bins of ``histogram``."""
_MIDDLES = np.array([(low + high) / 2 for low, high in itertools.pairwise(HISTOGRAM_HU)])


def histogram(array: np.ndarray) -> tuple[int, ...]:
    """How many of a scan's voxels, or of a sample of them, lie in each bin of HU."""
    counts, _ = np.histogram(_sample(array), bins=HISTOGRAM_HU)
    return tuple(int(count) for count in counts)


def common_share(array: np.ndarray, expected: Sequence[int]) -> float:
    """Of the tissue's values in a scan: the share that is spread as in the training scans, 0 to 1.

    Args:
        expected: histogram of the training scans; NaN where there is none.
    """
    return _common(np.array(histogram(array), float), np.array(expected, float)) if sum(expected) else math.nan


def _common(ours: np.ndarray, theirs: np.ndarray) -> float:
    body = (_MIDDLES > -200) & (_MIDDLES < 300)
    return float(np.minimum(*(counts[body] / max(counts[body].sum(), 1) for counts in (ours, theirs))).sum())


def unlike_training(scan: Scan, expected: Sequence[int]) -> list[str]:
    """What a person should know of a scan whose values are spread otherwise than in the scans a model was trained on.

    Compared are the commonest values of air, fat and soft tissue, and how much of the tissue's values the two have in
    common.

    Args:
        expected: histogram of the training scans; nothing is said where there is none.
    """
    if not sum(expected):
        return []
    middles = _MIDDLES
    ours, theirs = np.array(histogram(scan.volume.array_DHW), float), np.array(expected, float)
    name, notes = "the scan" if scan.source is None else str(scan.source), []
    for tissue, low, high in (("air", -1100, -900), ("fat", -175, -50), ("soft tissue", -25, 175)):
        band = (middles > low) & (middles < high)
        if min(ours[band].sum() / max(ours.sum(), 1), theirs[band].sum() / theirs.sum()) < _LEAST_SHARE:
            continue  # one of the two shows too little of it to have a peak
        one, other = (middles[band][int(np.argmax(counts[band]))] for counts in (ours, theirs))
        if abs(one - other) > _MOST_APART:
            notes.append(f"{name}: WARNING: its {tissue} lies near {one:g} HU, in the training scans near {other:g}.")
    common = _common(ours, theirs)
    if common < _LEAST_COMMON:
        notes.append(
            f"{name}: WARNING: of its tissue's values only {common:.0%} are spread as in the training scans: another "
            "phase, kernel or body part? Look at the result with care."
        )
    return notes


def checked_ct(scan: Scan, *, lower: float = AIR_HU) -> Scan:
    """The scan, if its values can be Hounsfield units, with a note of all that was put right or looks odd.

    Args:
        lower: HU that a voxel gets which is NaN, infinite, or padding beyond any CT.

    Raises:
        ScanError: they cannot be; the message says what they look like and what to do.
    """
    if scan.checked:
        return scan
    name = "the scan" if scan.source is None else str(scan.source)
    notes = list(scan.notes)
    array = _finite(name, scan.volume.array_DHW, lower, notes)
    _require_ct(name, array)
    array = _within(name, array, lower, notes)
    notes += _oddities(name, _Values.of(array))
    return replace(scan, volume=Volume(array, scan.volume.spacing_DHW), notes=tuple(notes), checked=True)


def _finite(name: str, array: np.ndarray, lower: float, notes: list[str]) -> np.ndarray:
    bad = 0 if array.dtype.kind != "f" else array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad > MOST_NON_FINITE * array.size:
        raise ScanError(f"{name}: {bad / array.size:.1%} of the voxels are NaN or infinite: export it again.")
    if bad:
        notes.append(f"{name}: {bad} NaN or infinite voxels, set to the window's lower bound of {lower:g} HU.")
    return fill_non_finite(array, lower)


def _within(name: str, array: np.ndarray, lower: float, notes: list[str]) -> np.ndarray:
    """Padding far below any CT becomes air before it is resampled: at its edge it would bleed into the patient."""
    low, high = float(array.min()), float(array.max())
    if low >= PLAUSIBLE_HU[0] and high <= PLAUSIBLE_HU[1]:
        return array
    notes.append(f"{name} holds values from {low:g} to {high:g} HU, beyond any CT: clipped to the window.")
    kept = np.minimum(array, array.dtype.type(min(high, PLAUSIBLE_HU[1])))
    kept[array < PLAUSIBLE_HU[0]] = lower
    return kept


@dataclass(frozen=True)
class _Values:
    """Some of a scan's values, and those of them that are no padding."""

    all_N: np.ndarray
    inside_N: np.ndarray
    padding: float | None

    @classmethod
    def of(cls, array: np.ndarray) -> "_Values":
        sample_N = _sample(array)
        lowest = float(sample_N.min())
        others_N = sample_N[sample_N > lowest]
        isolated = others_N.size > 0 and float(others_N.min()) - lowest > _GAP
        padded = isolated and others_N.size < (1 - _PADDING_SHARE) * sample_N.size
        return cls(sample_N, others_N if padded else sample_N, lowest if padded else None)

    def share(self, low: float, high: float) -> float:
        """Of the values that are no padding: how many lie between."""
        return float(np.count_nonzero((self.inside_N >= low) & (self.inside_N <= high))) / self.inside_N.size


def _require_ct(name: str, array: np.ndarray) -> None:
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise ScanError(f"{name} is constant ({low:g} everywhere): it holds no scan, export it again.")
    if high - low < _LEAST_RANGE:
        raise _no_hu(name, f"values from {low:g} to {high:g}")
    values = _Values.of(array)
    if values.all_N.size > _FEWEST_VOXELS and _different(values.all_N[:200_000]) < _FEWEST_VALUES > _different(array):
        raise _no_hu(name, f"only {_different(array)} different values, as a mask or label map does")
    air_written_exactly = values.padding is not None and _AIR[0] <= values.padding <= -900
    if values.share(850, 1200) > 0.05 and values.share(*_AIR) < 0.005:
        raise ScanError(
            f"{name} has its soft tissue near {_peak(values, 850, 1200):g} in place of 40: its values are Hounsfield "
            "units + 1024. Convert it with its rescale intercept (−1024)."
        )
    if float(np.percentile(values.inside_N, 1)) > -50 and not air_written_exactly:
        raise _no_hu(name, f"values from {low:g} to {high:g}, none of them fat or air")
    if values.share(*_SOFT) < _LEAST_SOFT:
        raise _no_hu(name, f"values from {low:g} to {high:g}, hardly one between {_SOFT[0]} and {_SOFT[1]}")


def _sample(array: np.ndarray) -> np.ndarray:
    flat = array.ravel()
    return flat[:: max(1, flat.size // _MOST_VOXELS)].astype(np.float32)


def _different(array: np.ndarray) -> int:
    return len(np.unique(array))


def _no_hu(name: str, found: str) -> ScanError:
    return ScanError(
        f"{name} holds {found}, which are not Hounsfield units (soft tissue is about 40, fat −100, air −1000): convert "
        "it with its rescale slope and intercept, unscaled; an MR or a picture cannot be used."
    )


def _oddities(name: str, values: _Values) -> list[str]:
    """What a CT may look like and seldom does."""
    notes = []
    tissue, organs = values.share(-200, 300), values.share(-20, 150)
    if organs < 0.2 * tissue:
        notes.append(
            f"{name}: WARNING: most soft tissue lies near {_peak(values, -200, 300):g} HU, where muscle and organs are "
            "0 to 100: check its rescale intercept before you trust a result."
        )
    if values.share(*_AIR) > 0.05 and not -1100 <= (air := _peak(values, *_AIR)) <= -650:
        notes.append(f"{name}: WARNING: its air lies near {air:g} HU in place of −1000: check its rescale slope.")
    return notes


def _peak(values: _Values, low: float, high: float) -> float:
    """The commonest value between two, to ten HU."""
    counts, edges = np.histogram(values.inside_N, bins=int((high - low) // 10), range=(low, high))
    return float(edges[int(np.argmax(counts))]) + 5
