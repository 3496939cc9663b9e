"""Files that are whole or not there, and names that say what made them."""

import errno
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # of folders of shares, whose server keeps the names
_LONGEST = 200  # characters of a name: the temporary one is longer, and no file system takes more than 255


@contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it is synced to disk and takes its name in one step.

    The temporary name keeps the suffixes (``.nii.gz``), since writers choose a format by them. After an error
    or an interruption ``path`` is what it was before.

    Args:
        durable: wait for the disk; a file that means nothing after a crash need not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp-{path.name[-_LONGEST:]}")
    try:
        yield temporary
        if durable:
            sync(temporary)
        os.replace(temporary, path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path`` on success: a folder that appears whole, or not at all.

    ``path`` must not exist yet.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp-{path.name}")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Make the folder, or clear it of temporary files that a killed writer left; nobody else may write there now."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if re.match(r"\.[0-9a-f]{8}\.tmp-", path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically; the same bytes on every system.

    What is no character (a file's name in another encoding has such) is written as its code.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


class DamagedError(ValueError):
    """Bytes that are not those that were written."""


_SEAL = "seal"


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as ``write_json`` does, with a hash of it in the field ``seal``."""
    plain = json.loads(json.dumps(value, allow_nan=False))  # as it will be read: keys are texts
    write_json(path, plain | {_SEAL: content_hash(plain)})


def unsealed(text: bytes, *, since: str | None = None) -> dict[str, Any]:
    """What ``write_sealed`` wrote, without the seal; what was written without one, as it is.

    Args:
        since: a field that only sealed ones have: a text with it must have a seal.

    Raises:
        DamagedError: it is no JSON object, or something in it was changed since.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DamagedError(str(error)) from error
    if not isinstance(value, dict):
        raise DamagedError("no JSON object")
    seal = value.pop(_SEAL, None)
    older = seal is None and (since is None or value.get(since) is None)
    if not older and seal != content_hash(value):
        raise DamagedError("it was changed since it was written")
    return value


def require_intact(path: Path, expected: str) -> None:
    """Compare a file with the hash of what was written; each version of a file is read once per process for it.

    Raises:
        DamagedError: it is another file.
        OSError: it cannot be read.
    """
    state = path.stat()
    if _hash_of(path, state.st_mtime_ns, state.st_size) != expected:
        raise DamagedError(f"{path} was damaged or changed since it was written")


@functools.lru_cache(maxsize=4096)
def _hash_of(path: Path, mtime_ns: int, size: int) -> str:
    return content_hash(path)


def content_hash(*parts: Any) -> str:
    """16 hex digits of SHA-256 over ``parts``: JSON-able values, and ``Path``s, which count as their bytes."""
    digest = hashlib.sha256()
    for part in parts:
        text = _file_digest(part) if isinstance(part, Path) else json.dumps(part, sort_keys=True, default=str)
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folder, and keeps their names by its own journal
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows syncs what it may write
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in _NO_SYNC):
            raise
    finally:
        os.close(descriptor)
