"""The command that makes a run: from its own settings, whoever started it."""

from collections.abc import Mapping, Sequence
from typing import Any

from autosam_platform.workspace import RunFolder
from dashboard.components.base.terminal import in_terminal


def repeating(run: RunFolder, config: Mapping[str, Any], role: str) -> tuple[str, list[str]]:
    """The job, and its arguments. Where the run is done it is found, where it stopped it continues.

    Args:
        config: of the run (``run_files.read_config``).
        role: of its model: teacher, student or baseline.
    """
    recipe = ["--recipe", str(run.config)]
    model = str((config.get("model") or {}).get("name"))
    taught = config.get("distillation") or {}
    if taught.get("teacher") and taught.get("kd_lambda", 0) < 1:
        return "distill_student", [*recipe, "--student", model]
    if role == "teacher":
        return "train_teacher", recipe
    return "train_baseline", [*recipe, "--model", model]


def terminal(job: str, arguments: Sequence[str]) -> str:
    """A job and its arguments as one types them in any terminal of this machine."""
    return in_terminal(["python", f"jobs/{job}.py", *arguments])
