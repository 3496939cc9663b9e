"""Files that are whole or not there, and names that say what made them."""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
            _sync(temporary)
        os.replace(temporary, path)
        if durable:
            _sync(path.parent)
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
            _sync(file)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Make the folder, or clear it of temporary files that a killed writer left; nobody else may write there now."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if re.match(r"\.[0-9a-f]{8}\.tmp-", path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
