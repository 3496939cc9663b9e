"""What only shows when a dataset's cases are looked at together."""

from collections.abc import Sequence

from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.readers import Case
from autosam_platform.data.splits import Split
from autosam_platform.data.store import IMAGE, CaseRecord

_WITHOUT: dict[Split, str] = {
    "train": "no training case shows {names}: what no case shows cannot be learnt.",
    "val": "no validation case shows {names}: the best checkpoint is chosen without.",
    "test": "no test case shows {names}: no score will tell of it.",
}


def same_scans(cases: Sequence[Case], records: Sequence[CaseRecord]) -> list[str]:
    """Cases whose images came out alike to the voxel, whatever their files are called."""
    alike: dict[str, list[Case]] = {}
    for case, record in zip(cases, records, strict=True):
        if record.shape_DHW is not None:
            alike.setdefault(record.hashes[IMAGE], []).append(case)
    return [_told_alike(same) for same in alike.values() if len(same) > 1]


def same_scan(one: CaseRecord, other: CaseRecord) -> bool:
    """Are the voxels of two usable cases, prepared at one spacing, the same, whatever their files are called, however
    they are compressed and whatever HU are clipped?
    """
    if one.shape_DHW != other.shape_DHW:
        return False
    same_counts = bool(one.histogram) and one.histogram == other.histogram
    return same_counts or one.hashes[IMAGE] == other.hashes[IMAGE]


def _told_alike(cases: list[Case]) -> str:
    told = " and ".join(f"{case.case_id} ({', '.join(case.splits) or 'in no split'})" for case in cases)
    known = len({case.splits for case in cases}) > 1
    remedy = "scores on a scan that was trained on mean nothing; remove one" if known else "it counts twice; remove one"
    return f"{told} hold the same scan: {remedy}."


def unseen_classes(description: DatasetDescription, cases: Sequence[Case], records: Sequence[CaseRecord]) -> list[str]:
    """Classes that no labelled case of a split shows."""
    shown: dict[Split, set[int]] = {}
    for case, record in zip(cases, records, strict=True):
        for split in case.splits:
            if record.contents is not None:
                shown.setdefault(split, set()).update(record.contents.boxes)
    names = {split: [each.name for each in description.classes if each.id not in shown[split]] for split in shown}
    return [text.format(names=", ".join(names[split])) for split, text in _WITHOUT.items() if names.get(split)]
