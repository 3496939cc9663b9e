"""What is wrong with a case, found before it costs a training run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from autosam_inference.scans.grid import Grid
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.plausibility import checked_ct
from autosam_inference.scans.scan import Scan, read_scan
from autosam_models.sizes import size_text
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.readers import Case

Status = Literal["ok", "fixed", "rejected"]

AFFINE_TOLERANCE_MM = 1e-3
AFFINE_NOISE_MM = 1e-5  # single precision in the header, nothing to tell anybody


@dataclass(frozen=True)
class Verdict:
    """``ok``, ``fixed`` (the reasons say what was put right) or ``rejected`` (the reasons say why)."""

    case_id: str
    status: Status
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckedCase:
    """A verdict, and what was read on the way to it; the scan is None for a rejected case.

    ``label_DHW`` is uint8 on the scan's grid, with ignored ids as background; None where there is no label.
    """

    verdict: Verdict
    scan: Scan | None = None
    label_DHW: np.ndarray | None = None


def load_checked(case: Case, description: DatasetDescription) -> CheckedCase:
    """Read the case once: its verdict, with the repaired image and label where it is usable.

    What is wrong with a file is in the verdict; nothing is raised for it.
    """
    notes: list[str] = []
    try:
        scan = _load_scan(case, description, notes)
        label_DHW = _load_label(case, description, scan.grid, notes)
    except ScanError as error:
        return CheckedCase(Verdict(case.case_id, "rejected", (str(error),)))
    return CheckedCase(Verdict(case.case_id, "fixed" if notes else "ok", tuple(notes)), scan, label_DHW)


def _load_scan(case: Case, description: DatasetDescription, notes: list[str]) -> Scan:
    if not case.image.exists() and case.label is not None and case.label.exists():
        raise ScanError(f"{case.label} has no image: {case.image} is missing; add it or remove the label.")
    scan = checked_ct(read_scan(case.image), lower=description.hu_window[0])
    notes += scan.notes
    return scan


def _load_label(case: Case, description: DatasetDescription, grid: Grid, notes: list[str]) -> np.ndarray | None:
    if case.label is None:
        if set(case.splits) - {"test"}:
            raise ScanError(f"{case.image} has no label, which training and validation need: add one.")
        return None
    if not case.label.exists():
        raise ScanError(f"{case.image} has no label: {case.label} is missing; add it or remove the image.")
    label = read_scan(case.label)
    notes += label.notes
    _check_same_grid(case, grid, label.grid, notes)
    return _label_ids(case.label, label.volume.array_DHW, description)


def _check_same_grid(case: Case, image: Grid, label: Grid, notes: list[str]) -> None:
    """Both must cover the same voxels; a label stored with other axis directions does so after reordering."""
    if image.shape_DHW != label.shape_DHW:
        raise ScanError(
            f"{case.label} has {size_text(label.shape_DHW)} voxels (depth, height, width), its image "
            f"{case.image} has {size_text(image.shape_DHW)}: they are not of one scan; export the pair again."
        )
    difference = float(np.abs(image.canonical_affine - label.canonical_affine).max())
    if difference > AFFINE_TOLERANCE_MM:
        raise ScanError(
            f"{case.label} lies elsewhere than its image {case.image} (their affines differ by up to "
            f"{difference:g}): copy the image's header if the voxels match, else export the pair again."
        )
    if difference > AFFINE_NOISE_MM:
        notes.append(f"{case.label}: affine differs from its image's by {difference:.1g}; the image's is used.")
    if image.orientation != label.orientation:
        notes.append(f"{case.label} is stored {label.orientation}, its image {image.orientation}: reordered.")


def _label_ids(path: Path, array: np.ndarray, description: DatasetDescription) -> np.ndarray:
    if array.dtype.kind == "f" and not (np.abs(array - np.rint(array)) <= 1e-3).all():
        raise ScanError(f"{path} holds values that are no whole numbers: a label map holds class ids, export it again.")
    known = {0, *(each.id for each in description.classes), *description.ignored_labels}
    whole = np.rint(array).astype(np.int32) if array.dtype.kind == "f" else array
    ids = set(np.unique(whole).tolist())
    if ids - known:
        raise ScanError(
            f"{path} holds label ids {sorted(ids - known)[:8]}, which {description.name} does not have "
            f"(it has 0 to {len(description.classes)}): correct the label, or name them as the description's "
            "ignored_labels."
        )
    label_DHW = whole.astype(np.uint8)
    if description.ignored_labels:
        label_DHW[np.isin(label_DHW, list(description.ignored_labels))] = 0
    if not label_DHW.any():
        raise ScanError(f"{path} holds no organ at all: most likely a failed export; correct it or remove the case.")
    return label_DHW
