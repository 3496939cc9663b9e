"""Finding the cases of a dataset in the layouts people have their scans in, and what else lies there."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autosam_platform.data.cases import Case, DatasetError, Findings, LeftOut, Pair, listed, name_in
from autosam_platform.data.dataset_json import (
    NAME,
    check_class_order,
    doubled_channel,
    find_by_lists,
    read_dataset_json,
)
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.layouts import expected_names, find_by_patterns
from autosam_platform.data.patients import in_folds, patients_of, tells_patients
from autosam_platform.data.sources import Source
from autosam_platform.data.splits import InOrder, Split

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


@dataclass
class _Place:
    """What lies in one folder, before it is split.

    Attributes:
        description: of this folder.
        pairs: those that belong to the dataset, in the natural order of their ids.
        patients: by the ids of their cases, as far as they are known.
        source: whose folder it is, where there are several.
    """

    description: DatasetDescription
    folder: Path
    pairs: list[Pair]
    patients: dict[str, str]
    left_out: list[LeftOut]
    notes: list[str]
    source: Source | None = None

    @property
    def has_labels(self) -> bool:
        """May its cases be in a split?"""
        return self.source is None or self.source.labels

    @property
    def all_left_out(self) -> list[LeftOut]:
        """What is left out, with the source's name before it."""
        above = f"{self.source.name}/" if self.source else ""
        return [replace(each, name=f"{above}{each.name}") for each in self.left_out]


def find_cases(description: DatasetDescription, root: str | Path | None) -> list[Case]:
    """The dataset's cases below ``root``; see ``survey``."""
    return survey(description, root).cases


def survey(description: DatasetDescription, root: str | Path | None) -> Survey:
    """Look through the folder ``root``, or through the folder of each of the description's sources.

    Args:
        root: of sources without a root of their own, the folder that holds a folder of the name of each.

    Raises:
        DatasetError: no such folder, nothing in it that fits the layout, a ``dataset.json`` that is damaged, points
            outside the folder, or numbers the classes otherwise; a pattern of ``annotated`` that no case has; or folds
            of cases of which the description tells some patients and not all.
    """
    if description.sources:
        places = [_place_of(source, description, root) for source in description.sources]
    else:
        places = [_look_through(description, root)]
    if description.split.rule == "folds":
        _require_patients(places)
    cases = _cases(description, places)
    if not cases:
        raise _no_case(places[0])
    _refuse_repeated_ids(places[0].folder if len(places) == 1 else description.name, cases)
    patients = {case_id: patient for place in places for case_id, patient in place.patients.items()}
    notes = [note for place in places for note in place.notes] + _patients_apart(description, patients, cases)
    return Survey(cases, [each for place in places for each in place.all_left_out], notes)


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key by which a smaller number comes first, however many digits it has.

    >>> sorted(["volume-10", "volume-2"], key=natural_key)
    ['volume-2', 'volume-10']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def _look_through(description: DatasetDescription, root: str | Path | None, source: Source | None = None) -> _Place:
    """What is in one folder of one layout, which may be that of a source.

    Raises:
        DatasetError: see ``survey``.
    """
    if root is None or not (folder := Path(root).expanduser()).is_dir():
        raise DatasetError(
            f"{root or 'no folder'} is not a folder. For {description.title} give the folder that holds "
            f"{_expected(description)}."
        )
    contents, notes = _contents(folder, description)
    if source is None or source.labels:
        notes += check_class_order(folder, contents, description) + _classes_without_ids(description, source)
    if description.layout == "decathlon":
        found = find_by_lists(folder, contents)
    else:
        found = find_by_patterns(description, folder)
    pairs = _belonging(description, folder, found)
    patients, of_patients = patients_of(description, folder, [pair.case_id for pair in pairs])
    notes += of_patients
    own = {NAME, description.patients}
    left_out = [each for each in found.left_out if each.name not in own]
    place = _Place(description, folder, pairs, patients, left_out, notes, source)
    if not pairs:
        raise _no_case(place)
    _require_annotated(place)
    return place


def _require_annotated(place: _Place) -> None:
    """Refuse a pattern of ``annotated`` that no case has: a mistyped one would make organs that nobody annotated
    background to learn.
    """
    ids = [pair.case_id for pair in place.pairs]
    for pattern in place.description.annotated:
        if not any(re.fullmatch(pattern, each) for each in ids):
            raise DatasetError(
                f"no case in {place.folder} has an id like {pattern!r}, which annotated names in the description "
                f"{place.description.name}: the ids are {listed(ids)}; correct the pattern, or take it out."
            )


def _require_patients(places: list[_Place]) -> None:
    """Refuse to deal cases without a patient beside others with one: as patients of their own they could put scans of
    one patient on two sides.
    """
    for place in places:
        dealt = [pair.case_id for pair in place.pairs if place.has_labels and pair.list_name == "training"]
        without = [each for each in dealt if each not in place.patients]
        if without and tells_patients(place.description):
            own = [each.removeprefix(place.source.prefix if place.source else "") for each in without]
            raise DatasetError(
                f"no patient is known of {listed(own)} in {place.folder}, and folds keep a patient's scans together: "
                "let patient_pattern fit these ids, or give each, written as here, a row in the file that patients "
                "names, also the only scan of a patient."
            )


def _place_of(source: Source, description: DatasetDescription, root: str | Path | None) -> _Place:
    """What is in the folder of a source, its name before all ids and patients, which are the source's own."""
    folder = source.root or (None if root is None else Path(root) / source.name)
    place = _look_through(description.of_source(source), folder, source)
    if not source.labels:
        _take_off_labels(place)
    place.pairs = [replace(each, case_id=f"{source.prefix}{each.case_id}") for each in place.pairs]
    place.patients = {f"{source.prefix}{key}": f"{source.prefix}{name}" for key, name in place.patients.items()}
    place.notes = [f"{source.name}: {note}" for note in place.notes]
    return place


def _take_off_labels(place: _Place) -> None:
    """Files of labels that a source is not to have are left out, and so is a label without an image."""
    for pair in place.pairs:
        files = [*([pair.label] if pair.label else []), *(path for _, path in pair.masks)]
        place.left_out += [
            LeftOut(name_in(place.folder, path), "its source is without labels (labels: false)")
            for path in files
            if os.path.exists(path)
        ]
    place.pairs = [replace(each, label=None, masks=()) for each in place.pairs if os.path.lexists(each.image)]


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


def _no_case(place: _Place) -> DatasetError:
    pattern = place.description.case_pattern
    return DatasetError(
        f"{place.folder} holds no case of {place.description.title}: expected {_expected(place.description)}"
        f"{'' if pattern == '.*' else f', with ids like {pattern}'}.{_seen(place.left_out)}"
    )


def _belonging(description: DatasetDescription, folder: Path, found: Findings) -> list[Pair]:
    """The pairs that belong to the dataset; what does not goes to ``found.left_out``."""
    pairs = []
    for pair in sorted(found.pairs, key=lambda each: (natural_key(each.case_id), each.case_id)):
        if re.fullmatch(description.case_pattern, pair.case_id):
            pairs.append(replace(pair, problem=pair.problem or doubled_channel(folder, pair.image)))
        else:
            found.left_out += _left_out(folder, pair, f"its id is not like {description.case_pattern} (case_pattern)")
    return pairs


def _cases(description: DatasetDescription, places: list[_Place]) -> list[Case]:
    """All cases, each in its split; a pair of a list that the split does not use goes to ``left_out``."""
    patients = {case_id: patient for place in places for case_id, patient in place.patients.items()}
    cases = _split(description, patients, _spread([place.pairs for place in places if place.has_labels]))
    cases += [_case(pair) for place in places if not place.has_labels for pair in place.pairs]
    used = {case.image for case in cases}
    for place in places:
        for pair in place.pairs:
            if pair.image not in used:
                reason = f"the description's split uses no list '{pair.list_name}'"
                place.left_out += _left_out(place.folder, pair, reason)
    return sorted(cases, key=lambda each: (natural_key(each.case_id), each.case_id))


def _spread(groups: list[list[Pair]]) -> list[Pair]:
    """All pairs, those of each group in their order and evenly among the others.

    So every part of a split by order has its share of each source.
    """
    placed = [
        ((place + 0.5) / len(pairs), group, pair)
        for group, pairs in enumerate(groups)
        for place, pair in enumerate(pairs)
    ]
    return [pair for _, _, pair in sorted(placed, key=lambda each: each[:2])]


def _left_out(folder: Path, pair: Pair, reason: str) -> list[LeftOut]:
    files = [pair.image, *([pair.label] if pair.label else [])]
    return [LeftOut(name_in(folder, path), reason) for path in files if path.exists()]


def _classes_without_ids(description: DatasetDescription, source: Source | None) -> list[str]:
    named = set(description.label_ids.values())
    annotates = None if source is None else source.annotates
    missing = [each.name for each in description.classes if each.name not in named]
    missing = [name for name in missing if annotates is None or name in annotates]
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


def _refuse_repeated_ids(where: str | Path, cases: list[Case]) -> None:
    seen: dict[str, Case] = {}
    for case in cases:
        if case.case_id in seen:
            raise DatasetError(
                f"{where} holds case '{case.case_id}' twice: {seen[case.case_id].image} and {case.image}; remove one."
            )
        seen[case.case_id] = case
