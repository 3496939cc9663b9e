"""The folder that all results of a call go to."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock

from autosam_inference.bedside.folder import remove_leftovers
from autosam_inference.errors import UserError

LOCK = ".autosam-predict.lock"


@contextmanager
def only_writer(output: Path) -> Iterator[None]:
    """Make the folder and hold it against other processes.

    Raises:
        UserError: another one writes there, or nobody can.
    """
    lock = filelock.FileLock(output / LOCK)
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"{output}: another autosam-predict writes there: wait, or name another --output.") from None
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror}): name another --output.") from error
    try:
        remove_leftovers(output)
        yield
    finally:
        lock.release()


def require_apart(output: Path, places: Sequence[Path]) -> None:
    """Find out whether results would lie among the scans.

    Raises:
        UserError: they would, or there are no such scans, or the folder is a file.
    """
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file: name a folder for the results.")
    for place in places:
        if not os.path.exists(place):  # ``Path.exists`` raises where the folder may not be looked into
            raise UserError(f"{place} does not exist, or this user may not look at it: check the path.")
        if place.is_dir() and os.path.realpath(place) == os.path.realpath(output):
            raise UserError(f"{output} is the folder of the scans themselves: name another --output.")
