"""The one folder everything lives in."""

import os
from pathlib import Path


def workspace() -> Path:
    """The folder of prepared data, runs, predictions and tracking: ``AUTOSAM_WORKSPACE``, else ``./workspace``.

    Raises:
        NotADirectoryError: the path exists and is no folder.
    """
    folder = Path(os.environ.get("AUTOSAM_WORKSPACE") or _default_workspace()).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"{folder} is a file, but the workspace is a folder: remove it or set AUTOSAM_WORKSPACE to another path."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _default_workspace() -> Path:
    """`ray job submit --working-dir` runs a job in a copy of the folder that Ray deletes: nothing may be kept there."""
    uploaded = "runtime_resources" in Path.cwd().parts
    return Path.home() / "autosam-workspace" if uploaded else Path("workspace")
