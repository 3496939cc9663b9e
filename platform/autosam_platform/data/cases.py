"""Cases as they are found in a dataset's folder, and what was found there beside them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autosam_inference.errors import UserError
from autosam_inference.scans.names import suffix
from autosam_platform.data.splits import Split


class DatasetError(UserError):
    """A dataset's folder that is not what its description says; the message tells what is expected."""


@dataclass(frozen=True)
class Case:
    """One scan and its label map.

    Attributes:
        case_id: name of the image file without suffix (and without nnU-Net's channel number), or of its folder where a
            description says so.
        image, label: where the layout has them; whether they are there and fit is for the checks to say.
            ``label`` is None where the layout has none, as in a test list, and where there are masks.
        splits: what the case is used for; more than one only where a description asks for that.
        masks: names of organs, as the files have them, and the mask of each.
        problem: why the case cannot be used, where that is seen from its files' names.
    """

    case_id: str
    image: Path
    label: Path | None
    splits: tuple[Split, ...]
    masks: tuple[tuple[str, Path], ...] = ()
    problem: str = ""

    @property
    def truth(self) -> Path | None:
        """The label map, or the first of the masks."""
        return self.masks[0][1] if self.masks else self.label

    @property
    def hashed(self) -> list[str | Path]:
        """What of the case decides its voxels, for ``content_hash``: its files, the organs they show, its problem."""
        files = [part for path in (self.image, self.label) for part in _contents(path)]
        masks = [part for organ, path in self.masks for part in (organ, *_contents(path))]
        return [*files, *masks, *([self.problem] if self.problem else [])]


def _contents(path: Path | None) -> list[str | Path]:
    """The file, or all files of a folder; a word for each that may not be read."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path is not None and path.is_dir() else [path]
    return [
        each if each is not None and os.path.isfile(each) and os.access(each, os.R_OK) else "missing" for each in files
    ]


@dataclass(frozen=True)
class LeftOut:
    """A file, or a folder, that is in the dataset's folder and in no case.

    Attributes:
        name: from the dataset's folder; of many alike a pattern.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Pair:
    """The files of a case that a layout found, before it has a split.

    Attributes:
        list_name: of the dataset's own lists.
    """

    case_id: str
    image: Path
    label: Path | None
    list_name: str = "training"
    masks: tuple[tuple[str, Path], ...] = ()
    problem: str = ""


@dataclass
class Findings:
    """What a layout found."""

    pairs: list[Pair] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def is_scan(path: Path) -> bool:
    """Is it a file, or a link to one, that is called as NIfTI files are?"""
    return bool(suffix(path)) and not path.is_dir()


def is_dicom_study(path: Path) -> bool:
    """Can it hold a DICOM study: a folder with files in it or below, or a zip?"""
    if path.is_dir():
        return any(each.is_file() and not suffix(each) for each in path.rglob("*"))
    return path.suffix.lower() == ".zip"


def is_dicom_label(path: Path) -> bool:
    """Is it NIfTI by its name, or a DICOM SEG?"""
    return is_scan(path) or (path.suffix.lower() == ".dcm" and not path.is_dir())


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, in the order of names; nothing hidden, as macOS makes (``._img…``).

    Raises:
        DatasetError: it may not be read.
    """
    if not folder.is_dir():
        return []
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read ({error.strerror}): ask for the right to.") from None


def name_in(folder: Path, path: Path) -> str:
    """The path from the dataset's folder, in characters that can be written."""
    return path.relative_to(folder).as_posix().encode(errors="backslashreplace").decode()


_MOST_NAMED = 5


def listed(names: Sequence[str]) -> str:
    """Names for a message, the first few of many.

    >>> listed(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    more = len(names) - _MOST_NAMED
    return f"{', '.join(names[:_MOST_NAMED])}{f' and {more} more' if more > 0 else ''}"


def writable_name(path: Path) -> bool:
    """Can the name be written into records? Names of other encodings than UTF-8 cannot."""
    return path.name.isprintable() and path.name == path.name.encode(errors="replace").decode()


def doubled(folder: Path, paths: list[Path]) -> str:
    """The problem of a case of whose files there are several, or nothing."""
    if len(paths) < 2:
        return ""
    names = " and ".join(name_in(folder, path) for path in paths)
    return f"{names} are both there, and nothing says which one counts: remove one."


def unfitting(folder: Path, looked_at: set[Path], used: set[Path], unnamed: str) -> list[LeftOut]:
    """What lies in the folders that were looked at and is not in ``used``, with the reason.

    Args:
        unnamed: the reason where it is a scan by its suffix.
    """
    folders = {path.parent for path in used}
    on_the_way = folders | {parent for each in folders for parent in each.parents}
    found = [
        LeftOut(name_in(folder, path), reason)
        for place in sorted(looked_at)
        for path in entries(place)
        if path not in used and path not in on_the_way and used.isdisjoint(path.parents)
        if (reason := _why_unfitting(path, looked_at, unnamed))
    ]
    return found


def _why_unfitting(path: Path, looked_at: set[Path], unnamed: str) -> str:
    if not writable_name(path):
        return "its name is not written in UTF-8, or holds characters that cannot be printed: rename it"
    if path.is_dir():
        try:
            held = entries(path)
        except DatasetError:
            return "a folder that may not be read"
        if path in looked_at:
            return "" if held else "an empty folder"
        return "a folder that was not looked into" if suffix(path) or any(map(is_scan, held)) else ""
    return unnamed if suffix(path) else "no NIfTI file (.nii, .nii.gz)"
