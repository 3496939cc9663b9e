"""The folder of a scan's results: it appears whole, and nothing that is not ours is replaced in it."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from autosam_inference.bedside.finding import Content
from autosam_inference.bedside.record import ScanRecord, read_record
from autosam_inference.errors import UserError
from autosam_inference.files import content_hash, sync

_TEMPORARY = ".making-"
_DIGITS = 8


class ResultError(UserError):
    """A folder that results cannot be written to; the message names it and what to do."""


def folder_for(output: Path, name: str, content: Content) -> Path:
    """The folder for a scan's results in ``output``: of the same scan, or free.

    A DICOM series that was sent again with more slices replaces what was made of fewer, where it has every one of them.
    Any other scan of the same name gets a piece of its hash into the name of its folder; of a series, too: there are
    anonymisers that write one SeriesInstanceUID into all scans.

    Raises:
        ResultError: what lies there is not ours.
    """
    own, further = output / name, output / f"{name}~{content.hash[:_DIGITS]}"
    known = [own, *sorted(output.glob(f"{name}~*"))] if content.images else [own, further]
    records = [(folder, record) for folder in known if (record := read_record(folder)) is not None]
    same = [folder for folder, record in records if record.content == content.hash]
    fewer = [folder for folder, record in records if record.images and set(record.images) <= set(content.images)]
    if same or fewer:
        return (same + fewer)[0]
    for folder in (own, further):
        if not folder.exists() or _is_empty(folder):
            return folder
        if read_record(folder) is None:
            raise ResultError(
                f"{name}: the results' folder has something of this name that is no result of ours (or its record is "
                "damaged), so it is not replaced: move it away, or name another --output."
            )
    raise ResultError(f"{name}: two scans have this name and the same beginning of a hash: name another --output.")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def publish(folder: Path, write: Callable[[Path], ScanRecord]) -> ScanRecord:
    """Have results written to a temporary folder beside ``folder``, and put them there.

    A new folder appears in one step. One that is there already keeps what is not ours, and under another name, which
    its record's notes tell, what was changed since it was written; killed while it is changed, it says so in its
    record, and is made again.

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
            record = _replace(made, folder, record)
        else:
            os.replace(made, folder)
        sync(folder.parent)
    return record


def remove_leftovers(output: Path) -> None:
    """Remove what a killed process left; no other may write to ``output`` now."""
    for each in output.glob(f"{_TEMPORARY}*"):
        shutil.rmtree(each, ignore_errors=True)


def _replace(made: Path, folder: Path, record: ScanRecord) -> ScanRecord:
    before = read_record(folder)
    written = {*before.files.items(), *before.older.items()} if before else set()
    names = {name for name, _ in written}
    there = {name: content_hash(folder / name) for name in names | record.files.keys() if (folder / name).exists()}
    for name in sorted(there.keys() - names):
        raise ResultError(f"{folder.name}: {name} in its folder is no file of ours and is not replaced: move it away.")
    changed = sorted(name for name, found in there.items() if (name, found) not in written)
    record = record.model_copy(update={"notes": (*record.notes, *(_kept(folder, name) for name in changed))})
    older = {name: found for name, found in there.items() if name not in changed}
    record.model_copy(update={"state": "writing", "older": older}).write(folder)
    for name in older.keys() - record.files.keys():
        (folder / name).unlink(missing_ok=True)
    for name in record.files:
        os.replace(made / name, folder / name)
    record.write(folder)
    return record


def _kept(folder: Path, name: str) -> str:
    """Give another name to a result that was changed, by a person who corrected it perhaps; what to tell of it."""
    ending, number = name.removeprefix(folder.name), 1
    kept = f"{folder.name}~changed{ending}"
    while os.path.lexists(folder / kept):
        number += 1
        kept = f"{folder.name}~changed-{number}{ending}"
    os.replace(folder / name, folder / kept)
    return f"{name} was changed since it was written: it is kept as {kept}."
