"""A dataset out of small real files in three folders of different layouts, whose labels show different organs."""

from pathlib import Path

import numpy as np
import yaml
from synthetic_scans import Scan, make_scan, write_btcv_case, write_nifti

from autosam_platform.data.description import DatasetDescription, load_description

CLASSES = [
    {"id": 1, "name": "liver"},
    {"id": 2, "name": "spleen"},
    {"id": 3, "name": "right kidney", "mirror": "left kidney"},
    {"id": 4, "name": "left kidney", "mirror": "right kidney"},
]
SPACING = (1.5, 2.0, 3.0)  # that of the scans: what is prepared are their own voxels
FILE_IDS = {1: 5, 2: 9, 3: 7, 4: 8}
"""Id of the classes → id in the files of the source ``kidneys``; its spleen (9) counts as background."""
SOURCES = [
    {"name": "ours", "root": "scans/ours", "layout": "btcv", "annotates": ["liver", "spleen"]},
    {
        "name": "kidneys",
        "root": "scans/kidneys",
        "layout": "pairs",
        "label_ids": {5: "liver", 7: "right kidney", 8: "left kidney", 9: None},
        "annotates": ["right kidney", "left kidney", "liver"],
        "patient_pattern": r"(p\d+)_.*",
    },
    {"name": "bare", "root": "scans/bare", "layout": "pairs", "labels": False},
]
FIELDS = {
    "name": "together",
    "title": "Three sources",
    "classes": CLASSES,
    "split": {"rule": "in_order", "parts": [{"split": "train", "cases": 5}, {"split": "test", "cases": 2}]},
    "spacing_xyz": list(SPACING),
    "hu_window": [-125, 275],
    "scaling": {"to": [0, 1]},
    "augmentation": {"flip": 0, "rotate": 0, "intensity_scale": 0, "intensity_shift": 0},
}
NAMES = ("p1_a", "p1_b", "p2_a")


def scan_of(seed: int) -> Scan:
    """A scan that shows all four classes."""
    return make_scan(seed, num_classes=5)


def write_pair(root: Path, name: str, seed: int, ids: dict[int, int]) -> None:
    """Image and label of a case in the layout ``pairs``, the label in ids of its own."""
    scan = scan_of(seed)
    label = np.zeros_like(scan.label_xyz)
    for value, file_id in ids.items():
        label[scan.label_xyz == value] = file_id
    write_nifti(root / "images" / f"{name}.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    write_nifti(root / "labels" / f"{name}.nii.gz", label, scan.affine)


def write_sources(folder: Path, **changes: object) -> DatasetDescription:
    """The files of all sources, four cases, three and one, and the description beside them."""
    for number in range(1, 5):
        write_btcv_case(folder / "scans" / "ours", number, scan_of(number), ("RAS", "LPS")[number % 2])
    for seed, name in enumerate(NAMES, start=5):
        write_pair(folder / "scans" / "kidneys", name, seed, FILE_IDS)
    write_pair(folder / "scans" / "bare", "x", 8, FILE_IDS)
    return described(folder, **changes)


def described(folder: Path, **changes: object) -> DatasetDescription:
    """The description in ``folder``, with some fields changed."""
    path = folder / "together.yaml"
    path.write_text(yaml.safe_dump(FIELDS | {"sources": SOURCES} | changes))
    return load_description(path)


def with_source(place: int, **changes: object) -> list[dict[str, object]]:
    """The sources, one of them with some fields changed."""
    return [each | changes if number == place else each for number, each in enumerate(SOURCES)]
