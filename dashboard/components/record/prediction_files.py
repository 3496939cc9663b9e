"""Scans that jobs/predict.py segmented, as it left them in the workspace's ``predictions``."""

from dataclasses import dataclass
from pathlib import Path

from autosam_platform.workspace import Workspace
from dashboard.components.base.places import ReadingError, allowed_roots, checked_id, inside
from dashboard.components.record.run_files import read_json


@dataclass(frozen=True)
class Prediction:
    """A segmented scan, its label map, the run whose model made it, and the names of the organs by their ids."""

    scan: Path
    labels: Path
    run: str
    classes: dict[int, str]


def read_prediction(workspace: Path, name: str) -> Prediction:
    """The prediction in folder ``name``; the scan is read where it lies, if that is an allowed folder.

    Raises:
        ReadingError: no such prediction, a damaged record, or a scan outside the allowed folders.
    """
    folder = inside(workspace / "predictions" / checked_id("prediction", name), [workspace])
    record = next(iter(sorted(folder.glob("*.scan.json"))), None)
    if record is None:
        raise ReadingError(f"{folder} holds no prediction: jobs/predict.py writes one there.")
    stem = record.name.removesuffix(".scan.json")
    names = folder / f"{stem}.label.json"
    made, organs = (read_json(path, "predict the scan again") for path in (record, names))
    if not organs:
        raise ReadingError(f"{names} names no organs: predict the scan again.")
    try:
        classes = {int(id_): str(organ["name"]) for id_, organ in organs.items()}
        scan, run = Workspace(workspace).resolve(str(made["scan"])), str(made["run"])
    except (KeyError, TypeError, ValueError) as error:
        raise ReadingError(f"{record} is no record of a prediction ({error!r}): predict the scan again.") from error
    return Prediction(inside(scan, allowed_roots()), folder / f"{stem}.nii.gz", run, classes)
