"""A dataset and a recipe that a tiny network learns in seconds: one large bright organ."""

import json
from pathlib import Path

import numpy as np
from synthetic_scans import Scan, make_scan, write_btcv_case

LIVER = 6


def write_half_bodies(folder: Path, count: int) -> Path:
    """Scans whose one side is liver of 250 HU; a description (train, train, val, test) and a recipe beside them."""
    for number in range(1, count + 1):
        scan = make_scan(number)
        label = np.zeros_like(scan.label_xyz)
        label[2:11, 2:-2, 2:-2] = LIVER
        image = np.where(label == LIVER, 250, np.clip(scan.image_xyz, -1000, 45)).astype(np.float32)
        write_btcv_case(folder, number, Scan(image, label, scan.affine))
    (folder / "tiny.yaml").write_text(
        "extends: btcv\nname: tiny\ntitle: tiny\nspacing_xyz: [2.0, 2.0, 3.0]\n"
        "split: {rule: in_order, parts: [{split: train, cases: 2}, {split: val, cases: 1}, {split: test, cases: 1}]}\n"
    )
    options = {"embed_dim": 16, "heads": 2, "window": 4}
    training = {"epochs": 4, "warmup_epochs": 0, "patches_per_case": 12, "loader_workers": 0, "validate_every": 1}
    recipe = {
        "name": "tiny",
        "dataset": {"name": str(folder / "tiny.yaml"), "root": str(folder)},
        "model": {"name": "autosam_demo", "patch_DHW": [16, 16, 16], "options": options},
        "training": training | {"learning_rate": 3e-3, "precision": "fp32"},
        "inference": {"overlap": 0.25},
        "compute": {"memory_check": False},
    }
    (folder / "recipe.json").write_text(json.dumps(recipe))  # JSON is YAML
    return folder
