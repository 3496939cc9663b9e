"""Commands as they are copied from a page: they work in any terminal of this machine, in whatever folder it is."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from autosam_platform.workspace import workspace
from dashboard.components.base.places import PROJECT

_SERVER = "MLFLOW_TRACKING_URI"
_ASK = f'"${{{_SERVER}:?set it first. It may hold a password, so the page does not show it}}"'
"""The shell's own value, or its refusal: with an empty one the record would go to the workspace's file instead."""


def in_terminal(words: Sequence[str]) -> str:
    """A command with all that it takes from the app's surroundings: the folder, the workspace, the environment.

    Args:
        words: ``python`` and ``ray`` are those of the app's own environment.
    """
    program = {"python": sys.executable, "ray": str(Path(sys.executable).with_name("ray"))}.get(words[0], words[0])
    settings = f"AUTOSAM_WORKSPACE={shlex.quote(str(workspace().folder.absolute()))}"
    server = os.environ.get(_SERVER)
    if server is not None:
        settings += f" {_SERVER}={_ASK if _may_hold_a_password(server) else shlex.quote(server)}"
    return f"cd {shlex.quote(str(PROJECT))} && {settings} {shlex.join([program, *words[1:]])}"


def _may_hold_a_password(server: str) -> bool:
    """As ``user:password@host``, or ``?password=``. It is not parsed: a password may have any sign in it."""
    return "@" in server or "?" in server
