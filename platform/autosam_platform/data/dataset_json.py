"""``dataset.json`` as the Medical Decathlon, AMOS and nnU-Net write it: lists of cases, and names of label ids."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from autosam_inference.scans.names import stem, suffix
from autosam_platform.data.cases import (
    DatasetError,
    Findings,
    Pair,
    doubled,
    entries,
    is_scan,
    name_in,
    unfitting,
    writable_name,
)
from autosam_platform.data.description import DatasetDescription, loose

NAME = "dataset.json"
_LISTS = {"training": "Tr", "validation": "Va", "test": "Ts"}
_CHANNEL = "_0000"


def read_dataset_json(folder: Path) -> dict[str, Any]:
    """The file's contents; empty where there is none.

    Raises:
        DatasetError: it is damaged.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        return {}
    try:
        contents = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as JSON ({error}): download it again.") from None
    if not isinstance(contents, dict):
        raise DatasetError(f"{path} must hold one JSON object with a list 'training'.")
    return contents


def find_by_lists(folder: Path, contents: dict[str, Any]) -> Findings:
    """The cases that ``dataset.json`` lists; of a list that it does not have, those in nnU-Net's folders."""
    found = Findings()
    looked_at: set[Path] = set()
    listed = False
    for name, ending in _LISTS.items():
        entries_of_list = _entries(folder, contents, name)
        listed = listed or bool(entries_of_list)
        found.pairs += [_listed(folder, name, each) for each in entries_of_list]
        if not entries_of_list:
            found.pairs += _in_folders(folder, name, ending)
            looked_at |= {place for part in ("images", "labels") if (place := folder / f"{part}{ending}").is_dir()}
    files = {path for pair in found.pairs for path in (pair.image, pair.label) if path is not None}
    looked_at |= {path.parent for path in files if path.parent.is_dir()}
    twice = {path for pair in found.pairs for path in _beside(pair) if pair.problem}
    reason = f"{NAME} does not list it" if listed else "it belongs to no case"
    found.left_out += unfitting(folder, looked_at - {folder}, files | twice, reason)
    return found


def _beside(pair: Pair) -> list[Path]:
    """Files of the same names but for their suffixes, of which the problem of a pair tells."""
    return [
        each
        for path in (pair.image, pair.label)
        if path is not None
        for each in entries(path.parent)
        if stem(each) == stem(path) and suffix(each)
    ]


def _entries(folder: Path, contents: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of the file: fields ``image`` and ``label``, and ``id`` where it has ids, as nnU-Net's ``dataset``."""
    own = contents.get("dataset") if name == "training" else None
    if isinstance(own, dict):
        return [_fields(folder, "dataset", each, str(key)) for key, each in own.items()]
    entries = own or contents.get(name) or []
    where = "dataset" if own else name
    return [_fields(folder, where, each) for each in (entries if isinstance(entries, list) else [entries])]


def _fields(folder: Path, where: str, entry: Any, case_id: str = "") -> dict[str, Any]:
    fields = {"image": entry} if isinstance(entry, str) else entry  # the Decathlon's test list names images only
    if isinstance(fields, dict) and isinstance(fields.get("images"), list):
        if len(fields["images"]) > 1:
            raise DatasetError(
                f"{folder / NAME}: {where}: {fields['images']} are several channels of a case: one (CT) is expected."
            )
        fields = fields | {"image": next(iter(fields["images"]), None)}
    if not isinstance(fields, dict) or not isinstance(fields.get("image"), str):
        raise DatasetError(f"{folder / NAME}: {where}: {entry!r} is not {{'image': …, 'label': …}}")
    return fields | {"id": case_id}


def _listed(folder: Path, name: str, fields: dict[str, Any]) -> Pair:
    image = _with_channel(_inside(folder, fields["image"]))
    label = _inside(folder, fields["label"]) if fields.get("label") else None
    return Pair(fields["id"] or stem(fields["image"]), image, label, name)


def _with_channel(image: Path) -> Path:
    """nnU-Net v1 lists ``case.nii.gz`` for the file ``case_0000.nii.gz``."""
    numbered = image.with_name(f"{stem(image)}{_CHANNEL}{suffix(image)}")
    return numbered if os.path.lexists(numbered) and not os.path.lexists(image) else image


def _inside(folder: Path, relative: Any) -> Path:
    """A file named by ``dataset.json``, which may not lead out of the dataset's folder.

    A link in that folder may: so do DVC, git-annex and data lakes keep their files, and who may make links there may
    put files there as well.
    """
    name, base = str(relative), os.path.abspath(folder)
    path = Path(os.path.abspath(folder / name))
    upwards = ".." in Path(name).parts
    if not path.is_relative_to(base) or "\0" in name or (upwards and not _stays(folder / name, folder)):
        raise DatasetError(f"{folder / NAME} names {relative!r}, which is outside {folder}: refused.")
    return folder / (name if upwards else path.relative_to(base))


def _stays(path: Path, folder: Path) -> bool:
    """``..`` after a link leads where the link leads."""
    return path.resolve().is_relative_to(folder.resolve())


def _in_folders(folder: Path, name: str, ending: str) -> list[Pair]:
    labels = _by_name(folder / f"labels{ending}")
    images: dict[str, list[Path]] = {}
    for own, paths in _by_name(folder / f"images{ending}").items():
        images.setdefault(_without_channel(own, labels, paths[0]), []).extend(paths)
    no_labels = name == "test" and not labels
    pairs = []
    for case_id in {**images, **labels}:
        image = images.get(case_id, [folder / f"images{ending}" / f"{case_id}.nii.gz"])
        label = labels.get(case_id, [folder / f"labels{ending}" / f"{case_id}.nii.gz"])
        problem = doubled(folder, image) or doubled(folder, label)
        pairs.append(Pair(case_id, image[0], None if no_labels else label[0], name, problem=problem))
    return pairs


def _by_name(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in entries(folder):
        if is_scan(path) and writable_name(path):
            found.setdefault(stem(path), []).append(path)
    return found


def _without_channel(name: str, labels: dict[str, list[Path]], path: Path) -> str:
    """nnU-Net names images ``case_0000``; AMOS's ``amos_0004`` ends the same way, so the label decides."""
    match = re.fullmatch(r"(.+?)((?:_0000)*)_(\d{4})", name)
    if match is None or name in labels:
        return name
    if match[3] != _CHANNEL[1:]:
        if match[1] + match[2] in labels:
            raise DatasetError(f"{path} is a second channel: one channel (CT) is expected, named …_0000.nii.gz.")
        return name
    once = match[1] + match[2]
    return next((each for each in (once, match[1]) if each in labels), once)


def doubled_channel(folder: Path, image: Path) -> str:
    """The problem of an image that has nnU-Net's channel number twice, or nothing."""
    if not stem(image).endswith(2 * _CHANNEL):
        return ""
    once = stem(image)
    while once.endswith(2 * _CHANNEL):
        once = once.removesuffix(_CHANNEL)
    return (
        f"{name_in(folder, image)} has the channel number {_CHANNEL} twice, as a conversion leaves it that was done "
        f"twice: name it {once}{suffix(image)}, and its label {once.removesuffix(_CHANNEL)}{suffix(image)}."
    )


def check_class_order(folder: Path, contents: dict[str, Any], description: DatasetDescription) -> list[str]:
    """Compare the ids of ``dataset.json`` with the description's; notes on names that the description does not know.

    Raises:
        DatasetError: a class has another id there: its organ would be trained under another's name.
    """
    named = sorted(named_ids(contents.get("labels")))
    own = classes_by_name([name for _, name in named], description)
    wrong = [name for value, name in named if own[name] and description.class_of(value) not in (own[name], None)]
    if wrong:
        raise DatasetError(_other_order(folder, named, own, wrong, description))
    ignored = {(value, loose(name)) for value, name in description.ignored_labels.items()} | {(0, "background")}
    strange = [
        f"{value} '{name}'{_called_here(value, description)}"
        for value, name in named
        if not own[name] and (value, loose(name)) not in ignored
    ]
    return [f"{NAME} has names that {description.name} does not know: {', '.join(strange)}."] if strange else []


def classes_by_name(names: Iterable[str], description: DatasetDescription) -> dict[str, int | None]:
    """The class that each name means, whatever case, order and signs between its words; None where there is none.

    >>> from autosam_platform.data.description import load_description
    >>> classes_by_name(["Kidney_left", "femur"], load_description("btcv"))
    {'Kidney_left': 3, 'femur': None}
    """
    ours: dict[str | tuple[str, ...], int] = {_words(each.name): each.id for each in description.classes}
    ours |= {loose(each.name): each.id for each in description.classes}
    return {name: ours.get(loose(name), ours.get(_words(name))) for name in names}


def _words(name: str) -> tuple[str, ...]:
    """``kidney_left`` is the left kidney, too."""
    return tuple(sorted(re.split(r"[\s_-]+", name.casefold())))


def _called_here(value: int, description: DatasetDescription) -> str:
    names = {each.id: each.name for each in description.classes} | description.ignored_labels
    known = description.class_of(value)
    return f" (here '{names[known]}')" if known in names else ""


def named_ids(labels: Any) -> Iterator[tuple[int, str]]:
    """Ids and names; both ways of nnU-Net: ``{"1": "liver"}`` (v1, Decathlon) and ``{"liver": 1}`` (v2)."""
    if isinstance(labels, list):
        labels = dict(enumerate(labels))
    for key, value in labels.items() if isinstance(labels, dict) else ():
        if _is_id(key) and isinstance(value, str) and not _is_id(value):
            yield int(key), value
        elif _is_id(value):
            yield int(value), str(key)


def _is_id(value: Any) -> bool:
    return re.fullmatch(r"-?\d+", str(value)) is not None


def _other_order(
    folder: Path,
    named: list[tuple[int, str]],
    own: dict[str, int | None],
    wrong: list[str],
    description: DatasetDescription,
) -> str:
    theirs = ", ".join(f"{value} {name}" for value, name in named)
    ours = ", ".join(f"{each.id} {each.name}" for each in description.classes)
    read = f", read by its label_ids as {description.label_ids}" if description.label_ids else ""
    names = {each.id: each.name for each in description.classes}
    remedy = ", ".join(f"{value}: {names.get(own[name] or 0, 'null')}" for value, name in named if value)
    return (
        f"{folder / NAME} and the description {description.name} number {', '.join(map(repr, wrong))} differently. "
        f"The file has {theirs}; the description has {ours}{read}. If the file is right, write into the description "
        f"label_ids: {{{remedy}}}; if it is wrong, correct its 'labels'."
    )
