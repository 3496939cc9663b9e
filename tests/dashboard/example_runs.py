"""A workspace as runs leave it: real NIfTI files, a real record of runs, the evaluation's tables."""

import csv
import json
from dataclasses import asdict, fields
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml

from autosam_inference.card import ModelCard
from autosam_platform.evaluation.table import Row
from autosam_platform.tracking.writing import open_run
from autosam_platform.workspace import RunFolder, Workspace

APP = Path(__file__).parents[2] / "dashboard" / "main.py"
DONE, GOING, UNTESTED = "demo-0000000a", "btcv-0000000b", "tiny-0000000c"
CASE = "img 01 *odd* <i>name"
SHAPE_XYZ = (14, 11, 8)


def write_workspace(root: Path) -> None:
    """Three runs: one evaluated on one case, one in progress, one that failed before its first step."""
    tags = {"role": "teacher", "model": "autosam_demo", "dataset": "phantom"}
    done = open_run(Workspace(root), DONE, tags=tags | {"name": "demo"}, params={})
    done.log_many([({"train/loss": 2 / step, "train/epoch": step}, step) for step in range(1, 6)])
    done.log({"val/dice/liver": 0.5, "val/dice/mean": 0.5, "train/seconds": 450.0}, 5)
    done.log({"test/mean_dice": 0.75, "test/mean_nsd": 0.5, "test/mean_hd95_mm": 6.0}, 0)
    done.finish()
    open_run(Workspace(root), GOING, tags=tags | {"name": "btcv", "dataset": "btcv"}, params={})
    open_run(Workspace(root), UNTESTED, tags=tags | {"name": "tiny", "role": "student"}, params={}).finish("FAILED")
    for run_id in (DONE, GOING, UNTESTED):
        folder = root / "runs" / run_id
        folder.mkdir(parents=True)
        folder.joinpath("config.yaml").write_text(yaml.safe_dump({"name": run_id, "dataset": {"root": None}}))
    _evaluate(root, root / "runs" / DONE)


def write_card(run: RunFolder, **told: object) -> None:
    """What a model says of itself, but for its weights.

    Args:
        told: keys of the card, in place of what it says here.
    """
    card = {
        "run_id": run.name,
        "model": {"name": "autosam_demo"},
        "num_classes": 2,
        "classes": [{"id": 6, "name": "liver"}],
        "patch": [32, 32, 32],
        "overlap": 0.5,
        "spacing_xyz": [2.0, 2.0, 2.0],
        "hu_window": [-160, 240],
        "scaling": {"to": [0.0, 1.0]},
        "nsd_tolerance_mm": 2.0,
        "dataset": "phantom",
    }
    run.model.mkdir(parents=True)
    run.model_card.write_text(ModelCard.model_validate(card | told).model_dump_json())


def _evaluate(root: Path, run: Path) -> None:
    """One case: the liver half found, the gallbladder in neither label map."""
    scan, truth = root / "datasets" / "scan.nii.gz", root / "datasets" / "truth.nii.gz"
    prediction = run / "evaluation" / "predictions" / f"{CASE}.nii.gz"
    labels = np.zeros(SHAPE_XYZ, np.uint8)
    labels[2:6, 3:9, 2:6] = 6
    half = labels.copy()
    half[4:] = 0
    for path, array in ((scan, labels.astype(np.int16) * 10), (truth, labels), (prediction, half)):
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.diag([-1.0, 2.0, 3.0, 1.0])), path)
    rows = [
        Row(CASE, 4, "gallbladder", float("nan"), float("nan"), 2.0, float("nan"), 0.0, 0.0),
        Row(CASE, 6, "liver", 2 / 3, 0.5, 2.0, 6.0, 0.576, 0.288),
    ]
    with (run / "evaluation" / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(field.name for field in fields(Row))
        table.writerows(asdict(row).values() for row in rows)
    record = {"case_id": CASE, "image": str(scan), "label": str(truth), "prediction": str(prediction)}
    cases = run / "evaluation" / "cases"
    cases.mkdir()
    cases.joinpath(f"{CASE}.json").write_text(json.dumps(record | {"rows": [row.as_json() for row in rows]}))
