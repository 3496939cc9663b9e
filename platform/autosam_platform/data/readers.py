"""Finding the cases of a dataset in the layouts people have their scans in."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from autosam_inference.errors import UserError
from autosam_inference.scans.names import SUFFIXES, stem
from autosam_platform.data.description import DatasetDescription, FilePattern, InOrder, Split

# Each layout's possible places in the dataset's folder, without suffix; the first that holds files counts.
_PATTERNS = {
    "btcv": (
        FilePattern(image="imagesTr/img{id}", label="labelsTr/label{id}"),
        FilePattern(image="RawData/Training/img/img{id}", label="RawData/Training/label/label{id}"),
        FilePattern(image="Training/img/img{id}", label="Training/label/label{id}"),
        FilePattern(image="img/img{id}", label="label/label{id}"),
    ),
    "ct_org": (FilePattern(image="volume-{id}", label="labels-{id}"),),
    "pairs": (FilePattern(image="images/{id}", label="labels/{id}"),),
}
_LISTS = {"training": "Tr", "validation": "Va", "test": "Ts"}


class DatasetError(UserError):
    """A dataset's folder that is not what its description says; the message tells what is expected."""


@dataclass(frozen=True)
class Case:
    """One scan and its label map.

    Attributes:
        case_id: name of the image file without suffix (and without nnU-Net's channel number).
        image, label: where the layout has them; whether they are there and fit is for the checks to say.
            ``label`` is None where the layout has none, as in a test list.
        splits: what the case is used for; more than one only where a description asks for that.
    """

    case_id: str
    image: Path
    label: Path | None
    splits: tuple[Split, ...]


@dataclass(frozen=True)
class _Pair:
    case_id: str
    image: Path
    label: Path | None
    list_name: str = "training"


def find_cases(description: DatasetDescription, root: str | Path) -> list[Case]:
    """The dataset's cases below ``root``, in the natural order of their ids, each in its split.

    A case of which only one of image and label is there is in the list, so that the checks can name it.

    Raises:
        DatasetError: no such folder, nothing in it that fits the layout, or a ``dataset.json`` that is
            damaged or points outside the folder.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise DatasetError(
            f"{folder} is not a folder. For {description.title} give the folder that holds {_expected(description)}."
        )
    pairs = _find_decathlon(folder) if description.layout == "decathlon" else _find_patterns(description, folder)
    pairs = [each for each in pairs if re.fullmatch(description.case_pattern, each.case_id)]
    cases = _split(description, sorted(pairs, key=lambda each: natural_key(each.case_id)))
    if not cases:
        raise DatasetError(
            f"{folder} holds no case of {description.title}: expected {_expected(description)}"
            f"{'' if description.case_pattern == '.*' else f', with ids like {description.case_pattern}'}."
        )
    _refuse_repeated_ids(folder, cases)
    return cases


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key by which a smaller number comes first, however many digits it has.

    >>> sorted(["volume-10", "volume-2"], key=natural_key)
    ['volume-2', 'volume-10']
    """
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _expected(description: DatasetDescription) -> str:
    if description.layout == "decathlon":
        return "dataset.json, or imagesTr/*.nii.gz and labelsTr/*.nii.gz"
    patterns = _patterns(description)
    return " or ".join(f"{each.image}.nii.gz and {each.label}.nii.gz".replace("{id}", "*") for each in patterns)


def _patterns(description: DatasetDescription) -> tuple[FilePattern, ...]:
    return (description.files,) if description.files else _PATTERNS[description.layout]


def _find_patterns(description: DatasetDescription, folder: Path) -> list[_Pair]:
    for pattern in _patterns(description):
        images, labels = _matches(folder, pattern.image), _matches(folder, pattern.label)
        if images or labels:
            return [_pattern_pair(folder, pattern, key, images, labels) for key in {**images, **labels}]
    return []


def _pattern_pair(
    folder: Path, pattern: FilePattern, key: str, images: dict[str, Path], labels: dict[str, Path]
) -> _Pair:
    """A file that is missing keeps the name under which it is missed."""
    image = images.get(key, folder / f"{pattern.image.replace('{id}', key)}.nii.gz")
    label = labels.get(key, folder / f"{pattern.label.replace('{id}', key)}.nii.gz")
    return _Pair(stem(image), image, label)


def _matches(folder: Path, pattern: str) -> dict[str, Path]:
    """What stands in the pattern's ``{id}`` → file; never a hidden file, as macOS makes (``._img…``)."""
    place = PurePosixPath(pattern)
    wanted = re.compile(re.escape(place.name).replace(r"\{id\}", "(.+)") + r"\.nii(?:\.gz)?")
    found = {}
    for path in _scans(folder / place.parent):
        match = wanted.fullmatch(path.name)
        if match:
            found["".join(match.groups())] = path
    return found


def _scans(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.name.endswith(SUFFIXES) and not path.name.startswith("."):
                yield path


def _find_decathlon(folder: Path) -> list[_Pair]:
    """Medical Decathlon and AMOS list their cases in ``dataset.json``; nnU-Net v2 has only its folders."""
    contents = _read_json(folder / "dataset.json") if (folder / "dataset.json").exists() else {}
    pairs: list[_Pair] = []
    for name, suffix in _LISTS.items():
        listed = contents.get(name)
        pairs += _listed(folder, name, listed) if listed else _in_folders(folder, name, suffix)
    return pairs


def _read_json(path: Path) -> dict[str, Any]:
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as JSON ({error}): download it again.") from None
    if not isinstance(contents, dict):
        raise DatasetError(f"{path} must hold one JSON object with a list 'training'.")
    return contents


def _listed(folder: Path, name: str, entries: Any) -> list[_Pair]:
    pairs = []
    for entry in entries if isinstance(entries, list) else [entries]:
        fields = {"image": entry} if isinstance(entry, str) else entry  # the Decathlon's test list names images only
        if not isinstance(fields, dict) or not isinstance(fields.get("image"), str):
            raise DatasetError(f"{folder / 'dataset.json'}: {name}: {entry!r} is not {{'image': …, 'label': …}}")
        image = _with_channel(_inside(folder, fields["image"]))
        label = _inside(folder, fields["label"]) if fields.get("label") else None
        pairs.append(_Pair(stem(Path(fields["image"])), image, label, name))
    return pairs


def _with_channel(image: Path) -> Path:
    """nnU-Net v1 lists ``case.nii.gz`` for the file ``case_0000.nii.gz``."""
    numbered = image.with_name(f"{stem(image)}_0000.nii.gz")
    return numbered if numbered.exists() and not image.exists() else image


def _inside(folder: Path, relative: Any) -> Path:
    """A file named by ``dataset.json``, which may not lead out of the dataset's folder."""
    path = folder / str(relative)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(f"{folder / 'dataset.json'} names {relative!r}, which is outside {folder}: refused.")
    return path


def _in_folders(folder: Path, name: str, suffix: str) -> list[_Pair]:
    images = {_without_channel(path, folder): path for path in _scans(folder / f"images{suffix}")}
    labels = {stem(path): path for path in _scans(folder / f"labels{suffix}")}
    no_labels = name == "test" and not labels
    pairs = []
    for case_id in {**images, **labels}:
        image = images.get(case_id, folder / f"images{suffix}" / f"{case_id}.nii.gz")
        label = labels.get(case_id, folder / f"labels{suffix}" / f"{case_id}.nii.gz")
        pairs.append(_Pair(case_id, image, None if no_labels else label, name))
    return pairs


def _without_channel(path: Path, folder: Path) -> str:
    """nnU-Net names images ``case_0000``; AMOS's ``amos_0004`` ends the same way, so the label decides."""
    name = stem(path)
    match = re.fullmatch(r"(.+)_(\d{4})", name)
    labels = folder / path.parent.name.replace("images", "labels")
    if match is None or any((labels / f"{name}{suffix}").exists() for suffix in SUFFIXES):
        return name
    if match[2] != "0000" and any((labels / f"{match[1]}{suffix}").exists() for suffix in SUFFIXES):
        raise DatasetError(f"{path} is a second channel: one channel (CT) is expected, named …_0000.nii.gz.")
    return match[1] if match[2] == "0000" else name


def _split(description: DatasetDescription, pairs: list[_Pair]) -> list[Case]:
    rule = description.split
    if rule.rule == "by_list":
        lists: dict[str, Split] = dict(rule.lists.items())
        return [_case(each, lists[each.list_name]) for each in pairs if each.list_name in lists]
    training = [each for each in pairs if each.list_name == "training"]
    if rule.rule == "every_case":
        return [_case(each, *rule.splits) for each in training]
    names = [name for name, count in _sizes(rule, len(training)) for _ in range(count)]
    return [_case(each, name) for each, name in zip(training, names, strict=True)]


def _case(pair: _Pair, *splits: Split) -> Case:
    return Case(pair.case_id, pair.image, pair.label, splits)


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
