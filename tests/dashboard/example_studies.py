"""Studies as they lie in a workspace, written by what writes them."""

from pathlib import Path
from typing import Any

from autosam_platform.studies.description import Column, Study
from autosam_platform.studies.report import write_study
from autosam_platform.studies.results import CellResult, MemberResult, StudyResults
from autosam_platform.workspace import StudyFolder, Workspace

STUDY = "table3-demo-0000000a"


def write_example_study(root: Path, run: str, *, whole: bool = False) -> StudyFolder:
    """Two rows of Table 3 on one dataset, of which the second is made only where it is to be ``whole``."""
    study = Study.model_validate(
        {
            "title": "Table 3 <b>of</b> the paper",
            "about": "What the parts are worth.",
            "paper": {"name": "autosam_adapter", "table": "table3"},
            "columns": {"btcv": {"title": "BTCV", "recipe": "btcv"}},
            "rows": {"both": {"title": "APG and MLAM"}, "no_apg": {"title": "without APG"}},
        }
    )
    made: dict[str, Any] = {"label": "", "seed": 0, "cases": (96, 2, 6), "split": "a" * 32, "weights": "b" * 32}
    budget: dict[str, Any] = {"steps": 576, "patch": (64, 64, 64), "batch": 1, "seconds": 300.0}
    members = (MemberResult(run=run, dice=0.7081, nsd=0.5331, **made, **budget),)
    other = CellResult(row="no_apg", column="btcv", members=members if whole else ())
    results = StudyResults(
        name=STUDY,
        recipe="demo",
        demo=True,
        study=study,
        columns={"btcv": Column(title="BTCV", recipe="btcv")},
        cells=(CellResult(row="both", column="btcv", members=members, parameters=2_141_806), other),
        tolerances={"btcv": 2.0},
    )
    folder = Workspace(root).study(STUDY)
    write_study(folder, results)
    return folder
