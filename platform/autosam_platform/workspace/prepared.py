"""The folder of prepared cases."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from autosam_inference.scans.names import case_file_name
from autosam_platform.locks import LOCK
from autosam_platform.workspace.paths import WorkspacePaths


@dataclass(frozen=True)
class PreparedFolder:
    """Cases prepared alike: their voxels once, and the datasets that are made of them.

    Attributes:
        paths: the workspace that the paths in its records start from.
    """

    folder: Path
    paths: WorkspacePaths

    @classmethod
    def of(cls, manifest: Path) -> Self:
        """The folder that a dataset's manifest lies in."""
        return cls(manifest.parent, WorkspacePaths(manifest.absolute().parents[2]))

    def case(self, case_id: str, content: str) -> Path:
        """Folder of a case that was made from files of this content."""
        return self._cases / f"{case_file_name(case_id)}-{content[:8]}"

    def versions(self, case_ids: Iterable[str]) -> dict[str, tuple[Path, ...]]:
        """Folders of each case, one for each content that its files had."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self._cases.iterdir()) if self._cases.is_dir() else ():
            found.setdefault(path.name.rpartition("-")[0], []).append(path)
        return {each: tuple(found.get(case_file_name(each), ())) for each in case_ids}

    @property
    def _cases(self) -> Path:
        return self.folder / "cases"

    def manifest(self, fingerprint: str) -> Path:
        """The file that says which cases a dataset has, and what each is for."""
        return self.folder / f"dataset-{fingerprint[:8]}.json"

    def sheet(self, fingerprint: str) -> Path:
        """The page that shows the cases of a dataset; beside it lies the same as JSON."""
        return self.folder / f"sheet-{fingerprint[:8]}.html"

    @property
    def sheets(self) -> list[Path]:
        """What such pages say, as JSON, the newest first."""
        return sorted(self.folder.glob("sheet-*.json"), key=lambda path: path.stat().st_mtime, reverse=True)

    @property
    def lock(self) -> Path:
        """Held by the process that prepares."""
        return self.folder / LOCK
