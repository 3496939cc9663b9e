"""Which series of a study is the scan."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from autosam_inference.scans.dicom_headers import Header
from autosam_inference.scans.nifti import ScanError

_MOST_NAMED = 8
_LABEL_MAP = "SEG image"  # beside its scan no other choice


@dataclass(frozen=True)
class Series:
    """The files of a series that are slices of a CT, and why the others are none."""

    uid: str
    headers: tuple[Header, ...]
    left_out: Counter[str]

    @property
    def slices(self) -> int:
        return sum(each.frames for each in self.headers)

    @property
    def number(self) -> int | None:
        """That the scanner gave it."""
        return self.headers[0].series_number if self.headers else None

    @property
    def words(self) -> str:
        """The series in a list for a person; its descriptions may name the patient, so they stay out."""
        if not self.headers:
            return f"{self.uid} ({_counted(self.left_out)})"
        return f"{self.uid} (CT, {self.slices} slice{'s' if self.slices > 1 else ''})"


def choose(path: Path, headers: Iterable[Header], uid: str | None) -> tuple[Series, tuple[str, ...]]:
    """The series that is asked for, or the CT with most slices; and what to tell about the choice.

    Raises:
        ScanError: there is no CT, or no series of that UID.
    """
    known = _grouped(headers)
    if not known:
        raise ScanError(
            f"{path} holds no DICOM images: name the folder, zip or a file of one CT series, or a NIfTI file."
        )
    if uid is not None:
        chosen = _asked_for(path, known, uid)
        return chosen, _dropped(chosen)
    candidates = _in_order(known)
    if not candidates:
        reasons = sum((each.left_out for each in known), Counter[str]())
        raise ScanError(f"{path} holds no CT series, but {_counted(reasons)}: name the series of a plain CT.")
    chosen = candidates[0]
    return chosen, (*_choice(chosen, [each for each in known if each is not chosen]), *_dropped(chosen))


class Numbered(Protocol):
    """What tells of an image whether others are missing; see ``Header``."""

    @property
    def frames(self) -> int: ...

    @property
    def number(self) -> int | None: ...

    @property
    def images(self) -> int: ...


def missing_images(images: Sequence[Numbered]) -> int:
    """How many images of a series there should be more, by the scanner's own count or by their numbers.

    Both may be wrong. An enhanced image is whole by itself.
    """
    if any(each.frames > 1 for each in images):
        return 0
    numbers = [each.number for each in images if each.number is not None]
    counted = max(numbers) - min(numbers) + 1 if numbers else 0
    return max(0, max(counted, *(each.images for each in images)) - len(images))


def usable(headers: Iterable[Header]) -> tuple[Series, ...]:
    """The CT series, in the order in which they are preferred."""
    return _in_order(_grouped(headers))


def _in_order(known: list[Series]) -> tuple[Series, ...]:
    return tuple(
        sorted(
            (each for each in known if each.headers),
            key=lambda each: (-each.slices, each.number is None, each.number or 0, each.uid),
        )
    )


def _grouped(headers: Iterable[Header]) -> list[Series]:
    groups: dict[str, list[Header]] = {}
    for each in headers:
        groups.setdefault(each.series, []).append(each)
    return [
        Series(
            uid,
            headers=tuple(each for each in group if each.unfit is None),
            left_out=Counter(each.unfit for each in group if each.unfit is not None),
        )
        for uid, group in sorted(groups.items())
    ]


def _asked_for(path: Path, known: list[Series], uid: str) -> Series:
    for each in known:
        if each.uid == uid:
            if not each.headers:
                raise ScanError(f"{path}: the series {uid} is no CT, but {_counted(each.left_out)}: name another one.")
            return each
    raise ScanError(f"{path} holds no series {uid}; there is {_named(known)}.")


def _choice(chosen: Series, others: list[Series]) -> tuple[str, ...]:
    others = [each for each in others if set(each.left_out) != {_LABEL_MAP} or each.headers]
    if not others:
        return ()
    return (
        f"Of {len(others) + 1} series the CT with most slices is used, {chosen.words}; there is also {_named(others)}.",
    )


def _dropped(chosen: Series) -> tuple[str, ...]:
    return (f"Of the series {_counted(chosen.left_out)} are left out.",) if chosen.left_out else ()


def _named(series: list[Series]) -> str:
    named = ", ".join(each.words for each in series[:_MOST_NAMED])
    more = len(series) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common())
