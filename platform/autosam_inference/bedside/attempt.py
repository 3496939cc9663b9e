"""One scan, whatever happens to it: done, or failed for a reason that anybody may read."""

import errno
import functools
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autosam_inference.bedside.finding import FoundScan
from autosam_inference.bedside.folder import folder_for
from autosam_inference.bedside.naming import disguise, public_name
from autosam_inference.bedside.record import ScanRecord
from autosam_inference.bedside.segmenting import Job, segment
from autosam_inference.errors import UserError
from autosam_inference.sliding_window import Progress

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class NoRoomError(UserError):
    """Results cannot be written any more, which is no scan's fault and will be so for the next."""


@dataclass(frozen=True)
class Ending:
    """How it went with one scan.

    Attributes:
        scan: its public name.
        status: ``found``: it was finished before.
        record: None where it failed.
        reason: why it failed, without what tells the patient.
    """

    scan: str
    status: Literal["done", "found", "failed"]
    record: ScanRecord | None = None
    reason: str = ""


def attempt(
    job: Job,
    found: FoundScan,
    progress: Callable[[str], Progress] | None = None,
    tell: Callable[[str, str], None] | None = None,
) -> Ending:
    """Segment a scan and write its results, or find them.

    Args:
        progress: of a scan by its public name.
        tell: hears a scan's public name, and before its windows what cannot be written of its results.

    Raises:
        NoRoomError: the disk of the results is full or read-only.
    """
    name = public_name(found, None, job.options.names)
    try:
        state, content = found.state(), found.content()
        name = public_name(found, content.hash, job.options.names)
        folder = folder_for(job.output, name, content)
        name = folder.name
        said = None if tell is None else functools.partial(tell, name)
        record, before = segment(job, found, content, folder, state, progress and progress(name), said)
        return Ending(name, "found" if before else "done", record)
    except UserError as error:
        reason = str(error)
    except MemoryError:
        reason = "This machine has too little memory for it."
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise NoRoomError(
                f"{job.output} cannot be written ({error.strerror}): make room; the same command goes on from there."
            ) from error
        reason = f"A file cannot be read or written ({error.strerror or type(error).__name__})."
    except Exception as error:
        reason = fault(error)
    return Ending(name, "failed", reason=disguise(found, name)(reason).removeprefix(f"{name}: "))


def fault(error: Exception) -> str:
    """An error of ours: its kind and where it was raised; its message may quote a header, so it stays out."""
    places = [f"{Path(each.filename).name}:{each.lineno}" for each in traceback.extract_tb(error.__traceback__)]
    return f"This is a fault of the program, please report it: {type(error).__name__} at {' < '.join(places[:-6:-1])}."
