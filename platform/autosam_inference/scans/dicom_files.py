"""Where the files of a DICOM study lie: in a folder, in a zip, or beside the one that was named."""

import io
import itertools
import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from autosam_inference.scans.nifti import ScanError

MOST_FILES = 50_000
"""Files of a study; a whole-body CT with all its reconstructions has some thousands."""
MOST_BYTES = 8 << 30
"""Bytes of a zip, unpacked."""
MOST_MEMBER_BYTES = 2 << 30
"""Bytes of one of its files, which is read as a whole: an enhanced CT of 4,000 slices."""
_CHUNK = 1 << 16
PREAMBLE = 128  # bytes before the mark of a DICOM file


@dataclass(frozen=True)
class DicomPlace:
    """Files by their names, wherever they lie.

    Attributes:
        path: folder or zip.
        names: of the files in it, sorted; not all need be DICOM.
        open: a file by its name.
    """

    path: Path
    names: tuple[str, ...]
    open: Callable[[str], BinaryIO]


def is_dicom(path: Path) -> bool:
    """Whether a path is for this reader: a folder, a zip, or a file that begins as DICOM does."""
    if path.is_dir():
        return True
    try:
        with path.open("rb") as file:
            start = file.read(PREAMBLE + 4)
    except OSError:
        return False
    return begins_as_dicom(start) or start.startswith(b"PK") or path.suffix.lower() == ".zip"


def stands_for_series(path: Path) -> bool:
    """Whether a path is one file of a series, and so names the series, too.

    Raises:
        ScanError: it cannot be read.
    """
    return not path.is_dir() and begins_as_dicom(_start(path))


def begins_as_dicom(start: bytes) -> bool:
    """Whether a file's first 132 bytes are those of a DICOM file."""
    return start[PREAMBLE : PREAMBLE + 4] == b"DICM"


@contextmanager
def opened(path: Path, names: Collection[str] | None = None) -> Iterator[DicomPlace]:
    """The files of a folder and its folders, of a zip, or of the folder in which a file lies.

    Nothing is unpacked on disk: the members of a zip are read where they lie, one at a time.

    Args:
        names: of the files that are wanted, where they are known: a large folder is not searched for them again.

    Raises:
        ScanError: there is nothing, too much, a folder cannot be listed, or the zip is damaged, encrypted or leads out
            of itself.
    """
    if path.is_dir():
        yield _folder(path, _names(path) if names is None else sorted(names))
    elif stands_for_series(path):
        yield _folder(path.parent, _bounded(path.parent, _beside(path)))
    else:
        with _archive(path) as archive:
            members = _members(path, archive)
            kept = members if names is None else tuple(sorted(set(members).intersection(names)))
            yield DicomPlace(path, kept, lambda name: _member(path, archive, name))


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(PREAMBLE + 4)
    except OSError as error:
        raise ScanError(f"{path} cannot be read ({error.strerror}): check the path and its rights.") from None


def _folder(path: Path, names: list[str]) -> DicomPlace:
    return DicomPlace(path, tuple(names), lambda name: (path / name).open("rb"))


def _beside(path: Path) -> list[str]:
    try:
        return sorted(each.name for each in path.parent.iterdir() if each.is_file() and not _hidden(each.name))
    except OSError:
        raise ScanError(unlisted(path.parent)) from None


def _names(path: Path) -> list[str]:
    return _bounded(path, list(itertools.islice(files_below(path), MOST_FILES + 1)))


def unlisted(folder: Path) -> str:
    """What is wrong with a folder that cannot be listed, and what to do."""
    return f"{folder} cannot be listed: check its rights, or move it away from the scans."


def files_below(
    path: Path,
    skipped: Callable[[Path], bool] = lambda folder: False,
    closed: Callable[[Path], None] | None = None,
) -> Iterator[str]:
    """Names of the files in a folder and its folders, relative to it, in order; what is hidden is left out.

    Args:
        skipped: whether a folder below is left out, with all that is in it.
        closed: hears of each folder that cannot be listed; the others are gone through all the same.

    Raises:
        ScanError: a folder cannot be listed, and nobody hears of it: slices may lie in it.
    """

    def refused(error: OSError) -> None:
        folder = Path(error.filename)
        if closed is None:
            raise ScanError(unlisted(folder)) from None
        closed(folder)

    seen: set[str] = set()  # folders may be links, as data lakes have them, and links may go in a circle
    for folder, folders, files in os.walk(path, onerror=refused, followlinks=True):
        seen.add(os.path.realpath(folder))
        inner = (each for each in sorted(folders) if not _hidden(each) and not skipped(Path(folder, each)))
        folders[:] = [each for each in inner if os.path.realpath(Path(folder, each)) not in seen]
        inside = Path(folder).relative_to(path)
        yield from (str(inside / each) for each in sorted(files) if not _hidden(each))


def _bounded(path: Path, names: list[str]) -> list[str]:
    if len(names) > MOST_FILES:
        raise ScanError(f"{path} holds more than {MOST_FILES:,} files: name the folder of one study.")
    return names


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ScanError(f"{path} cannot be read as a zip ({error}): pack or copy it again.") from None
    with archive:
        yield archive


def _members(path: Path, archive: zipfile.ZipFile) -> tuple[str, ...]:
    members = [each for each in archive.infolist() if not each.is_dir()]
    _bounded(path, [each.filename for each in members])
    total = sum(each.file_size for each in members)
    if total > MOST_BYTES:
        raise ScanError(f"{path} unpacks to {total:,} bytes, and at most {MOST_BYTES:,} are taken: pack one series.")
    if any(each.file_size > MOST_MEMBER_BYTES for each in members):
        raise ScanError(f"{path} has a file of more than {MOST_MEMBER_BYTES:,} bytes: pack one series of a CT.")
    for each in members:
        name = each.filename.replace("\\", "/")
        if name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name.partition("/")[0]:
            raise ScanError(f"{path} has a member whose path leads out of it: it is refused; pack it again.")
        if each.flag_bits & 0x1:
            raise ScanError(f"{path} is encrypted: unpack it, and name the folder.")
    return tuple(sorted(each.filename for each in members if not any(map(_hidden, PurePosixPath(each.filename).parts))))


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> BinaryIO:
    """A member as a file; whoever reads it to its end has its checksum compared."""
    try:
        return io.BufferedReader(archive.open(name), _CHUNK)  # type: ignore[type-var]
    # zipfile has no one error: a damaged member, one that is cut short and an unknown packing each raise their own.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        raise ScanError(f"{path} is damaged ({error}): pack or copy it again.") from None
