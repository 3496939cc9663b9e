"""Where the slices of a series lie: their order, their grid, and what is wrong with them.

Positions and directions come from ImagePositionPatient and ImageOrientationPatient alone. InstanceNumber, file
names, SliceLocation and SpacingBetweenSlices may say anything; numbers only name slices in messages.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autosam_inference.bounds import SPACING_LIMITS_MM
from autosam_inference.scans.dicom_headers import Slice
from autosam_inference.scans.nifti import MOST_VOXELS, ScanError
from autosam_models.sizes import size_text

_UNEVEN = 0.01  # share of the spacing
_ROUNDED_MM = 0.011  # positions are written to a hundredth of a mm by some scanners
_SIDEWAYS_MM = 0.1  # a slice off the line through the others
_TILT_DEGREES = 1.0  # below it the grid itself leans, which costs nothing
_SAID_DEGREES = 0.05
_TURNED = 1e-3  # difference of unit vectors: 0.06°
_MOST_NAMED = 8

Same = Callable[[Slice, Slice], bool]


@dataclass(frozen=True)
class Stack:
    """Slices from one end of the scan to the other.

    Attributes:
        positions: (slices, 3), LPS mm.
        row, column, normal: unit vectors in LPS; ``slices`` rise along the normal.
        faults: what an even grid cannot hold; such a stack has to be straightened.
        notes: what was mended.
    """

    slices: tuple[Slice, ...]
    positions: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing: tuple[float, float]
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.row, self.column)

    @property
    def affine(self) -> np.ndarray:
        """Column, row, slice to RAS mm."""
        step = (self.positions[-1] - self.positions[0]) / (len(self.slices) - 1)
        return ras_affine(self.row * self.spacing[0], self.column * self.spacing[1], step, self.positions[0])


def ras_affine(column_step: np.ndarray, row_step: np.ndarray, slice_step: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """From steps and origin in DICOM's LPS to a NIfTI's RAS: x and y change their signs."""
    affine = np.eye(4)
    affine[:3] = np.diag([-1.0, -1.0, 1.0]) @ np.column_stack([column_step, row_step, slice_step, origin])
    return affine


def stack(path: Path, slices: Sequence[Slice], same: Same) -> Stack:
    """Order the slices, and check that they are one volume.

    Args:
        same: whether two slices at one place hold equal voxels.

    Raises:
        ScanError: positions are missing, slices are of several sizes or orientations, missing, or different ones share
            a place.
    """
    _check_complete(path, slices)
    _check_alike(path, slices)
    first = slices[0]
    assert first.row is not None and first.column is not None and first.spacing is not None
    row = first.row / np.linalg.norm(first.row)
    column = first.column - (first.column @ row) * row  # written numbers are rounded
    column /= np.linalg.norm(column)
    normal = np.cross(row, column)
    along = np.array([each.position @ normal for each in slices if each.position is not None])
    ordered = [slices[place] for place in np.argsort(along, kind="stable")]
    kept, notes = _without_doubles(path, ordered, np.sort(along), same)
    if len(kept) < 2:
        raise ScanError(f"{path} holds a single slice ({_named(kept)}): name a series that is a volume.")
    positions = np.array([each.position for each in kept])
    faults = [*_uneven(path, kept, positions @ normal), *_leaning(kept, positions, normal, notes)]
    return Stack(tuple(kept), positions, row, column, first.spacing, tuple(faults), tuple(notes))


def _check_complete(path: Path, slices: Sequence[Slice]) -> None:
    for name, missing in (
        ("ImagePositionPatient", [each for each in slices if each.position is None]),
        ("ImageOrientationPatient", [each for each in slices if not _perpendicular(each)]),
        ("PixelSpacing", [each for each in slices if each.spacing is None]),
        ("RescaleSlope and RescaleIntercept", [each for each in slices if not each.slope or each.intercept is None]),
    ):
        if missing:
            raise ScanError(
                f"{path}: {_named(missing)} {_has(missing)} no usable {name}, without which the scan cannot be "
                "placed or read in HU: export the series again as it was recorded."
            )
    frames = Counter(each.frame_of_reference for each in slices)
    if len(frames) > 1:
        others = [each for each in slices if each.frame_of_reference != frames.most_common()[0][0]]
        raise ScanError(
            f"{path}: {_named(others)} {_has(others)} another FrameOfReferenceUID than the other slices: their "
            "positions cannot be compared; export the parts as series of their own."
        )
    strange = [each for each in slices if each.unit.upper() not in ("", "HU", "US")]
    if strange:
        units = ", ".join(sorted({each.unit[:16] for each in strange}))
        raise ScanError(f"{path}: {_named(strange)} {_has(strange)} values in {units}, not HU: name a series in HU.")


def _perpendicular(each: Slice) -> bool:
    if each.row is None or each.column is None:
        return False
    products = np.array([each.row @ each.row - 1, each.column @ each.column - 1, each.row @ each.column])
    return bool(np.abs(products).max() < 5e-3)


def _check_alike(path: Path, slices: Sequence[Slice]) -> None:
    """One size, one spacing, one orientation; the larger part is taken for right when the others are named."""
    rows, columns = np.max([each.size for each in slices], axis=0)
    if not 0 < rows * columns * len(slices) <= MOST_VOXELS:
        raise ScanError(f"{path} claims {len(slices)} slices of {columns} × {rows} voxels: export the series again.")
    _check_one_group(path, slices, "size", lambda each: np.array(each.size), 0.5)
    _check_one_group(path, slices, "voxel size", lambda each: np.array(each.spacing), _TURNED)
    _check_one_group(path, slices, "orientation", lambda each: np.concatenate([each.row, each.column]), _TURNED)
    low, high = SPACING_LIMITS_MM
    spacing = slices[0].spacing
    if spacing is not None and not (low <= min(spacing) and max(spacing) <= high):
        raise ScanError(
            f"{path} has a voxel size of {size_text(spacing)} mm in the slices, outside {low:g} to {high:g} mm: "
            "export it again with the right voxel size."
        )


def _check_one_group(
    path: Path, slices: Sequence[Slice], what: str, of: Callable[[Slice], np.ndarray], tolerance: float
) -> None:
    values = np.array([of(each) for each in slices])
    usual = np.median(values, axis=0)
    nearest = values[np.abs(values - usual).max(axis=1).argmin()]
    strange = [each for each, far in zip(slices, np.abs(values - nearest).max(axis=1) > tolerance, strict=True) if far]
    if strange:
        raise ScanError(
            f"{path}: {_named(strange)} {'differs' if len(strange) == 1 else 'differ'} in {what} from the other "
            f"slices of the series: it is no one volume; export its parts as series of their own."
        )


def _without_doubles(
    path: Path, ordered: Sequence[Slice], along: np.ndarray, same: Same
) -> tuple[list[Slice], list[str]]:
    """Slices at one place: equal ones are kept once."""
    kept, dropped = [ordered[0]], []
    for each, gap in zip(ordered[1:], np.diff(along), strict=True):
        if gap > _ROUNDED_MM:
            kept.append(each)
        elif same(kept[-1], each):
            dropped.append(each)
        else:
            raise ScanError(
                f"{path}: {_named([kept[-1], each])} lie at one place and differ: the series holds several volumes, "
                "such as phases or reconstructions; export one of them."
            )
    notes = []
    if dropped:
        notes.append(f"{_capital(_named(dropped))} {_has(dropped, 'is', 'are')} stored twice, and used once.")
    return kept, notes


def _uneven(path: Path, slices: Sequence[Slice], along: np.ndarray) -> list[str]:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    low, high = SPACING_LIMITS_MM
    if not low <= usual <= high:
        raise ScanError(f"{path} has {usual:g} mm between slices, outside {low:g} to {high:g} mm: export it again.")
    odd = np.flatnonzero(np.abs(gaps - usual) > max(_UNEVEN * usual, _ROUNDED_MM)).tolist()
    if not odd:
        return []
    missing = [place for place in odd if _misses(slices, gaps, usual, place, rare=len(odd) * 4 <= gaps.size)]
    if missing:
        count = sum(round(gaps[place] / usual) - 1 for place in missing)
        raise ScanError(
            f"{path}: {count} slice{'s are' if count > 1 else ' is'} missing, between {_pairs(slices, missing)}: "
            "copy or export the series again."
        )
    worst = max(odd, key=lambda place: abs(gaps[place] - usual))
    return [
        f"slices lie unevenly: {gaps[worst]:.4g} mm between {_pairs(slices, [worst])}, in place of {usual:.4g} mm"
        + (f", and so at {len(odd) - 1} more places" if len(odd) > 1 else "")
    ]


def _misses(slices: Sequence[Slice], gaps: np.ndarray, usual: float, place: int, *, rare: bool) -> bool:
    """Whether a gap is one of left-out slices; thicker slices further on have gaps of that size too, but many."""
    times = gaps[place] / usual
    if round(times) < 2 or abs(times - round(times)) > 0.05:
        return False
    before, after = slices[place].number, slices[place + 1].number
    return rare or (before is not None and after is not None and abs(after - before) == round(times))


def _leaning(slices: Sequence[Slice], positions: np.ndarray, normal: np.ndarray, notes: list[str]) -> list[str]:
    """Slices that do not follow one another along their normal."""
    steps = np.diff(positions, axis=0)
    rises = steps @ normal
    line = np.median(steps / rises[:, None], axis=0)  # mm sideways for each mm along the normal
    aside = np.linalg.norm(steps - rises[:, None] * line, axis=1)
    jumps = np.flatnonzero(aside > _SIDEWAYS_MM)
    if jumps.size:
        return [f"slices are shifted sideways by {aside.max():.4g} mm, between {_pairs(slices, jumps)}"]
    whole = (positions[-1] - positions[0]) / ((positions[-1] - positions[0]) @ normal)
    degrees = float(np.degrees(np.arctan(np.linalg.norm(whole - normal))))
    if degrees > _TILT_DEGREES:
        return [f"the gantry was tilted by {degrees:.1f}°: slices do not follow one another at right angles"]
    if degrees > _SAID_DEGREES:
        notes.append(f"The slices lean by {degrees:.2f}°; the grid leans with them.")
    return []


def _pairs(slices: Sequence[Slice], places: Sequence[int] | np.ndarray) -> str:
    pairs = [f"{_name(slices[each])} and {_name(slices[each + 1])}" for each in places[:_MOST_NAMED]]
    more = len(places) - len(pairs)
    return ", ".join(pairs) + (f" and {more} more" if more else "")


def _named(slices: Sequence[Slice]) -> str:
    """``slice 4``, ``slices 4, 5 and 7`` by InstanceNumber; by the file's name where there is none."""
    names = [_name(each) for each in sorted(slices, key=lambda each: (each.number or 0, each.name))]
    more = len(names) - _MOST_NAMED
    names = [*names[:_MOST_NAMED], f"{more} more"] if more > 0 else names
    text = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"slice{'s' if len(names) > 1 else ''} {text}"


def _name(each: Slice) -> str:
    return str(each.number) if each.number is not None else each.name


def _has(slices: Sequence[Slice], one: str = "has", several: str = "have") -> str:
    return one if len(slices) == 1 else several


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
