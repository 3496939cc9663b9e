"""Evaluated cases small enough to count their voxels, as real files in a workspace of their own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from autosam_inference.card import LabelClass
from autosam_inference.scans.names import stem
from autosam_platform.evaluation.metrics import case_metrics
from autosam_platform.evaluation.table import Row, write_rows
from autosam_platform.tracking.writing import open_run
from autosam_platform.workspace import Workspace

FIRST, SECOND, CASE = "first-0000000a", "second-0000000b", "corner"
SPACING_XYZ = (1.0, 2.0, 3.0)
NAMES = {1: "spleen", 4: "gallbladder", 6: "liver"}
TAGS = {"role": "teacher", "model": "autosam_demo", "dataset": "phantom"}


@dataclass(frozen=True)
class Volumes:
    """Scan (air with one bright voxel: right, anterior, superior), truth and two predictions, D, H, W = 4, 6, 8.

    Truth: slices 1 and 2 hold 12 voxels of spleen and 2 of liver each. The first prediction is right in slice 1;
    in slice 2 it finds half of the spleen and takes the liver for spleen. The second is the truth.
    """

    scan: np.ndarray
    truth: np.ndarray
    first: np.ndarray


def volumes() -> Volumes:
    scan = np.full((4, 6, 8), -1000, np.int16)
    scan[3, 5, 7] = 1000
    truth = np.zeros(scan.shape, np.uint8)
    truth[1:3, 1:4, 1:5] = 1
    truth[1:3, 4, 5:7] = 6
    first = truth.copy()
    first[2, 1:4, 3:5] = 0
    first[2, 4, 5:7] = 1
    return Volumes(scan, truth, first)


def write_cases(root: Path) -> None:
    """Two runs that were evaluated on the same scan."""
    made = volumes()
    scan = write_volume(root / "datasets" / "scan.nii.gz", made.scan)
    truth = write_volume(root / "datasets" / "truth.nii.gz", made.truth)
    write_evaluation(root, FIRST, scan, truth, made.first)
    write_evaluation(root, SECOND, scan, truth, made.truth)


def write_scores(root: Path) -> None:
    """What the two runs of ``write_cases`` score on it, in their tables and in the record."""
    made, classes = volumes(), [LabelClass(id=id_, name=name) for id_, name in NAMES.items()]
    for run_id, predicted_DHW in ((SECOND, made.truth), (FIRST, made.first)):
        found = case_metrics(predicted_DHW, made.truth, SPACING_XYZ[::-1], classes, 2.0)
        write_rows(root / "runs" / run_id / "evaluation" / "metrics.csv", [Row.of(CASE, each, 2.0) for each in found])
        run = open_run(Workspace(root), run_id, tags=TAGS | {"name": run_id}, params={})
        run.log({"test/mean_dice": 0.5}, 0)
        run.finish()


def write_evaluation(
    root: Path,
    run_id: str,
    scan: Path,
    truth: Path,
    predicted: np.ndarray,
    case: str = CASE,
    names: Mapping[int, str] = NAMES,
) -> None:
    """What the evaluation of a run leaves of one case; its metrics are undefined."""
    folder = root / "runs" / run_id / "evaluation"
    prediction = write_volume(folder / "predictions" / f"{case}.nii.gz", predicted)
    nan = float("nan")
    rows = [Row(case, id_, name, nan, nan, 2.0, nan, 0.0, 0.0).as_json() for id_, name in names.items()]
    files = {"image": str(scan), "label": str(truth), "prediction": str(prediction)}
    record = folder / "cases" / f"{case}.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text(json.dumps({"case_id": case, **files, "rows": rows}))


def write_prediction(root: Path, scan: Path, labels: np.ndarray) -> str:
    """What jobs/predict.py leaves of a scan; gives the folder's name."""
    name = f"{stem(scan)}-{FIRST}"
    folder = root / "predictions" / name
    write_volume(folder / scan.name, labels)
    organs = {id_: {"name": name, "colour": [1, 2, 3]} for id_, name in NAMES.items()}
    folder.joinpath(f"{stem(scan)}.label.json").write_text(json.dumps(organs))
    folder.joinpath(f"{stem(scan)}.scan.json").write_text(json.dumps({"scan": str(scan), "run": FIRST}))
    return name


def write_volume(path: Path, array_DHW: np.ndarray) -> Path:
    """A canonical array as NIfTI, in RAS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array_DHW.transpose(2, 1, 0), np.diag([*SPACING_XYZ, 1.0])), path)
    return path
