"""Folders that one process of this machine works in at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

LOCK = ".lock"
"""Held in the folder of a run or a sweep by the process that makes it."""
LOOK_SECONDS = 1.0
"""How long to try for such a lock, since a page that looks whether it is held has it for an instant."""


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """Hold ``path`` (a lock file) against the other processes of this machine; wait while one of them does.

    Args:
        busy: is printed where that has to be waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=-1 if busy is None else LOOK_SECONDS)
    except filelock.Timeout:
        print(busy, flush=True)
        lock.acquire(poll_interval=LOOK_SECONDS)
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Does a process of this machine hold ``path`` (a lock file)? One that we may not touch counts as held."""
    try:
        with filelock.FileLock(path, timeout=0):
            return False
    except (filelock.Timeout, PermissionError):
        return True
