"""Label maps from the files of a case: on the grid of its image, in the ids of the description's classes."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from autosam_inference.scans.dicom_files import is_dicom
from autosam_inference.scans.grid import Grid
from autosam_inference.scans.names import stem
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan, read_scan
from autosam_models.sizes import size_text
from autosam_platform.data.cases import Case
from autosam_platform.data.description import DatasetDescription, loose

AFFINE_TOLERANCE_MM = 1e-3
AFFINE_NOISE_MM = 1e-5  # single precision in the header, nothing to tell anybody


def load_label(case: Case, description: DatasetDescription, grid: Grid, notes: list[str]) -> np.ndarray | None:
    """The case's label map, uint8, D, H, W, on the ``grid`` of its image; None where it needs none.

    Args:
        notes: what was put right is added.

    Raises:
        ScanError: a file is missing, damaged, on another grid, or holds what it should not.
    """
    label_DHW = _read(case, description, grid, notes)
    if label_DHW is None:
        return None
    _leave_out_unannotated(label_DHW, case, description, notes)
    if not label_DHW.any():
        shown = case.label or f"{len(case.masks)} masks in {case.masks[0][1].parent}"
        raise ScanError(f"{shown} holds no organ at all: most likely a failed export; correct it or remove the case.")
    return label_DHW


def _read(case: Case, description: DatasetDescription, grid: Grid, notes: list[str]) -> np.ndarray | None:
    if case.masks:
        return _merged(case, description, grid, notes)
    if case.label is not None:
        require_there(case.label, f"{case.image} has no label", "add it or remove the image")
        if is_dicom(case.label):
            return _segmented(case.label, case, description, grid, notes)
        label = read_on_grid(case.label, case.image, grid, notes)
        return _class_ids(case.label, label.volume.array_DHW, description)
    if set(case.splits) - {"test"}:
        raise ScanError(f"{case.image} has no label, which training and validation need: add one.")
    return None


def _leave_out_unannotated(
    label_DHW: np.ndarray, case: Case, description: DatasetDescription, notes: list[str]
) -> None:
    """Make background of what the case is said not to annotate: the loss gives such a class no probability, so that
    its voxels would cost more than all others together."""
    annotated = description.annotated_ids(case.case_id)
    counts = np.bincount(label_DHW.ravel(), minlength=description.num_classes)
    found = [each for each in description.classes if each.id not in annotated and counts[each.id]]
    if found:
        label_DHW[np.isin(label_DHW, [each.id for each in found])] = 0
        voxels = ", ".join(f"{each.name} ({counts[each.id]:,} voxels)" for each in found)
        notes.append(f"{case.truth} holds what the case is said not to annotate: {voxels} counts as background.")


def require_there(path: Path, problem: str, remedy: str) -> None:
    """Refuse a file that is missing, or a link to one that is.

    Raises:
        ScanError: says so after ``problem``.
    """
    try:
        there = bool(os.stat(path))
    except PermissionError:
        raise ScanError(
            f"{path} cannot be read: its folder may not be looked into; check that folder's rights."
        ) from None
    except OSError:
        there = False
    if os.path.islink(path) and not there:
        raise ScanError(
            f"{problem}: {path} is a link to {path.readlink()}, which is not there: fetch it (dvc pull, git annex get)."
        )
    if not there:
        raise ScanError(f"{problem}: {path} is missing; {remedy}.")


def read_on_grid(path: Path, image: Path, grid: Grid, notes: list[str]) -> Scan:
    """A label map that covers the voxels of its image, whose ``grid`` is given.

    Args:
        notes: what a person should know is added.

    Raises:
        ScanError: it cannot be read, or is of another grid.
    """
    label = read_scan(path)
    notes += label.notes
    _check_same_grid(path, image, grid, label.grid, notes)
    return label


def _check_same_grid(path: Path, image_path: Path, image: Grid, label: Grid, notes: list[str]) -> None:
    """Both must cover the same voxels; a label stored with other axis directions does so after reordering."""
    if image.shape_DHW != label.shape_DHW:
        raise ScanError(
            f"{path} has {size_text(label.shape_DHW)} voxels (depth, height, width), its image "
            f"{image_path} has {size_text(image.shape_DHW)}: they are not of one scan; export the pair again."
        )
    difference = float(np.abs(image.canonical_affine - label.canonical_affine).max())
    if difference > AFFINE_TOLERANCE_MM:
        raise ScanError(
            f"{path} lies elsewhere than its image {image_path} (their affines differ by up to "
            f"{difference:g}): copy the image's header if the voxels match, else export the pair again."
        )
    if difference > AFFINE_NOISE_MM:
        notes.append(f"{path}: affine differs from its image's by {difference:.1g}; the image's is used.")
    if image.orientation != label.orientation:
        notes.append(f"{path} is stored {label.orientation}, its image {image.orientation}: reordered.")


def whole_numbers(path: Path, array: np.ndarray) -> np.ndarray:
    """The ids of a label map, which some tools store as floats.

    Raises:
        ScanError: there are others than whole numbers.
    """
    if array.dtype.kind != "f":
        return array
    if not (np.abs(array - np.rint(array)) <= 1e-3).all():
        raise ScanError(f"{path} holds values that are no whole numbers: a label map holds class ids, export it again.")
    return np.rint(array).astype(np.int32)


def _class_ids(path: Path, array: np.ndarray, description: DatasetDescription) -> np.ndarray:
    """The ids of the file as ids of classes."""
    whole = whole_numbers(path, array)
    own = set(description.label_ids) or {each.id for each in description.classes}
    ids = set(np.unique(whole).tolist())
    unknown = sorted(ids - own - {0} - set(description.ignored_labels))
    if unknown:
        raise ScanError(f"{path} holds label ids {unknown[:8]}, which {_remedy(description)}")
    if not description.label_ids:
        label_DHW = whole.astype(np.uint8)
        if description.ignored_labels:
            label_DHW[np.isin(label_DHW, list(description.ignored_labels))] = 0
        return label_DHW
    label_DHW = np.zeros(whole.shape, np.uint8)
    for value in ids - set(description.ignored_labels):
        label_DHW[whole == value] = description.class_of(value) or 0
    return label_DHW


def _remedy(description: DatasetDescription) -> str:
    if description.label_ids:
        return f"label_ids of {description.name} does not name: add each with its class, or with null for background."
    return (
        f"{description.name} does not have (it has 0 to {len(description.classes)}): correct the label, or name them "
        "as the description's ignored_labels, or all ids and their classes as its label_ids."
    )


def _merged(case: Case, description: DatasetDescription, grid: Grid, notes: list[str]) -> np.ndarray:
    """One label map of a mask per organ; where masks overlap, the first in the order of the classes counts."""
    _require_masks(case, description)
    ordered = sorted(case.masks, key=lambda mask: (description.mask_classes[mask[0]], mask[0]))
    masks = ((description.mask_classes[organ], _mask(path, case, grid, notes)) for organ, path in ordered)
    return _joined(masks, description, grid, notes)


def _joined(
    masks: Iterable[tuple[int, np.ndarray]], description: DatasetDescription, grid: Grid, notes: list[str]
) -> np.ndarray:
    """One label map of masks that come in the order of their classes' ids."""
    names = {each.id: each.name for each in description.classes}
    label_DHW = np.zeros(grid.shape_DHW, np.uint8)
    shared: Counter[tuple[int, int]] = Counter()
    for value, inside_DHW in masks:
        before = np.bincount(label_DHW[inside_DHW], minlength=1)
        shared += Counter({(other, value): int(before[other]) for other in range(1, len(before)) if other != value})
        label_DHW[inside_DHW & (label_DHW == 0)] = value
    if shared:
        pairs = ", ".join(f"{names[one]} over {names[other]} {count}" for (one, other), count in sorted(shared.items()))
        notes.append(f"{shared.total()} voxels are in masks of two organs; the first of the classes counts: {pairs}.")
    return label_DHW


def _segmented(path: Path, case: Case, description: DatasetDescription, grid: Grid, notes: list[str]) -> np.ndarray:
    """A DICOM SEG: segments are classes by their labels, since their numbers are the file's own."""
    from autosam_inference.scans.dicom_labels import Segments  # imported where it is needed

    segments = Segments(path, grid)
    known = description.mask_classes
    used = [(known[loose(each.label)], each) for each in segments.described if loose(each.label) in known]
    found = sorted(used, key=lambda pair: (pair[0], pair[1].number))
    missing = set(description.annotated_ids(case.case_id)) - {value for value, _ in found}
    if missing:
        lacking = ", ".join(each.name for each in description.classes if each.id in missing)
        raise ScanError(
            f"{path} has no segment for {lacking} (it has {', '.join(each.label for each in segments.described)}): "
            "name them in the description's 'mask_names', or say in 'annotated' what the case annotates."
        )
    others = [each.label for each in segments.described if loose(each.label) not in known]
    if others:
        notes.append(f"{path}: segments that are no class of {description.name} are background: {', '.join(others)}.")
    return _joined(((value, segments.mask(each)) for value, each in found), description, grid, notes)


def _mask(path: Path, case: Case, grid: Grid, notes: list[str]) -> np.ndarray:
    require_there(path, f"{case.image} lacks a mask", "add it or remove the image")
    array = whole_numbers(path, read_on_grid(path, case.image, grid, notes).volume.array_DHW)
    inside_DHW = array != 0
    values = array[inside_DHW]
    if values.size and values.min() != values.max():
        raise ScanError(
            f"{path} holds values from {values.min()} to {values.max()} beside 0: a mask of one organ holds 0 and one "
            "other value; export it again."
        )
    return inside_DHW


def _require_masks(case: Case, description: DatasetDescription) -> None:
    """A mask that is missing is no empty one: its organ would be learnt as background."""
    there = {organ for organ, _ in case.masks}
    annotated = description.annotated_ids(case.case_id)
    missing = []
    for each in description.classes:
        files = [file for file, name in description.mask_names.items() if name == each.name] or [each.name]
        lacking = [file for file in files if loose(stem(file)) not in there]
        if each.id in annotated and lacking and loose(each.name) not in there:
            missing.append(f"{each.name} ({', '.join(lacking)})")
    if missing:
        raise ScanError(
            f"{case.masks[0][1].parent} lacks the masks of {'; '.join(missing)}: add them, empty ones where the organ "
            "is not there, or say in the description's 'annotated' what the case annotates, and in its 'mask_names' "
            "what its files are called."
        )
