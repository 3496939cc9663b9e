"""The folder of a scan's results: it appears whole, and nothing that is not ours is replaced in it."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from autosam_inference.bedside.finding import RESULT
from autosam_inference.bedside.record import ScanRecord, read_record
from autosam_inference.errors import UserError
from autosam_inference.files import content_hash, sync

_TEMPORARY = ".making-"
_DIGITS = 8


class ResultError(UserError):
    """A folder that results cannot be written to; the message names it and what to do."""


def folder_for(output: Path, name: str, content: str, *, series: bool) -> Path:
    """The folder for a scan's results in ``output``: free, or of the same scan.

    A scan of the same name and other content gets a piece of its hash into the name of its folder; a DICOM series that
    was sent again with more slices is the same series, and replaces what was made of fewer.

    Raises:
        ResultError: what lies there is not ours.
    """
    for folder in (output / name, output / f"{name}~{content[:_DIGITS]}"):
        record = read_record(folder)
        if not folder.exists() or (record is not None and (series or record.content == content)):
            return folder
        if record is None and not _is_empty(folder):
            raise ResultError(
                f"{name}: the results' folder has something of this name that is no result of ours (or its record is "
                "damaged), so it is not replaced: move it away, or name another --output."
            )
        if record is None:
            return folder
    raise ResultError(f"{name}: two scans have this name and the same beginning of a hash: name another --output.")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def publish(folder: Path, write: Callable[[Path], ScanRecord]) -> ScanRecord:
    """Have results written to a temporary folder beside ``folder``, and put them there.

    A new folder appears in one step. One that is there already keeps what is not ours; killed while it is changed, it
    says so in its record, and is made again.

    Args:
        write: writes the files into the folder that it is given, and returns what is to be recorded, without ``files``.

    Raises:
        ResultError: a file in the folder that is not ours has the name of one of the results.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=folder.parent, ignore_cleanup_errors=True) as temporary:
        made = Path(temporary) / folder.name
        made.mkdir()
        record = write(made)
        record = record.model_copy(update={"files": {file.name: content_hash(file) for file in made.iterdir()}})
        record.write(made)
        if _is_empty(folder):
            folder.rmdir()
        if folder.exists():
            _replace(made, folder, record)
        else:
            os.replace(made, folder)
        sync(folder.parent)
    return record


def remove_leftovers(output: Path) -> None:
    """Remove what a killed process left; no other may write to ``output`` now."""
    for each in output.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(each, ignore_errors=True)


def _replace(made: Path, folder: Path, record: ScanRecord) -> None:
    before = read_record(folder)
    ours = {f"{folder.name}{RESULT}"} | set(before.files if before else ())
    names = sorted(file.name for file in made.iterdir())
    for name in names:
        if (folder / name).exists() and name not in ours:
            raise ResultError(
                f"{folder.name}: {name} in its folder is no file of ours and is not replaced: move it away."
            )
    record.model_copy(update={"state": "writing", "files": record.files | dict.fromkeys(ours, "")}).write(folder)
    for name in ours - set(names):
        (folder / name).unlink(missing_ok=True)
    for name in record.files:
        os.replace(made / name, folder / name)
    record.write(folder)
