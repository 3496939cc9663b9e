"""From raw scans to prepared cases: check, resample, window, store; one Ray task a case, done ones are found.

A folder is named by a hash of what decides the voxels of all its cases, and a case in it by a hash that has its own
files, and the classes that it annotates, too. So a changed file is prepared again and nothing else is; and what decides
no voxel, such as a title, a split, an augmentation or the place on disk, prepares nothing anew. What is made of the
cases, in ``dataset-<hash>.json``, has a name of its own: the fingerprint, which decides what a training comes to.
"""

import functools
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from autosam_inference.bounds import Spacing
from autosam_inference.files import DamagedError, content_hash, remove_leftovers, write_text
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.intensity import to_window
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.plausibility import histogram
from autosam_inference.scans.resampling import Kind, resample
from autosam_inference.scans.scan import read_grid
from autosam_platform.cluster import map_tasks
from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.object_store import on_disk
from autosam_platform.data.overview import same_scans, unseen_classes
from autosam_platform.data.prepared import (
    CaseEntry,
    IncompleteDatasetError,
    LeftOutEntry,
    Manifest,
    PreparedDataset,
    verdict_table,
)
from autosam_platform.data.readers import Case, DatasetError, survey
from autosam_platform.data.store import (
    CaseRecord,
    describe_label,
    read_record,
    record_path,
    require_stored,
    write_case,
    write_record,
)
from autosam_platform.locks import locked
from autosam_platform.workspace import PreparedFolder, Workspace

__all__ = ["CasePlan", "IncompleteDatasetError", "Preparation", "PreparedDataset", "prepare", "prepare_case"]

VERSION = 3  # raise it whenever the same raw files would give other prepared ones
IDENTITY = 1  # of a dataset: raise it whenever the same description and cases would be trained on otherwise

_GRAIN_NS = 2_000_000_000  # FAT's two seconds; others' are finer
_BYTES_A_VOXEL = 20  # measured: the image as float32, twice while it is resampled, and its label
_BYTES_A_TASK = 500 * 2**20  # the process itself: interpreter and libraries


class Preparation(BaseModel):
    """What a person may change about the preparation of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spacing_xyz: tuple[Spacing, Spacing, Spacing] | None = None
    """Voxel spacing in mm; the description's where none is given."""


@dataclass(frozen=True)
class CasePlan:
    """What every task of one preparation is told."""

    description: DatasetDescription
    spacing_xyz: tuple[float, float, float]
    place: PreparedFolder


_State = tuple[str, tuple[int, int, int] | None]
"""A raw file as records have it, its size, and when its bytes and its entry in the file system were last changed; or,
of what is no file, a word."""


def prepare(
    description: DatasetDescription, root: str | Path | None, settings: Preparation, workspace: Workspace
) -> PreparedDataset:
    """Prepare every case below ``root`` into the workspace, and print the verdicts.

    What an earlier, finished or interrupted, preparation did is found and kept.

    Args:
        root: may be left out where every source of the description has one. What lies in an object store is copied
            into the workspace first.

    Raises:
        ObjectStoreError: the store, or the disk for the copies.
        DatasetError: the folder is missing or holds no case. A bad case does not raise: it gets a verdict.
    """
    description, root = _on_disk(description, root, workspace)
    found = survey(description, root)
    cases = found.cases
    spacing = settings.spacing_xyz or description.spacing_xyz
    place = workspace.prepared(f"{description.name}-{content_hash(VERSION, decisive(description, spacing))[:8]}")
    with locked(place.lock):
        earlier = place.versions(case.case_id for case in cases)
        made = map_tasks(
            functools.partial(_prepared_task, plan=CasePlan(description, spacing, place)),
            [(case, earlier[case.case_id]) for case in cases],
            label=f"preparing {description.name}",
            memory=functools.partial(_memory, spacing_xyz=spacing),
        )
        records = [record for record, _ in made]
        entries = tuple(_entry(case, record) for case, record in zip(cases, records, strict=True))
        manifest = Manifest(
            version=VERSION,
            fingerprint=_fingerprint(description, spacing, entries),
            root="" if root is None else workspace.relative(Path(root).expanduser()),
            spacing_xyz=spacing,
            description=description,
            cases=entries,
            left_out=tuple(LeftOutEntry(name=each.name, reason=each.reason) for each in found.left_out),
            notes=(*found.notes, *same_scans(cases, records), *unseen_classes(description, cases, records)),
        )
        path = place.manifest(manifest.fingerprint)
        write_text(path, manifest.model_dump_json(indent=2) + "\n")
    for damage in filter(None, (damage for _, damage in made)):
        print(f"{damage}: prepared anew from its scan")
    prepared = PreparedDataset.load(path)
    print(verdict_table(prepared), flush=True)
    return prepared


def _on_disk(
    description: DatasetDescription, root: str | Path | None, workspace: Workspace
) -> tuple[DatasetDescription, str | Path | None]:
    """Both with folders of this machine in place of addresses."""
    sources = tuple(
        each if each.root is None else each.model_copy(update={"root": on_disk(each.root, workspace)})
        for each in description.sources
    )
    return description.model_copy(update={"sources": sources}), None if root is None else on_disk(root, workspace)


def with_labelled(prepared: PreparedDataset, count: int) -> PreparedDataset:
    """The dataset as if only its first ``count`` training cases had labels: the others do not train.

    Raises:
        DatasetError: it has not so many.
    """
    usable = [each for each in prepared.entries if each.status != "rejected"]
    train = [each.case_id for each in usable if "train" in each.splits]
    if count > len(train):
        raise DatasetError(f"{prepared.name} has {len(train)} training cases: lower --dataset.labelled {count}")
    bare = set(train[count:])
    entries = tuple(_not_to_train(each) if each.case_id in bare else each for each in prepared.entries)
    fingerprint = _fingerprint(prepared.description, prepared.spacing_xyz, entries)
    whole = Manifest.model_validate_json(prepared.manifest.read_bytes())
    few = whole.model_copy(update={"fingerprint": fingerprint, "cases": entries})
    path = PreparedFolder.of(prepared.manifest).manifest(fingerprint)
    write_text(path, few.model_dump_json(indent=2) + "\n")
    return PreparedDataset.load(path)


def _not_to_train(entry: CaseEntry) -> CaseEntry:
    return entry.model_copy(update={"splits": tuple(each for each in entry.splits if each != "train")})


def decisive(description: DatasetDescription, spacing_xyz: tuple[float, float, float]) -> dict[str, Any]:
    """What decides the stored voxels and labels of any case, beside its files and what it or its source alone has."""
    return {
        "spacing_xyz": spacing_xyz,
        "hu_window": description.hu_window,
        "classes": len(description.classes),  # other ids are refused
        "ignored_labels": sorted(description.ignored_labels),
    } | _decisive_of_labels(description)


def _decisive_of_labels(description: DatasetDescription) -> dict[str, Any]:
    """How ids of files, or masks in the order of their classes, become ids of classes; nothing where they are those."""
    named = {value: description.class_of(value) for value in sorted(description.label_ids)}
    parts = {"label_ids": named, "masks": sorted(description.mask_classes.items())}
    return {name: value for name, value in parts.items() if value}


_OF_NO_TRAINING = {
    *("name", "title", "licence", "nsd_tolerance_mm", "patient_pattern", "patients"),
    *("layout", "files", "case_pattern", "split", "label_ids", "mask_names", "sources"),
}
"""Of a description: words, the tolerance of a score, and what comes to the cases and their splits."""


def _fingerprint(
    description: DatasetDescription, spacing_xyz: tuple[float, float, float], entries: tuple[CaseEntry, ...]
) -> str:
    """Hash of all that decides what a training on the dataset comes to; a field left at its default is not in it."""
    read = description.model_dump(mode="json", exclude=_OF_NO_TRAINING, exclude_defaults=True)
    if description.sources:  # each is drawn equally often, with the classes that it annotates
        read["sources"] = [(each.name, sorted(each.annotates or [])) for each in description.sources]
    cases = [entry.model_dump(include={"case_id", "splits", "content"}) for entry in entries]
    return content_hash(IDENTITY, read, spacing_xyz, cases)


def _prepared_task(case: tuple[Case, tuple[Path, ...]], plan: CasePlan) -> tuple[CaseRecord, str]:
    return prepare_case(case[0], plan, case[1])


def prepare_case(case: Case, plan: CasePlan, earlier: Sequence[Path] = ()) -> tuple[CaseRecord, str]:
    """Prepare one case unless that is done and whole on disk.

    Args:
        earlier: folders of the case in which its files may be known again unread.

    Raises:
        DatasetError: its files were changed meanwhile.

    Returns:
        The record without the sampled points, which stay on disk; and what was damaged, empty where nothing was.
    """
    decided = _decided(case, plan)
    states = _states(case, plan)
    stamp = _stamp(decided, states)
    content = _known(case, stamp, earlier) or content_hash(*decided, *case.hashed)
    folder = plan.place.case(case.case_id, content)
    record, damage = _found(folder, case.case_id)
    if record is None or record.content != content:
        remove_leftovers(folder)
        record = _prepare_case(case, plan, folder, content, stamp, states)
    elif _files(case, plan) != _recorded_files(record) or stamp not in ("", record.stamp):
        record = _found_elsewhere(record, case, plan).model_copy(update={"stamp": stamp or record.stamp})
        write_record(folder, record)
    contents = record.contents and record.contents.model_copy(update={"points": {}})
    return record.model_copy(update={"contents": contents}), damage


def _found(folder: Path, case_id: str) -> tuple[CaseRecord | None, str]:
    """The case's record, if its arrays are those that were written; else what is damaged."""
    record, path = read_record(folder, case_id), record_path(folder, case_id)
    if record is None:
        return None, f"{path} was damaged or changed since it was written" if path.exists() else ""
    try:
        require_stored(folder, record)
    except DamagedError as error:
        return None, str(error)
    return record, ""


def _files(case: Case, plan: CasePlan) -> dict[str, Any]:
    """The raw files as records have them."""
    relative = plan.place.paths.relative
    label = None if case.label is None else relative(case.label)
    return {"image": relative(case.image), "label": label, "masks": {name: relative(path) for name, path in case.masks}}


def _recorded_files(record: CaseRecord) -> dict[str, Any]:
    return {"image": record.image, "label": record.label, "masks": record.masks}


def _paths(files: dict[str, Any]) -> list[str | None]:
    return [files["image"], files["label"], *(path for _, path in sorted(files["masks"].items()))]


def _found_elsewhere(record: CaseRecord, case: Case, plan: CasePlan) -> CaseRecord:
    """The record of the same files where they lie now."""
    files = _files(case, plan)
    moved = list(zip(_paths(_recorded_files(record)), _paths(files), strict=True))
    reasons = tuple(_replaced(reason, moved) for reason in record.reasons)
    return record.model_copy(update=files | {"reasons": reasons})


def _replaced(text: str, pairs: Iterable[tuple[str | None, str | None]]) -> str:
    for old, new in pairs:
        text = text.replace(old, new) if old and new else text
    return text


def _prepare_case(
    case: Case, plan: CasePlan, folder: Path, content: str, stamp: str, states: Sequence[_State]
) -> CaseRecord:
    checked = load_checked(case, plan.description)
    if _states(case, plan) != states:
        raise DatasetError(
            f"{case.case_id}: its files were changed while they were read, and could be taken for what they were "
            "before: run the same command again when nobody writes there."
        )
    files = _files(case, plan)
    masks = [str(path) for _, path in sorted(case.masks)]
    named = list(zip([str(case.image), str(case.label), *masks], _paths(files), strict=True))
    reasons = tuple(_replaced(reason, named) for reason in checked.verdict.reasons)
    record = CaseRecord(content=content, stamp=stamp, **files, **asdict(checked.verdict) | {"reasons": reasons})
    if checked.scan is None:
        write_record(folder, record)
        return record
    hu_DHW, spacing_DHW = _prepare_image(checked.scan.volume, plan)
    label_DHW, contents = None, None
    if checked.label_DHW is not None:
        label_DHW = _at_spacing(Volume(checked.label_DHW, checked.scan.volume.spacing_DHW), plan, "label").array_DHW
        contents = describe_label(label_DHW, hu_DHW > plan.description.hu_window[0])
    update = {"shape_DHW": hu_DHW.shape, "spacing_DHW": spacing_DHW, "contents": contents}
    update["histogram"] = histogram(checked.scan.volume.array_DHW)
    record = record.model_copy(update=update)
    return write_case(folder, record, hu_DHW, label_DHW)


def _prepare_image(image: Volume, plan: CasePlan) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Windowed HU, int16, and their spacing; the twice as large floats live no longer than this call."""
    resampled = _at_spacing(image, plan, "image")
    return to_window(resampled.array_DHW, plan.description.hu_window), resampled.spacing_DHW


def _at_spacing(volume: Volume, plan: CasePlan, kind: Kind) -> Volume:
    x, y, z = plan.spacing_xyz
    return resample(volume, (z, y, x), kind)


def _decided(case: Case, plan: CasePlan) -> tuple[Any, ...]:
    """What, beside the files' bytes, decides what is made from them."""
    lacks_label = case.truth is None and bool(set(case.splits) - {"test"})  # which is then its verdict
    decided = VERSION, decisive(plan.description.for_case(case.case_id), plan.spacing_xyz), lacks_label
    return *decided, *_annotated_in_part(case, plan.description)


def _annotated_in_part(case: Case, description: DatasetDescription) -> list[tuple[int, ...]]:
    """The classes that the case is said to annotate: others are background in its label, and need no mask.

    Nothing where those are all, so that such cases keep the names from before this was looked at; nor of a source,
    whose label_ids or masks have it already.
    """
    ids = description.annotated_ids(case.case_id)
    return [ids] if description.annotated and len(ids) < len(description.classes) else []


def _states(case: Case, plan: CasePlan) -> list[_State]:
    place = plan.place.paths.relative
    found: list[_State] = []
    for each in case.hashed:
        state = each.stat() if isinstance(each, Path) else None
        of_file = state and (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        found.append((place(each) if isinstance(each, Path) else each, of_file))
    return found


def _stamp(decided: tuple[Any, ...], states: Sequence[_State]) -> str:
    """Hash of the files' places, sizes and times of change; empty where one has just been written.

    Reading all scans again takes each start of a job a second a gigabyte, and minutes from a server. A file written
    twice within the file system's own grain of time could have one time for both: as Git does, it waits until later.
    """
    newest = max((state[1] for _, state in states if state is not None), default=0)
    return "" if time.time_ns() - newest < _GRAIN_NS else content_hash(*decided, states)


def _known(case: Case, stamp: str, earlier: Sequence[Path]) -> str | None:
    """The content that files with this stamp had when they were read."""
    records = (read_record(folder, case.case_id) for folder in earlier if stamp)
    return next((record.content for record in records if record is not None and record.stamp == stamp), None)


def _memory(case: tuple[Case, tuple[Path, ...]], spacing_xyz: tuple[float, float, float]) -> int:
    """Bytes that a case needs at most, from its header."""
    try:
        grid = read_grid(case[0].image)
    except ScanError:
        return _BYTES_A_TASK
    raw = int(np.prod(grid.shape_xyz))
    growth = 1000 * grid.voxel_ml / math.prod(spacing_xyz)
    return _BYTES_A_TASK + int(_BYTES_A_VOXEL * raw * max(1.0, growth))


def _entry(case: Case, record: CaseRecord) -> CaseEntry:
    return CaseEntry(
        case_id=case.case_id,
        splits=case.splits,
        content=record.content,
        status=record.status,
        reasons=record.reasons,
    )
