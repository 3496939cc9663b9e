"""The project's jobs, and what they say of themselves: what can be set, and whether settings can be run.

They are asked in a process of their own, which may end with a refusal.
"""

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import streamlit as st
import yaml

from autosam_platform.workspace import workspace
from dashboard.components.base.places import PROJECT, ReadingError, allowed_path

_JOBS = PROJECT / "jobs"
_SECONDS = 120  # the slowest disk has imported everything by then
_FRAME = re.compile(r"[─-╿]|\[type=.*?(?=For full|$)|For full helptext.*$", re.DOTALL)


@dataclass(frozen=True)
class JobKind:
    """One of our jobs.

    Attributes:
        name: of its script in jobs/, without suffix.
        about: what it does, in a line.
        network: the flag that takes the place of the recipe's network; empty where there is none.
        recipe: the one taken where none is named; empty where the job has none.
        sections: those of its settings that it uses; all where none is named.
        common: settings that are seen at once; the others are under "more".
    """

    name: str
    about: str
    network: str = ""
    recipe: str = ""
    sections: tuple[str, ...] = ()
    common: tuple[str, ...] = ()

    @property
    def script(self) -> Path:
        """Path of the script."""
        return _JOBS / f"{self.name}.py"


_ALONE = ("", "dataset", "model", "training", "inference", "compute")  # nothing to learn from a teacher
_DATA = ("dataset.name", "dataset.root")
_TRAINING = ("training.epochs", "training.learning_rate", "training.batch")
_FIT = (*_DATA, "model.name", "model.checkpoint", *_TRAINING, "compute.workers", "compute.gpu")
_KD = ("distillation.teacher", "distillation.kd_lambda")

KINDS = {
    kind.name: kind
    for kind in (
        JobKind("prepare", "Check and prepare a data set.", "", "demo", ("dataset",), _DATA),
        JobKind("train_teacher", "Train a teacher and evaluate it.", "", "demo", _ALONE, _FIT),
        JobKind("train_baseline", "Train a student or a baseline without a teacher.", "--model", "demo", _ALONE, _FIT),
        JobKind("distill_student", "Distil a teacher into a student.", "--student", "distill", (), (*_FIT, *_KD)),
        JobKind("sweep", "Make a run for each point of a space.", "", "", (), (*_FIT, "trials", "grid")),
        JobKind("export", "Export a finished student as a bundle.", "", "", (), ("run", "output")),
        JobKind("evaluate", "Evaluate a finished run.", "", "", (), ("run", "split", "overlap")),
    )
}
"""What can be launched: nothing else is."""


def scripts_of_jobs() -> list[str]:
    """All that a terminal may send, more than can be launched here."""
    return sorted(path.stem for path in _JOBS.glob("*.py") if not path.stem.startswith("_"))


def names_in(folder: str) -> list[str]:
    """Recipes ("recipes") or spaces ("spaces") that come with the project."""
    return sorted(path.stem for path in (_JOBS / folder).glob("*.yaml"))


def asked_schema(kind: JobKind, picks: Sequence[str]) -> dict[str, Any]:
    """What can be set in a job: its JSON Schema, and the values that its recipe gives.

    Args:
        picks: arguments that decide the recipe or its network, such as ``--recipe btcv``.

    Raises:
        ReadingError: the job refuses them, with its reason.
    """
    with st.spinner("Asking the job what can be set …"):
        return _schema(kind.name, tuple(picks), (_newest(), *file_stamps(picks)))


def checked_settings(kind: JobKind, arguments: Sequence[str]) -> dict[str, Any]:
    """The settings that a job would run with, resolved and found valid by the job itself.

    Raises:
        ReadingError: it refuses them, with its reason.
    """
    with st.spinner("The job checks the settings …"):
        return yaml.safe_load(_asked(kind.name, [*arguments, "--check"]))


def file_stamps(words: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Times and sizes of the files that arguments name as recipe or space: another one when somebody edits them."""
    named = [PROJECT / value for flag, value in pairwise(words) if flag in ("--recipe", "--space")]
    found = [file.stat() for file in named if file.is_file()]  # others come with the project, by their names
    return tuple((each.st_mtime_ns, each.st_size) for each in found)


def refuse_outside(resolved: Any) -> None:
    """See that no setting, of a recipe or of a form, names a file outside the allowed folders, alone or among several.

    Raises:
        ReadingError: one does.
    """
    if isinstance(resolved, dict | list):
        for value in resolved.values() if isinstance(resolved, dict) else resolved:
            refuse_outside(value)
    elif isinstance(resolved, str):
        for name in (resolved, *resolved.split(",")):  # several teachers are named with commas between them
            if set(name) & set("/\\~") or (PROJECT / name).exists():
                allowed_path(name.strip())


@functools.lru_cache(maxsize=64)
def _schema(name: str, picks: tuple[str, ...], stamps: tuple[float | tuple[int, int], ...]) -> dict[str, Any]:
    """What can be set, which holds as long as the job's code and the files of ``picks`` do (``stamps``)."""
    return json.loads(_asked(name, [*picks, "--schema"]).splitlines()[-1])


def _asked(name: str, arguments: Sequence[str]) -> str:
    """What the job prints, asked anew."""
    command = [sys.executable, str(KINDS[name].script), *arguments]
    settings = {**os.environ, "AUTOSAM_WORKSPACE": str(workspace())}
    try:
        done = subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ReadingError(f"jobs/{name}.py did not answer within {_SECONDS} seconds: is the machine busy?") from error
    if done.returncode:
        raise ReadingError(f"jobs/{name}.py refuses this: {_reason(done.stderr or done.stdout)}")
    return done.stdout


def _reason(text: str) -> str:
    """A refusal without the frame that the command line draws around it."""
    return " ".join(_FRAME.sub(" ", text).split()) or "it ended without saying why"


def _newest() -> float:
    """When the code, a recipe or a space was changed last."""
    files = (file for part in ("jobs", "platform", "models") for file in (PROJECT / part).rglob("*"))
    return max(file.stat().st_mtime for file in files if file.suffix in (".py", ".yaml"))
