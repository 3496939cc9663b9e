"""A bundle on its way to its place: whole or not there, and never in the place of anything else."""

import hashlib
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from autosam_inference.bundle import Bundle, BundleError
from autosam_inference.bundle.card import CARD
from autosam_inference.files import atomic_folder, atomic_write, write_sealed
from autosam_platform.export.network import ExportError
from autosam_platform.locks import locked


def write_bundle(place: Path, fill: Callable[[Path], dict[str, Any]]) -> None:
    """Make a bundle at ``place``: a zip where it ends in ``.zip``, else a folder.

    Args:
        fill: writes the bundle's files into a folder and returns what its card says, but for the files' hashes.

    Raises:
        ExportError: something that is no bundle lies there.
    """
    require_replaceable(place)
    _require_writable(place.parent)
    with _only_export_to(place):
        _remove_leftovers(place)
        if place.suffix.lower() == ".zip":
            _write_zip(place, fill)
        else:
            _write_folder(place, fill)


@contextmanager
def _only_export_to(place: Path) -> Iterator[None]:
    """Hold a lock beside ``place``, which is gone afterwards."""
    lock = place.with_name(f".{place.name}.lock")
    with locked(lock):
        try:
            yield
        finally:  # while it is held: who waited for it looks whether it is still there, and takes a new one
            with suppress(PermissionError):  # Windows, where the lock's release removes it
                lock.unlink(missing_ok=True)


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"{folder} cannot be made ({error.strerror}): name another place.") from error
    if not os.access(folder, os.W_OK):
        raise ExportError(f"{folder} may not be written to: name another place.")


def require_replaceable(place: Path) -> None:
    """Refuse a place that something other than a bundle has.

    Raises:
        ExportError: names it.
    """
    if (place.exists() or place.is_symlink()) and not _is_ours(place):
        raise ExportError(f"{place} is there and is no bundle, so it is not replaced: name another place or remove it.")


def _is_ours(place: Path) -> bool:
    """Is it a bundle, if a damaged one, or an empty folder? A link may lead to anything."""
    if place.is_symlink():
        return False
    if place.is_dir() and not any(place.iterdir()):
        return True
    try:
        Bundle.describe(place)
    except BundleError:
        return False
    return True


def _write_folder(place: Path, fill: Callable[[Path], dict[str, Any]]) -> None:
    fresh = _aside(place)
    with atomic_folder(fresh) as folder:
        seal(folder, fill(folder))
    try:
        if place.exists():
            old = _aside(place)
            os.replace(place, old)
            os.replace(fresh, place)
            shutil.rmtree(old)
        else:
            os.replace(fresh, place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _write_zip(place: Path, fill: Callable[[Path], dict[str, Any]]) -> None:
    folder = _aside(place)
    try:
        folder.mkdir()
        seal(folder, fill(folder))
        with atomic_write(place) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                archive.write(path, path.relative_to(folder).as_posix())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def seal(folder: Path, card: dict[str, Any]) -> None:
    """Write the card of all files that lie in the folder, in place of one that is there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / CARD)
    listed = {path.relative_to(folder).as_posix(): _record(path) for path in files}
    write_sealed(folder / CARD, card | {"files": listed})


def _record(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _aside(place: Path) -> Path:
    return place.with_name(f".{secrets.token_hex(4)}.tmp-{place.name}")


def _remove_leftovers(place: Path) -> None:
    """What an export to this place left when it was killed; the lock says that none is at work."""
    ours = re.compile(rf"(\.[0-9a-f]{{8}}\.tmp-){{1,2}}{re.escape(place.name)}")
    for path in place.parent.iterdir():
        if ours.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
