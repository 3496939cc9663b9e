"""The workspace's own database of runs: made whole or not at all, and at home wherever the workspace lies."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from autosam_inference.files import atomic_write, remove_leftovers
from autosam_platform.locks import locked
from autosam_platform.tracking.reading import EXPERIMENT, is_whole
from autosam_platform.workspace import Workspace

_LOCATION = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?"
_MOVE_EXPERIMENT = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
_MOVE_RUNS = "UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?) WHERE experiment_id = ?"


def address(file: Path) -> str:
    """As MLflow takes it."""
    return f"sqlite:///{file}"


_seen: set[tuple[Path, int]] = set()  # databases that this process found whole and at home, by place and inode


def ready(workspace: Workspace, make: Callable[[str], None]) -> None:
    """See to it that the database is there and whole.

    MLflow makes tables and upgrades them one version after the other, which a kill may end anywhere, and then neither
    opens nor mends what is left. So it makes them in a file of another name, which takes its own when it is done. What
    versions before this one left half made holds no run, and goes.

    Args:
        make: lets MLflow make a database at an address, and lets go of it.

    Raises:
        TrackingError: the file is there and is no database, or does not answer.
    """
    file = workspace.database
    if _identity(file) in _seen:
        return
    with locked(file.with_name(f".{file.name}.lock")):
        if file.exists() and not is_whole(file):
            for part in (file, *(file.with_name(f"{file.name}-{end}") for end in ("journal", "wal", "shm"))):
                part.unlink(missing_ok=True)
        if not file.exists():
            remove_leftovers(workspace.folder)
            with atomic_write(file) as temporary:
                make(address(temporary))
        else:
            _at_home(workspace)
    _seen.add(_identity(file))


def _identity(file: Path) -> tuple[Path, int]:
    return file, file.stat().st_ino if file.exists() else 0


def artifact_location(workspace: Workspace) -> str:
    """Where the files of runs are kept, as MLflow has it."""
    return workspace.artifacts.as_uri()


def _at_home(workspace: Workspace) -> None:
    """MLflow notes the absolute place of artifacts with every run: in a workspace that was moved, note it anew.

    Otherwise what is added to a run would go to the old place. A place that is not the workspace's own stays.
    """
    here = artifact_location(workspace)
    with closing(sqlite3.connect(workspace.database, timeout=60)) as connection, connection:
        found = connection.execute(_LOCATION, (EXPERIMENT,)).fetchone()
        if found is None or found[1] == here or not _is_ours(found[1], workspace):
            return
        number, old = found
        connection.execute(_MOVE_EXPERIMENT, (here, number))
        connection.execute(_MOVE_RUNS, (f"{old}/", f"{here}/", number))


def _is_ours(location: str, workspace: Workspace) -> bool:
    return location.startswith("file:") and location.endswith(f"/{workspace.artifacts.name}")
