"""The one folder everything lives in: what lies where, asked by name, and paths that outlive a move.

No other room joins names of this layout (docs/design.md, "The workspace"; ``tests/workspace`` holds it).
"""

from autosam_platform.workspace.models import NamedModel
from autosam_platform.workspace.paths import WorkspacePaths
from autosam_platform.workspace.predictions import PredictionFolder
from autosam_platform.workspace.prepared import PreparedFolder
from autosam_platform.workspace.root import Workspace, settings_at, workspace
from autosam_platform.workspace.runs import EvaluationFolder, RunFolder
from autosam_platform.workspace.studies import StudyFolder
from autosam_platform.workspace.sweeps import SweepFolder

__all__ = [
    "EvaluationFolder",
    "NamedModel",
    "PredictionFolder",
    "PreparedFolder",
    "RunFolder",
    "StudyFolder",
    "SweepFolder",
    "Workspace",
    "WorkspacePaths",
    "settings_at",
    "workspace",
]
