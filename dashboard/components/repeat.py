"""The command that makes a run again: its own settings as the recipe of the job that made it."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def repeat_command(folder: Path, config: Mapping[str, Any], role: str) -> str:
    """For a shell in the project's folder. Where the run is done it is found, where it stopped it continues.

    Args:
        config: of the run (``records.read_config``).
        role: of its model: teacher, student or baseline.
    """
    recipe = ["--recipe", str(folder / "config.yaml")]
    model = str((config.get("model") or {}).get("name"))
    taught = config.get("distillation") or {}
    if taught.get("teacher") and taught.get("kd_lambda", 0) < 1:
        job = ["jobs/distill_student.py", *recipe, "--student", model]
    elif role == "teacher":
        job = ["jobs/train_teacher.py", *recipe]
    else:
        job = ["jobs/train_baseline.py", *recipe, "--model", model]
    return shlex.join(["python", *job])
