"""Which files a page may open: ids from the address bar are names, and paths stay under their roots."""

import os
from collections.abc import Iterable
from pathlib import Path

from autosam_inference.errors import UserError
from autosam_platform.places import require_local
from autosam_platform.workspace import PredictionFolder, RunFolder, Workspace, WorkspacePaths, workspace

PROJECT = Path(__file__).resolve().parents[3]
"""The project's own folder: its jobs run there, and paths that people type start there."""


_LONGEST_PATH, _LONGEST_NAME = 4096, 255
"""Of Linux; a name in bytes."""
_SUFFIX = 10  # bytes of a name that are kept for a suffix


class ReadingError(UserError):
    """Something a page needs cannot be read; the message names it, says what is wrong and what to do."""


def checked_id(kind: str, text: str) -> str:
    """Return ``text`` if it can only be the name of one entry of a folder.

    Args:
        kind: what it identifies, for the message ("run", "case").

    Raises:
        ReadingError: empty, over 200 characters or too many bytes, hidden, or with a separator or control character.
    """
    if not is_name(text):
        raise ReadingError(f"{text[:80]!r} is not the name of a {kind}: choose one from the list.")
    return text


def is_name(text: str) -> bool:
    """Can ``text`` only be the name of one entry of a folder?"""
    return is_harmless(text) and len(text) <= 200 and len(text.encode()) <= _LONGEST_NAME - _SUFFIX


def is_harmless(text: str) -> bool:
    """Is ``text``, however long, neither hidden nor a way to another folder?"""
    return bool(text) and text.isprintable() and not set(text) & set("/\\") and not text.startswith(".")


def run_folder(workspace: Workspace, run_id: str) -> RunFolder:
    """A run inside ``workspace``; its folder need not exist yet.

    Raises:
        ReadingError: ``run_id`` is no name, or leads out of the workspace through a link.
    """
    run = workspace.run(checked_id("run", run_id))
    inside(run.folder, [workspace.folder])
    return run


def prediction_folder(workspace: Workspace, name: str) -> PredictionFolder:
    """A segmented scan inside ``workspace``.

    Raises:
        ReadingError: ``name`` is no name, leads out of the workspace through a link, or nothing was predicted there.
    """
    folder = inside(workspace.predictions / checked_id("prediction", name), [workspace.folder])
    found = workspace.prediction(name)
    if found is None:
        raise ReadingError(f"{folder} holds no prediction: jobs/predict.py writes one there.")
    return found


def allowed_roots() -> list[Path]:
    """Folders that forms may name files in: the workspace, the project, and those of ``AUTOSAM_ALLOWED_FOLDERS``.

    That variable lists folders as ``PATH`` lists them, with ``:`` between them.
    """
    return [workspace().folder, PROJECT, *allowed_further()]


def allowed_further() -> list[Path]:
    """The folders of ``AUTOSAM_ALLOWED_FOLDERS``."""
    further = os.environ.get("AUTOSAM_ALLOWED_FOLDERS", "").split(os.pathsep)
    return [Path(folder).expanduser() for folder in further if folder]


def allowed_path(text: str) -> Path:
    """The file or folder that a person typed, with links followed, if it lies under an allowed root.

    Raises:
        ReadingError: it lies elsewhere, or is no path.
    """
    if not text.strip() or not text.isprintable():
        raise ReadingError(f"{text[:80]!r} is no path.")
    if len(text) > _LONGEST_PATH or max(len(part.encode()) for part in text.split("/")) > _LONGEST_NAME:
        raise ReadingError(
            f"What begins with {text[:40]!r} has {len(text):,} characters, and is no path: paths have "
            f"{_LONGEST_PATH:,} at most, and each name in them {_LONGEST_NAME}. Copy it again."
        )
    try:
        require_local(text)
    except ValueError as error:
        raise ReadingError(f"{error}, or start the job from a terminal, where --dataset.root takes s3://.") from error
    try:
        return inside(PROJECT / Path(text).expanduser(), allowed_roots())
    except (ReadingError, RuntimeError, OSError) as error:  # no such home, a circle of links
        places = ", ".join(str(root.resolve()) for root in allowed_roots())
        raise ReadingError(
            f"{text} is outside the folders that forms may use ({places}): move it into one of them, or start the app "
            "with AUTOSAM_ALLOWED_FOLDERS=FOLDER."
        ) from error


def recorded_file(path: Path, workspace: WorkspacePaths, roots: Iterable[Path]) -> Path:
    """A file that a record names, if it lies under one of ``roots``; of a copied workspace the copy.

    Raises:
        ReadingError: it lies elsewhere.
    """
    roots = list(roots)
    try:
        return inside(path, roots)
    except ReadingError:
        here = workspace.counterpart(path)  # where the workspace that this one was copied from is still there
        if here is None:
            raise
        return inside(here, roots)


def inside(path: Path, roots: Iterable[Path]) -> Path:
    """Return ``path`` with links followed, if it then lies under one of ``roots`` (links followed as well).

    Raises:
        ReadingError: it lies elsewhere.
    """
    resolved, allowed = path.resolve(), [root.resolve() for root in roots]
    if not any(resolved.is_relative_to(root) for root in allowed):
        places = " and ".join(str(root) for root in allowed)
        raise ReadingError(
            f"{path} is not opened, because pages read only under {places}: move the file there, "
            "evaluate the run again with the dataset's folder where it is now, or start the app with "
            "AUTOSAM_ALLOWED_FOLDERS=FOLDER, where a link leads there."
        )
    return resolved
