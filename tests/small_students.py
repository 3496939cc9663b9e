"""A finished, evaluated run of the smallest student, with random weights: what an export begins with."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_model
from synthetic_scans import make_scan, write_btcv_case

from autosam_inference.files import content_hash, write_json, write_sealed
from autosam_models import build_model
from autosam_platform.data.description import load_description
from autosam_platform.evaluation.table import Row, summarise, write_rows
from autosam_platform.workspace import RunFolder, Workspace

PATCH = (48, 32, 32)
"""No multiple of what the network halves: what is exported pads and crops."""
NAME = "student-01234567"
CASE = "img0001"
SPACING_XYZ = (2.0, 2.0, 3.0)


def small_student(
    workspace: Path, name: str = "swin_unetr_tiny", *, evaluated: bool = True, dataset: str = "btcv"
) -> RunFolder:
    """Write the run, said to be trained on a dataset of BTCV's classes; its one test case shows a liver that was not
    found, and no spleen but one was found."""
    run = Workspace(workspace).run(NAME)
    run.model.mkdir(parents=True)
    _write_model(run, name)
    data = {"name": dataset, "root": str(workspace)}
    settings = {"name": "student", "dataset": data, "model": {"name": name, "patch_DHW": list(PATCH)}}
    run.config.write_text(json.dumps(settings))  # JSON is YAML
    if evaluated:
        _write_evaluation(run, workspace)
    return run


def _write_model(run: RunFolder, name: str) -> None:
    description = load_description("btcv")
    torch.manual_seed(0)
    network = build_model(name, in_channels=1, num_classes=description.num_classes, patch=PATCH)
    save_model(network, str(run.weights))
    card = {
        "run_id": NAME,
        "model": {"name": name, "options": {}},
        "num_classes": description.num_classes,
        "classes": [each.model_dump() for each in description.classes],
        "patch": PATCH,
        "overlap": 0.25,
        "spacing_xyz": SPACING_XYZ,
        "hu_window": description.hu_window,
        "scaling": description.scaling.model_dump(),
        "nsd_tolerance_mm": 2.0,
        "dataset": "btcv",
        "data_fingerprint": "0123456789abcdef",
        "split": {"train": ["SECRET-1", "SECRET-2"], "val": [], "test": [CASE]},
        "weights_hash": content_hash(run.weights),
        "lineage": {"teacher": "teacher-89abcdef", "lambda": "0.5"},
        "versions": {"torch": torch.__version__},
    }
    write_sealed(run.model_card, card)


def _write_evaluation(run: RunFolder, workspace: Path) -> None:
    scan = make_scan(1, shape_xyz=(28, 24, 30), spacing_xyz=(2.5, 2.0, 3.5))
    image, label = write_btcv_case(workspace / "raw", 1, scan, "LPS")
    evaluation = run.evaluation()
    rows = [_row(each.id, each.name) for each in load_description("btcv").classes]
    write_rows(evaluation.metrics, rows)
    write_json(evaluation.summary, summarise(rows, {"network": 1.0}).as_json())
    relative = run.paths.relative
    record = {"case_id": CASE, "content": "", "image": relative(image), "label": relative(label), "rows": []}
    write_json(evaluation.record(CASE), record)


OTHER = "one_scan-0123abcd"
"""A dataset that the student never saw."""


def write_other_evaluation(run: RunFolder, other: str = OTHER, dice: float = 0.5) -> None:
    """Of two cases of another dataset: all organs have one Dice but the aorta, which neither case annotates."""
    evaluation = run.evaluation("test", other)
    rows = [
        Row(case, each.id, each.name, *_other_dice(each.name, dice), 2.0, 3.0, 1.0, 1.0)
        for case in ("a", "b")
        for each in load_description("btcv").classes
    ]
    write_rows(evaluation.metrics, rows)
    write_json(evaluation.summary, summarise(rows, {"network": 1.0}).as_json())


def _other_dice(name: str, dice: float) -> tuple[float, float]:
    """Dice and NSD."""
    return (np.nan, np.nan) if name == "aorta" else (dice, dice / 2)


def _row(class_id: int, name: str) -> Row:
    dice, truth_ml, predicted_ml = {"liver": (0.0, 9.0, 0.0), "spleen": (0.0, 0.0, 5.0)}.get(name, (0.9, 1.0, 1.0))
    hd95_mm = 3.0 if dice else np.nan
    return Row(CASE, class_id, name, dice, dice, 2.0, hd95_mm, truth_ml, predicted_ml)
