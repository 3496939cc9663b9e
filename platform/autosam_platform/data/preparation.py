"""From raw scans to prepared cases: check, resample, window, store; one Ray task a case, done ones are found.

A dataset's folder is named by a hash of what all its cases share (description, spacing, raw folder); each
case carries a hash of its own files too, so a changed file is prepared again and nothing else is.
"""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from autosam_inference.bounds import Spacing
from autosam_inference.files import content_hash, remove_leftovers, write_text
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.intensity import to_window
from autosam_inference.scans.nifti import ScanError, open_nifti
from autosam_inference.scans.resampling import Kind, resample
from autosam_platform.cluster import map_tasks
from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.prepared import (
    MANIFEST,
    CaseEntry,
    IncompleteDatasetError,
    Manifest,
    PreparedDataset,
    verdict_table,
)
from autosam_platform.data.readers import Case, find_cases
from autosam_platform.data.store import (
    CaseRecord,
    describe_label,
    read_record,
    write_case,
    write_record,
)
from autosam_platform.locks import locked

__all__ = ["CasePlan", "IncompleteDatasetError", "Preparation", "PreparedDataset", "prepare", "prepare_case"]

VERSION = 1  # raise it whenever the same raw files would give other prepared ones

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
    folder: Path


def prepare(
    description: DatasetDescription, root: str | Path, settings: Preparation, workspace: Path
) -> PreparedDataset:
    """Prepare every case below ``root`` into ``workspace/prepared/<name>-<hash>``, and print the verdicts.

    What an earlier, finished or interrupted, preparation did is found and kept.

    Raises:
        DatasetError: the folder is missing or holds no case. A bad case does not raise: it gets a verdict.
    """
    cases = find_cases(description, root)
    spacing = settings.spacing_xyz or description.spacing_xyz
    place = Path(root).expanduser().resolve()
    schema = description.model_dump(mode="json")
    folder = workspace / "prepared" / f"{description.name}-{content_hash(VERSION, schema, spacing, str(place))[:8]}"
    plan = CasePlan(description, spacing, (folder / "cases").absolute())
    with locked(folder / ".lock"):
        remove_leftovers(plan.folder)
        records = map_tasks(
            functools.partial(prepare_case, plan=plan),
            cases,
            label=f"preparing {description.name}",
            memory=functools.partial(_memory, spacing_xyz=spacing),
        )
        entries = tuple(_entry(case, record) for case, record in zip(cases, records, strict=True))
        fingerprint = content_hash(schema, spacing, [each.model_dump(include=_IDENTITY) for each in entries])
        manifest = Manifest(
            version=VERSION,
            fingerprint=fingerprint,
            root=str(place),
            spacing_xyz=spacing,
            description=description,
            cases=entries,
        )
        write_text(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    prepared = PreparedDataset.load(folder)
    print(verdict_table(prepared), flush=True)
    return prepared


_IDENTITY = {"case_id", "splits", "content"}


def prepare_case(case: Case, plan: CasePlan) -> CaseRecord:
    """Prepare one case unless that is done; the record without the sampled points, which stay on disk."""
    content = _case_hash(case, plan)
    record = read_record(plan.folder, case.case_id)
    if record is None or record.content != content or record.image != str(case.image.absolute()):
        record = _prepare_case(case, plan, content)
    return record.model_copy(update={"contents": None})


def _prepare_case(case: Case, plan: CasePlan, content: str) -> CaseRecord:
    checked = load_checked(case, plan.description)
    record = CaseRecord(
        content=content,
        image=str(case.image.absolute()),
        label=None if case.label is None else str(case.label.absolute()),
        **asdict(checked.verdict),
    )
    if checked.scan is None:
        write_record(plan.folder, record)
        return record
    hu_DHW, spacing_DHW = _prepare_image(checked.scan.volume, plan)
    label_DHW, contents = None, None
    if checked.label_DHW is not None:
        label_DHW = _at_spacing(Volume(checked.label_DHW, checked.scan.volume.spacing_DHW), plan, "label").array_DHW
        contents = describe_label(label_DHW, hu_DHW > plan.description.hu_window[0])
    update = {"shape_DHW": hu_DHW.shape, "spacing_DHW": spacing_DHW, "contents": contents}
    record = record.model_copy(update=update)
    write_case(plan.folder, record, hu_DHW, label_DHW)
    return record


def _prepare_image(image: Volume, plan: CasePlan) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Windowed HU, int16, and their spacing; the twice as large floats live no longer than this call."""
    resampled = _at_spacing(image, plan, "image")
    return to_window(resampled.array_DHW, plan.description.hu_window), resampled.spacing_DHW


def _at_spacing(volume: Volume, plan: CasePlan, kind: Kind) -> Volume:
    x, y, z = plan.spacing_xyz
    return resample(volume, (z, y, x), kind)


def _case_hash(case: Case, plan: CasePlan) -> str:
    """Hash of the two files' bytes and of everything that decides what is made from them."""
    files = [path if path is not None and path.is_file() else "missing" for path in (case.image, case.label)]
    schema = plan.description.model_dump(mode="json")
    return content_hash(VERSION, schema, plan.spacing_xyz, case.splits, *files)


def _memory(case: Case, spacing_xyz: tuple[float, float, float]) -> int:
    """Bytes that a case needs at most, from its header."""
    try:
        image = open_nifti(case.image)
    except ScanError:
        return _BYTES_A_TASK
    raw = int(np.prod(image.shape[:3]))
    growth = abs(np.linalg.det(image.affine[:3, :3])) / np.prod(spacing_xyz)
    return _BYTES_A_TASK + int(_BYTES_A_VOXEL * raw * max(1.0, growth))


def _entry(case: Case, record: CaseRecord) -> CaseEntry:
    return CaseEntry(
        case_id=case.case_id,
        splits=case.splits,
        content=record.content,
        status=record.status,
        reasons=record.reasons,
    )
