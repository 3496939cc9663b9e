"""Which scans lie in the files, folders and zips that were named."""

import hashlib
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import NamedTuple, TypeAlias

from autosam_inference.errors import UserError
from autosam_inference.files import content_hash
from autosam_inference.scans.dicom_files import DicomPlace, begins_as_dicom, files_below, opened, unlisted
from autosam_inference.scans.dicom_headers import Header, read_headers
from autosam_inference.scans.dicom_series import missing_images
from autosam_inference.scans.names import suffix
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan, read_scan
from autosam_inference.scans.sniffing import first_bytes

RESULT = ".result.json"
"""Ends the record of a finished scan; a folder with one is a result, and no place to look for scans."""
_UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".crdownload")  # as programs call a file that they still copy


FileState: TypeAlias = tuple[tuple[int, int], ...]
"""Sizes and times of files."""
_DIGITS = 16


class Content(NamedTuple):
    """What a scan's bytes are, whatever its files are called.

    Attributes:
        hash: of all of them.
        images: hashes of the files of a series, one each; none of NIfTI. Not their SOPInstanceUIDs: an anonymiser may
            give those of one patient to the next.
    """

    hash: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundScan:
    """A scan to segment; that it is one, reading it will tell.

    Attributes:
        path: NIfTI file; folder or zip of a DICOM series.
        series: its SeriesInstanceUID; None for NIfTI.
        files: names in ``path`` of the series, and of damaged files beside it, which may be some of its slices.
        missing: images that its headers tell of and that are not there; they may be wrong.
    """

    path: Path
    series: str | None = None
    files: tuple[str, ...] = ()
    missing: int = 0

    def read(self, *, straighten: bool = False) -> Scan:
        """See ``read_scan``.

        Raises:
            ScanError: it cannot be used.
        """
        if self.series is None:
            return read_scan(self.path)
        return read_scan(self.path, series=self.series, straighten=straighten, files=self.files)

    def state(self) -> FileState:
        """Sizes and times of its files, by which a change is seen.

        Raises:
            ScanError: one is not there any more.
        """
        packed = self.series is None or self.path.is_file()
        try:
            stats = [os.stat(each) for each in ([self.path] if packed else [self.path / name for name in self.files])]
        except OSError as error:
            raise _unreadable(self.path, error) from None
        return tuple((each.st_size, each.st_mtime_ns) for each in stats)

    def content(self) -> Content:
        """Hashes of its bytes.

        Raises:
            ScanError: they cannot be read.
        """
        try:
            if self.series is None:
                return Content(content_hash(self.path))
            with opened(self.path, self.files) as place:
                digests = sorted(_digest(place, each) for each in place.names)
            return Content(content_hash(digests), tuple(each[:_DIGITS] for each in digests))
        except OSError as error:
            raise _unreadable(self.path, error) from None


def _unreadable(path: Path, error: OSError) -> ScanError:
    return ScanError(f"{path} cannot be read ({error.strerror}): check the path and its rights.")


def _digest(place: DicomPlace, name: str) -> str:
    with place.open(name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it needs no more than read


@dataclass(frozen=True)
class Findings:
    """What lies in the places that were named.

    Attributes:
        scans: each once, in the order of the places.
        faults: places and files that hold no scan though they should, and why.
        left_out: what else is there, in words, with its number.
    """

    scans: tuple[FoundScan, ...]
    faults: tuple[tuple[Path, str], ...] = ()
    left_out: Counter[str] = field(default_factory=Counter)

    def only(self, series: str) -> "Findings":
        """Those of one DICOM series.

        Raises:
            UserError: there is none.
        """
        kept = tuple(each for each in self.scans if each.series == series)
        if not kept:
            known = ", ".join(sorted(each.series for each in self.scans if each.series)) or "no CT series"
            raise UserError(f"--series {series}: there is no such CT series, but {known}.")
        return replace(self, scans=kept, faults=())


class _Told(NamedTuple):
    """What is remembered of a DICOM file: see ``Header``, whose elements are fifty times as large."""

    name: str
    series: str
    frames: int
    number: int | None
    images: int
    unfit: str | None


def _told(header: Header) -> _Told:
    series = sys.intern(header.series)  # one text for all slices
    return _Told(header.name, series, header.frames, header.number, header.images, header.unfit)


@dataclass(frozen=True)
class _Look:
    """What a file is by its first bytes and, of DICOM, by its headers."""

    kind: str
    headers: tuple[_Told, ...] = ()
    reason: str = ""


class Finder:
    """Finds scans; what it has read of a file's headers it remembers until the file changes or is forgotten.

    Args:
        results: folder of results, which is not searched.
    """

    def __init__(self, results: Path) -> None:
        self._results = Path(os.path.realpath(results))
        self._looks: dict[Path, tuple[tuple[int, int], _Look]] = {}

    def find(self, paths: Sequence[Path]) -> Findings:
        """The scans of files, folders and zips: every NIfTI file and every CT series, each once."""
        scans: dict[tuple[str, str | None], FoundScan] = {}
        faults: list[tuple[Path, str]] = []
        left_out: Counter[str] = Counter()
        for path in paths:
            found = self._in_place(path)
            scans |= {(os.path.realpath(each.path), each.series): each for each in found.scans}
            faults += found.faults
            left_out += found.left_out
        return Findings(tuple(scans.values()), tuple(faults), left_out)

    def names(self, folder: Path) -> Iterator[str]:
        """Files of a folder and its folders that may belong to a scan, and folders that cannot be listed, relative to
        it.
        """
        closed: list[Path] = []
        for name in files_below(folder, self._is_result, closed.append):
            if not name.lower().endswith(_UNFINISHED):
                yield name
        yield from (str(each.relative_to(folder)) for each in closed)

    def among(self, folder: Path, names: Iterable[str]) -> Findings:
        """The scans that files of a folder make up."""
        looks = {name: self._look(folder / name) for name in names}
        scans = [FoundScan(folder / name) for name, look in looks.items() if look.kind == "nifti"]
        left_out = Counter(["file that is no scan"] * sum(look.kind == "other" for look in looks.values()))
        dicom = {name: look.headers[0] for name, look in looks.items() if look.kind == "dicom"}
        damaged = {name: look.reason for name, look in looks.items() if look.kind in ("damaged", "empty")}
        series, faults = _series(folder, dicom, damaged, left_out)
        faults = [(path, reason) for path, reason in faults if self._look(path).kind != "empty"]
        closed = [(folder / name, look.reason) for name, look in looks.items() if look.kind == "closed"]
        left_out += Counter(["folder that cannot be listed"] * len(closed))
        for name, look in looks.items():
            if look.kind == "zip":
                members = {each.name: each for each in look.headers}
                series += _series(folder / name, members, {}, left_out, packed=True)[0]
                if look.reason:
                    faults.append((folder / name, look.reason))
        return Findings((*scans, *series), (*faults, *closed), left_out)

    def forget_all_but(self, folder: Path, names: Iterable[str]) -> None:
        """Remember only files that are still there: a folder that is watched for months sees many come and go."""
        there = {folder / name for name in names}
        self._looks = {path: look for path, look in self._looks.items() if path in there}

    def _in_place(self, path: Path) -> Findings:
        if path.is_dir():
            found = self.among(path, self.names(path))
            if not found.scans and not found.faults:
                return replace(found, faults=((path, f"{path} holds neither NIfTI nor a CT series as DICOM."),))
            return found
        look = self._look(path)
        if look.kind == "dicom":
            try:
                beside = [each.name for each in sorted(path.parent.iterdir()) if each.is_file()]
            except OSError:
                return Findings((), ((path, unlisted(path.parent)),))
            return self.among(path.parent, beside).only(look.headers[0].series)
        if look.kind == "zip":
            found = self.among(path.parent, [path.name])
            if not found.scans and not found.faults:
                return replace(found, faults=((path, f"{path} holds no CT series: unpack it, and name the scans."),))
            return found
        return Findings((FoundScan(path),))  # what is wrong with it, reading it will say

    def _is_result(self, folder: Path) -> bool:
        record = folder / f"{folder.name}{RESULT}"  # ``Path.exists`` raises where the folder may not be looked into
        return Path(os.path.realpath(folder)) == self._results or os.path.exists(record)

    def _look(self, path: Path) -> _Look:
        try:
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                return _Look("closed", reason=unlisted(path))  # see ``names``
            state = found.st_size, found.st_mtime_ns
            known, look = self._looks.get(path, (None, None))
            if look is None or known != state:
                look = _look(path)
                self._looks[path] = state, look
            return look
        except OSError as error:
            return _Look("damaged", reason=f"{path} cannot be read ({error.strerror}): check its rights.")


def _look(path: Path) -> _Look:
    if suffix(path):
        return _Look("nifti")
    start = first_bytes(path)
    if path.suffix.lower() == ".zip":
        return _look_into(path, [None])
    if not start.strip(b"\0"):  # a copy that was broken off leaves that, of a slice or of anything
        return _Look("empty", reason=f"{path} is empty: copy it again.")
    return _look_into(path.parent, [path.name]) if begins_as_dicom(start) else _Look("other")


def _look_into(path: Path, names: Sequence[str | None]) -> _Look:
    """Headers of a zip, or of one file of a folder."""
    wanted = [each for each in names if each is not None] or None
    kind = "zip" if wanted is None else "dicom"
    try:
        with opened(path, wanted) as place:
            found = read_headers(place)
    except ScanError as error:
        return _Look("zip" if wanted is None else "damaged", reason=str(error))
    for each in found.unreadable:  # of a zip's series perhaps a slice
        return _Look("zip" if wanted is None else "damaged", reason=each.reason)
    return _Look(kind, tuple(map(_told, found.headers))) if found.headers or wanted is None else _Look("other")


def _series(
    place: Path, headers: dict[str, _Told], damaged: dict[str, str], left_out: Counter[str], *, packed: bool = False
) -> tuple[list[FoundScan], list[tuple[Path, str]]]:
    """The CT series among files, and the damaged files beside no series."""
    groups: dict[str, dict[str, _Told]] = {}
    for name, header in headers.items():
        groups.setdefault(header.series, {})[name] = header
    found: list[FoundScan] = []
    tainted: set[str] = set()
    for uid, group in sorted(groups.items()):
        slices = sum(each.frames for each in group.values() if each.unfit is None)
        if slices < 2:
            words = Counter(each.unfit or "single CT image" for each in group.values())
            left_out += words
            continue
        folders = {PurePath(name).parent for name in group}
        beside = [] if packed else [each for each in damaged if PurePath(each).parent in folders]
        tainted |= set(beside)
        missing = missing_images([each for each in group.values() if each.unfit is None])
        found.append(replace(_found(place, uid, [*group, *beside], packed=packed), missing=missing))
    return found, [(place / name, reason) for name, reason in damaged.items() if name not in tainted]


def _found(place: Path, uid: str, names: Sequence[str], *, packed: bool) -> FoundScan:
    """The folder that holds all files of a series, not one above it."""
    if packed:
        return FoundScan(place, uid, tuple(names))
    root = PurePath(os.path.commonpath([place / PurePath(name).parent for name in names]))
    return FoundScan(Path(root), uid, tuple(str((place / name).relative_to(root)) for name in names))
