"""Which files a page may open: ids from the address bar are names, and paths stay under their roots."""

from collections.abc import Iterable
from pathlib import Path


class ReadingError(Exception):
    """Something a page needs cannot be read; the message names it, says what is wrong and what to do."""


def checked_id(kind: str, text: str) -> str:
    """Return ``text`` if it can only be the name of one entry of a folder.

    Args:
        kind: what it identifies, for the message ("run", "case").

    Raises:
        ReadingError: empty, over 200 characters, hidden, or with a separator or control character in it.
    """
    if not is_name(text):
        raise ReadingError(f"{text[:80]!r} is not the name of a {kind}: choose one from the list.")
    return text


def is_name(text: str) -> bool:
    """Can ``text`` only be the name of one entry of a folder?"""
    harmless = text.isprintable() and not set(text) & set("/\\") and not text.startswith(".")
    return bool(text) and len(text) <= 200 and harmless


def run_folder(workspace: Path, run_id: str) -> Path:
    """Folder of a run inside ``workspace``; it need not exist yet.

    Raises:
        ReadingError: ``run_id`` is no name, or leads out of the workspace through a link.
    """
    return inside(workspace / "runs" / checked_id("run", run_id), [workspace])


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
            "or evaluate the run again with the dataset's folder where it is now."
        )
    return resolved
