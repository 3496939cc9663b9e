"""The files of a bundle, in a folder or in a zip, read without unpacking, and none from anywhere else.

A name is taken only if it leads nowhere but into the bundle: no ``..``, no absolute path, no drive, no link. A zip is
read member by member, each no further than the length that its own directory states, and that is bounded before.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from autosam_inference.bundle.card import CARD, BundleError

LARGEST = 4 << 30
"""Bytes of all files of a bundle together; the largest network here makes half of it."""
MOST_FILES = 1000

_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"}
"""What file managers leave where somebody looked; never read."""
_PIECE = 1 << 20


@dataclass(frozen=True)
class BundleFiles:
    """The files by their paths in the bundle.

    Attributes:
        place: folder or zip.
        sizes: bytes of every file.
        open: a file, from its beginning.
    """

    place: Path
    sizes: dict[str, int]
    open: Callable[[str], AbstractContextManager[BinaryIO]]

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a file, a MiB at a time.

        Raises:
            BundleError: it is not there, cannot be read, or is damaged so that the zip itself shows it.
        """
        if name not in self.sizes:
            raise BundleError(f"{self.place}: {name} is missing: copy the whole bundle again.")
        try:
            with self.open(name) as file:
                while piece := file.read(_PIECE):
                    yield piece
        # zipfile has no one error: a damaged member, one that is cut short and an unknown packing each raise their own.
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError) as error:
            raise BundleError(f"{self.place}: {name} cannot be read ({error}): copy the bundle again.") from error


def bundle_files(place: Path) -> BundleFiles:
    """The files of the bundle at ``place``; one folder around all of a zip's members does not count.

    Raises:
        BundleError: there is no bundle, it is too large, or a path in it leads out.
    """
    found = _in_folder(place) if place.is_dir() else _in_zip(place)
    if len(found.sizes) > MOST_FILES or sum(found.sizes.values()) > LARGEST:
        raise BundleError(
            f"{place} holds {len(found.sizes):,} files of {sum(found.sizes.values()):,} bytes, and a bundle has at "
            f"most {MOST_FILES:,} of {LARGEST:,}: it is refused."
        )
    return found


def _in_folder(place: Path) -> BundleFiles:
    sizes: dict[str, int] = {}
    for path in _walk(place):
        name = path.relative_to(place).as_posix()
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode):
            raise BundleError(f"{place}: {name} is a link or no plain file, which may lead out of the bundle: refused.")
        sizes[name] = state.st_size
    return BundleFiles(place, sizes, lambda name: (place / name).open("rb"))


def _walk(folder: Path) -> Iterator[Path]:
    """All that lies in the folder and is no folder; links are given, not followed."""
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        if entry.name in _LITTER:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)


def _in_zip(place: Path) -> BundleFiles:
    try:
        with zipfile.ZipFile(place) as archive:
            members = {_safe(place, each): each for each in archive.infolist() if not each.is_dir()}
            if len(members) < sum(not each.is_dir() for each in archive.infolist()):
                raise BundleError(f"{place} has two members of one name, of which either may be read: refused.")
    except FileNotFoundError:
        raise BundleError(f"{place} is not there: name a bundle's folder or zip.") from None
    # Of a directory that is damaged on purpose zipfile raises the last two: offsets below zero, and newer kinds of zip.
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BundleError(f"{place} cannot be read as a zip ({error}): copy the bundle again.") from None
    around = _folder_around(members)
    inside = {
        name.removeprefix(around): each
        for name, each in members.items()
        if not _LITTER & set(PurePosixPath(name).parts)
    }
    return BundleFiles(
        place, {name: each.file_size for name, each in inside.items()}, lambda name: _member(place, inside[name])
    )


@contextmanager
def _member(place: Path, member: zipfile.ZipInfo) -> Iterator[BinaryIO]:
    """A member as a file, which ends where the zip's directory says; the zip is open no longer than that."""
    with zipfile.ZipFile(place) as archive, archive.open(member) as file:
        yield cast(BinaryIO, file)


def _safe(place: Path, member: zipfile.ZipInfo) -> str:
    """The member's name, if it stays inside and can be read."""
    name = member.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or ":" in name or stat.S_ISLNK(member.external_attr >> 16):
        raise BundleError(f"{place} has a member that leads out of it ({name[:80]!r}): it is refused.")
    if member.flag_bits & 0x1:
        raise BundleError(f"{place} is encrypted: unpack it, and name the folder.")
    return name


def _folder_around(names: "dict[str, zipfile.ZipInfo]") -> str:
    """``bundle/`` where the card is ``bundle/configs/card.json``, as when somebody packed the folder itself."""
    if CARD in names:
        return ""
    card = [name for name in names if name.endswith(f"/{CARD}") and name.count("/") == CARD.count("/") + 1]
    return card[0].removesuffix(CARD) if len(card) == 1 else ""
