"""A bundle of the smallest network there is, written as an export writes it."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from small_cards import organs, small_card
from torch import nn

from autosam_inference.bundle.card import IR, LICENCE, ONNX, SCHEMA, WEIGHTS
from autosam_platform.export.conversion import write_networks
from autosam_platform.export.writing import write_bundle

CLASSES = 4
PATCH = (8, 9, 10)

_ORGAN = {"lowest_dice": 0.25, "nsd": 0.5, "hd95_mm": 3.0, "not_found": 0, "invented": 0}
_SCORES = {"mean_nsd": 0.5, "nsd_tolerance_mm": 2.0}
SYNTHETIC: dict[str, Any] = {
    "training_data": {"title": "Synthetic CT", "licence": "none", "cases": {"train": 9, "test": 20}, "synthetic": True},
    "scores": _SCORES | {"n_cases": 20, "mean_dice": 0.875, "organs": {"organ 1": _ORGAN | {"dice": 0.875, "n": 20}}},
    "other_scores": [
        _SCORES
        | {"dataset": "one_scan", "fingerprint": "0123abcd", "split": "test", "synthetic": False}
        | {"n_cases": 1, "mean_dice": 0.625, "organs": {"organ 1": _ORGAN | {"dice": 0.625, "n": 1}}}
    ],
    "lineage": {"teacher": "torso-89abcdef"},
}
"""What the card of a model says that has seen synthetic scans alone."""
WARNING = (
    "Trained on synthetic scans alone, not for patients: model small-01234567, mean Dice 87.50 % on 20 synthetic test "
    "cases, mean Dice 62.50 % on 1 real scan (one_scan)."
)
"""What is said of it."""


def small_network(seed: int = 0) -> nn.Module:
    """K filters of 3 × 3 × 3 with zeros around: an answer depends on where in the window it lies."""
    torch.manual_seed(seed)
    return nn.Conv3d(1, CLASSES, 3, padding=1).eval()


def small_bundle(place: Path, seed: int = 0, **changes: Any) -> Path:
    """Write it to ``place``, a folder or a zip, with changes of its card."""

    def fill(folder: Path) -> dict[str, Any]:
        network = small_network(seed)
        for name in (IR, LICENCE):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_networks(network, PATCH, folder / ONNX, folder / IR)
        save_file(network.state_dict(), folder / WEIGHTS)
        (folder / LICENCE).write_text("As you like.\n")
        return _card(changes)

    write_bundle(place, fill)
    return place


def _card(changes: dict[str, Any]) -> dict[str, Any]:
    card = small_card(organs(CLASSES - 1), patch=PATCH).model_dump(mode="json")
    return card | {"bundle_schema": SCHEMA, "written_by": "0.0.0"} | changes


def bare_bundle(place: Path, **changes: Any) -> Path:
    """A bundle of a licence and a card, for what looks at no network."""

    def fill(folder: Path) -> dict[str, Any]:
        (folder / LICENCE).write_text("As you like.\n")
        return _card(changes)

    write_bundle(place, fill)
    return place


def copied(bundle: Path, place: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(bundle, place))
