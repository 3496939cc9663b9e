"""The finished model of a run: weights as safetensors, and beside them all that is needed to use them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from autosam_inference.files import atomic_folder, content_hash, write_sealed
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.splits import Split
from autosam_platform.experiment import Experiment
from autosam_platform.training.checkpoints import read_position
from autosam_platform.workspace import RunFolder


def export_model(
    checkpoint: Path,
    experiment: Experiment,
    prepared: PreparedDataset,
    run: RunFolder,
    versions: Mapping[str, str],
    lineage: Mapping[str, str],
    seconds: float,
) -> Path:
    """Write ``model/`` into the run's folder: it appears whole, and its being there says that the run is finished.

    Args:
        lineage: what the model learned from beside the labels.
        seconds: spent training, which may have gone on after the checkpoint that was best.
    """
    position = read_position(checkpoint)
    with atomic_folder(run.model) as folder:
        shutil.copyfile(checkpoint / "weights.safetensors", folder / run.weights.name)
        write_sealed(
            folder / run.model_card.name,
            {
                "run_id": run.name,
                "model": {"name": experiment.model.name, "options": experiment.model.options},
                "num_classes": prepared.num_classes,
                "classes": [entry.model_dump() for entry in prepared.classes],
                "patch": list(experiment.model.patch_DHW),
                "overlap": experiment.inference.overlap,
                "spacing_xyz": list(prepared.spacing_xyz),
                "hu_window": list(prepared.description.hu_window),
                "scaling": prepared.description.scaling.model_dump(mode="json"),
                "nsd_tolerance_mm": prepared.description.nsd_tolerance_mm,
                "dataset": prepared.name,
                "data_fingerprint": prepared.fingerprint,
                "split": {name: [case.case_id for case in prepared.cases(name)] for name in get_args(Split)},
                "weights_hash": content_hash(folder / run.weights.name),
                "histogram": _histogram(prepared),
                "lineage": dict(lineage),
                "epoch": position.epoch,
                "validation_dice": position.score,
                "training_seconds": round(seconds, 1),
                "versions": dict(versions),
            },
        )
    return run.model


def _histogram(prepared: PreparedDataset) -> list[int]:
    """Of HU in all training scans."""
    counts = [case.record.histogram for case in prepared.cases("train") if case.record.histogram]
    return [sum(each) for each in zip(*counts, strict=True)]
