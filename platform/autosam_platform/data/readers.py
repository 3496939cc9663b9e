"""Finding the cases of a dataset in the layouts people have their scans in, and what else lies there."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autosam_platform.data.cases import Case, DatasetError, Findings, LeftOut, Pair, name_in
from autosam_platform.data.dataset_json import (
    NAME,
    check_class_order,
    doubled_channel,
    find_by_lists,
    read_dataset_json,
)
from autosam_platform.data.description import DatasetDescription, InOrder, Split
from autosam_platform.data.layouts import expected_names, find_by_patterns
from autosam_platform.data.patients import in_folds, patients_of

__all__ = ["Case", "DatasetError", "LeftOut", "Survey", "find_cases", "natural_key", "survey"]


@dataclass(frozen=True)
class Survey:
    """What is in a dataset's folder.

    Attributes:
        cases: in the natural order of their ids, each in its split. One of which only one of image and label is there
            is in the list, so that the checks can name it.
        left_out: files in the folders that were looked at, and in no case.
        notes: what a person should know of the dataset as a whole.
    """

    cases: list[Case]
    left_out: list[LeftOut]
    notes: list[str]


def find_cases(description: DatasetDescription, root: str | Path) -> list[Case]:
    """The dataset's cases below ``root``; see ``survey``."""
    return survey(description, root).cases


def survey(description: DatasetDescription, root: str | Path) -> Survey:
    """Look through the folder ``root``.

    Raises:
        DatasetError: no such folder, nothing in it that fits the layout, or a ``dataset.json`` that is
            damaged, points outside the folder, or numbers the classes otherwise.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise DatasetError(
            f"{folder} is not a folder. For {description.title} give the folder that holds {_expected(description)}."
        )
    contents, notes = _contents(folder, description)
    notes += check_class_order(folder, contents, description)
    if description.layout == "decathlon":
        found = find_by_lists(folder, contents)
    else:
        found = find_by_patterns(description, folder)
    cases = _cases(description, folder, found)
    if not cases:
        raise DatasetError(
            f"{folder} holds no case of {description.title}: expected {_expected(description)}"
            f"{'' if description.case_pattern == '.*' else f', with ids like {description.case_pattern}'}."
            f"{_seen(found.left_out)}"
        )
    _refuse_repeated_ids(folder, cases)
    own = {NAME, description.patients}
    left_out = [each for each in found.left_out if each.name not in own]
    patients = patients_of(description, folder, (case.case_id for case in cases))
    notes += _classes_without_ids(description) + _patients_apart(description, patients, cases)
    return Survey(cases, left_out, notes)


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key by which a smaller number comes first, however many digits it has.

    >>> sorted(["volume-10", "volume-2"], key=natural_key)
    ['volume-2', 'volume-10']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def _contents(folder: Path, description: DatasetDescription) -> tuple[dict[str, Any], list[str]]:
    """What ``dataset.json`` says; a damaged one is no more than noted where the layout does without."""
    try:
        return read_dataset_json(folder), []
    except DatasetError as error:
        if description.layout == "decathlon":
            raise
        return {}, [str(error)]


def _expected(description: DatasetDescription) -> str:
    if description.layout == "decathlon":
        return f"{NAME}, or imagesTr/*.nii.gz and labelsTr/*.nii.gz"
    return expected_names(description)


def _seen(left_out: list[LeftOut]) -> str:
    """The first of the files that did not fit, where nothing fitted."""
    return "".join(f" {each.name}: {each.reason}." for each in left_out[:3])


def _cases(description: DatasetDescription, folder: Path, found: Findings) -> list[Case]:
    """The pairs that belong to the dataset, each in its split; what does not goes to ``found.left_out``."""
    pairs = []
    for pair in sorted(found.pairs, key=lambda each: (natural_key(each.case_id), each.case_id)):
        if re.fullmatch(description.case_pattern, pair.case_id):
            pairs.append(replace(pair, problem=pair.problem or doubled_channel(folder, pair.image)))
        else:
            found.left_out += _left_out(folder, pair, f"its id is not like {description.case_pattern} (case_pattern)")
    cases = _split(description, patients_of(description, folder, (pair.case_id for pair in pairs)), pairs)
    used = {case.image for case in cases}
    for pair in pairs:
        if pair.image not in used:
            reason = f"the description's split uses no list '{pair.list_name}'"
            found.left_out += _left_out(folder, pair, reason)
    return cases


def _left_out(folder: Path, pair: Pair, reason: str) -> list[LeftOut]:
    files = [pair.image, *([pair.label] if pair.label else [])]
    return [LeftOut(name_in(folder, path), reason) for path in files if path.exists()]


def _classes_without_ids(description: DatasetDescription) -> list[str]:
    named = set(description.label_ids.values())
    missing = [each.name for each in description.classes if each.name not in named]
    if not named or not missing:
        return []
    return [f"label_ids has no id of {', '.join(missing)}: no label map can show them."]


def _patients_apart(description: DatasetDescription, patients: dict[str, str], cases: list[Case]) -> list[str]:
    """Patients whose cases are in several splits; not where the description puts each case into several."""
    if description.split.rule == "every_case":
        return []
    seen: dict[str, dict[Split, str]] = {}
    for case in cases:
        if case.case_id in patients:
            seen.setdefault(patients[case.case_id], {}).setdefault(case.splits[0], case.case_id)
    return [
        f"patient {patient} is in {' and '.join(f'{split} ({case_id})' for split, case_id in splits.items())}: scores "
        "on known patients are too good; split by patient."
        for patient, splits in seen.items()
        if len(splits) > 1
    ]


def _split(description: DatasetDescription, patients: dict[str, str], pairs: list[Pair]) -> list[Case]:
    rule = description.split
    if rule.rule == "by_list":
        lists: dict[str, Split] = dict(rule.lists.items())
        return [_case(each, lists[each.list_name]) for each in pairs if each.list_name in lists]
    training = [each for each in pairs if each.list_name == "training"]
    if rule.rule == "every_case":
        return [_case(each, *rule.splits) for each in training]
    if rule.rule == "folds":
        splits = in_folds(rule, [patients.get(each.case_id, each.case_id) for each in training])
        return [_case(each, split) for each, split in zip(training, splits, strict=True)]
    names = [name for name, count in _sizes(rule, len(training)) for _ in range(count)]
    return [_case(each, name) for each, name in zip(training, names, strict=True)]


def _case(pair: Pair, *splits: Split) -> Case:
    return Case(pair.case_id, pair.image, pair.label, splits, pair.masks, pair.problem)


def _sizes(rule: InOrder, found: int) -> list[tuple[Split, int]]:
    """How many of the cases found go to each part."""
    total = sum(part.cases for part in rule.parts)
    if found >= total:
        return [(part.split, part.cases + (found - total if part.split == "train" else 0)) for part in rule.parts]
    least = 1 if found >= len(rule.parts) else 0
    spare = found - least * len(rule.parts)
    sizes = {part.split: least + part.cases * spare // total for part in rule.parts}
    sizes["train"] += found - sum(sizes.values())
    return list(sizes.items())


def _refuse_repeated_ids(folder: Path, cases: list[Case]) -> None:
    seen: dict[str, Case] = {}
    for case in cases:
        if case.case_id in seen:
            raise DatasetError(
                f"{folder} holds case '{case.case_id}' twice: {seen[case.case_id].image} and {case.image}; remove one."
            )
        seen[case.case_id] = case
