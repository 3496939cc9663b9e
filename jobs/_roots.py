"""Make the project importable from its source tree, installed or not: imported first by every job.

`ray job submit` runs a job in the folder of the cluster's head or in an uploaded working directory, where nothing
may be installed. Workers of other nodes get our packages from `autosam_platform.cluster.connect`.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "jobs" / "recipes"
SPACES = ROOT / "jobs" / "spaces"
STUDIES = ROOT / "jobs" / "studies"

sys.path[:0] = [str(ROOT / name) for name in ("platform", "models") if str(ROOT / name) not in sys.path]

if find_spec("tyro") is None:  # one of many, which every job needs
    sys.exit(
        f"The Python that runs this job, {sys.executable}, does not have the project's packages: `make setup` makes a "
        ".venv that has them. A cluster's jobs run in the Python that Ray was started with, so start Ray with that "
        "environment active."
    )


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of Ctrl-C where no job answers it, mostly in the seconds that imports take, a sentence and no traceback."""
    if kind is not KeyboardInterrupt:
        sys.__excepthook__(kind, error, trace)
        return
    print("\nInterrupted: the same command continues.", file=sys.stderr)


sys.excepthook = _say
