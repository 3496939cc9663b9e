"""Make the project importable from its source tree, installed or not: imported first by every job.

`ray job submit` runs a job in the folder of the cluster's head or in an uploaded working directory, where nothing
may be installed. Workers of other nodes get our packages from `autosam_platform.cluster.connect`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "jobs" / "recipes"
SPACES = ROOT / "jobs" / "spaces"
STUDIES = ROOT / "jobs" / "studies"

sys.path[:0] = [str(ROOT / name) for name in ("platform", "models") if str(ROOT / name) not in sys.path]
