"""What `jobs/prepare.py` found out about the cases of a dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from autosam_platform.workspace import PreparedFolder, Workspace
from dashboard.components.base.places import ReadingError, inside
from dashboard.components.record.run_files import read_json

_REMEDY = "jobs/prepare.py writes it anew"
_COLUMNS = ("case", "status", "splits", "voxels", "spacing_mm", "reasons", "picture")


@dataclass(frozen=True)
class Sheet:
    """A prepared dataset: its name, its title, what is said of all of it, and a row per case; rejected ones first."""

    name: str
    title: str
    notes: tuple[str, ...]
    cases: pd.DataFrame
    folder: PreparedFolder

    def picture(self, name: str) -> Path | None:
        """The picture of a case; ``None`` where there is none, as of one that was rejected.

        Raises:
            ReadingError: the record names a file outside the dataset's folder.
        """
        path = inside(self.folder.folder / name, [self.folder.folder]) if name else None
        return path if path is not None and path.is_file() else None


def sheets(workspace: Workspace) -> dict[str, Path]:
    """The records of all datasets that were looked at, by a name for each; the newest first."""
    found = [path for folder in workspace.prepared_folders for path in folder.sheets]
    ordered = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    return {f"{path.parent.name}-{path.stem.rpartition('-')[2]}": path for path in ordered}


def read_sheet(path: Path, workspace: Workspace) -> Sheet:
    """A dataset's record.

    Raises:
        ReadingError: it is damaged.
    """
    told = read_json(path, _REMEDY)
    try:
        rows = [_row(case) for case in told["cases"]]
        cases = pd.DataFrame(rows, columns=_COLUMNS)
        return Sheet(
            str(told["name"]),
            str(told["title"]),
            tuple(map(str, told["notes"])),
            cases,
            workspace.prepared(path.parent.name),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ReadingError(f"{path} is no record of a dataset ({error!r}): {_REMEDY}.") from error


def _row(case: dict[str, Any]) -> tuple[str, ...]:
    joined = {"splits": ", ".join(case["splits"]), "reasons": " ".join(case["reasons"])}
    return tuple(str((case | joined)[name]) for name in _COLUMNS)
