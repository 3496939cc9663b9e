"""Commands as they are copied from a page: they work in any terminal of this machine, in whatever folder it is."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from autosam_platform.workspace import workspace
from dashboard.components.base.places import PROJECT

_SERVER = "MLFLOW_TRACKING_URI"


def in_terminal(words: Sequence[str]) -> str:
    """A command with all that it takes from the app's surroundings: the folder, the workspace, the environment.

    Args:
        words: ``python`` and ``ray`` are those of the app's own environment.
    """
    program = {"python": sys.executable, "ray": str(Path(sys.executable).with_name("ray"))}.get(words[0], words[0])
    variables = {"AUTOSAM_WORKSPACE": str(workspace().folder.absolute())}
    variables |= {_SERVER: os.environ[_SERVER]} if _SERVER in os.environ else {}
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    return f"cd {shlex.quote(str(PROJECT))} && {settings} {shlex.join([program, *words[1:]])}"
