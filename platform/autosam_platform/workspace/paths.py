"""Paths as records have them: from the workspace's folder, so that a workspace can be moved, renamed or mounted."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosam_platform.experiment import Experiment, several

_PATHS = (
    *(("dataset", "name"), ("dataset", "root"), ("model", "checkpoint")),
    *(("distillation", "teacher"), ("distillation", "unlabelled")),
)
"""Settings of an experiment that may be paths; a name is none, since nothing of that name lies in the workspace."""
_SEVERAL = "teacher"
"""The one of them that may be several paths."""


@dataclass(frozen=True)
class WorkspacePaths:
    """The workspace as a place that paths start from."""

    folder: Path

    def relative(self, path: str | Path) -> str:
        """``path`` for a record: from the workspace's folder where it lies inside, else absolute."""
        absolute = Path(os.path.abspath(path))
        for place, root in ((absolute, self.folder), (absolute.resolve(), self.folder.resolve())):
            if place.is_relative_to(root):
                return place.relative_to(root).as_posix()
        return str(absolute)

    def resolve(self, recorded: str | Path) -> Path:
        """The file that a record means.

        Records of earlier versions have absolute paths. One that is not there any more may have lain in this
        workspace before it was moved: the longest end of it, of two parts or more, that is in the workspace counts.
        They may also have paths from the folder that a job was started in, which are kept where there is such a file.
        """
        path = Path(recorded)
        if not path.is_absolute():
            here = self.folder / path
            return here if here.exists() or not path.exists() else path
        return path if path.exists() else self.counterpart(path) or path

    def counterpart(self, path: Path) -> Path | None:
        """The file here that has the place of an absolute ``path`` in a workspace that this one is a copy of."""
        return next(self._counterparts(path), None)

    def _counterparts(self, path: Path) -> Iterator[Path]:
        parts = path.parts[1:]
        for start in range(len(parts) - 1):
            here = self.folder.joinpath(*parts[start:])
            if ".." not in parts and here.exists():
                yield here

    def recorded_settings(self, experiment: Experiment) -> dict[str, Any]:
        """An experiment's settings as records have them, as plain values."""
        settings = experiment.model_dump(mode="json")
        for section, name in _PATHS:
            value = settings[section][name]
            if value is not None:
                parts = self.teachers(value) if name == _SEVERAL else (value,)
                settings[section][name] = ",".join(
                    self.relative(each) if Path(each).exists() else each for each in parts
                )
        return settings

    def settings_here(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """Recorded settings with paths that lead to the files wherever the workspace lies now."""
        settings = dict(recorded)
        for section, name in _PATHS:
            part = settings.get(section)
            value = part.get(name) if isinstance(part, dict) else None
            if isinstance(part, dict) and isinstance(value, str) and value:
                settings[section] = part | {name: self._here(value, name)}
        return settings

    def _here(self, recorded: str, name: str) -> str:
        places = {each: self.resolve(each) for each in (self.teachers(recorded) if name == _SEVERAL else [recorded])}
        return ",".join(str(place) if place.exists() else each for each, place in places.items())

    def teachers(self, told: str) -> tuple[str, ...]:
        """The teachers that a setting names, each by itself; see ``experiment.several``.

        Only then are they looked for: of several paths in one text ``resolve`` would find the end of the last.
        """
        return (told,) if (self.folder / told).exists() else several(told)
