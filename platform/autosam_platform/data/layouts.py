"""Finding cases by patterns of paths: ``{id}`` stands for the case's id, ``{organ}`` for the name of a mask's organ."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autosam_inference.scans.names import stem
from autosam_platform.data.cases import (
    DatasetError,
    Findings,
    LeftOut,
    Pair,
    doubled,
    entries,
    is_dicom_label,
    is_dicom_study,
    is_scan,
    name_in,
    unfitting,
    writable_name,
)
from autosam_platform.data.description import DatasetDescription, loose
from autosam_platform.data.sources import FilePattern

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
    "dicom": (
        FilePattern(image="images/{id}", label="labels/{id}"),
        FilePattern(image="{id}", label="{id}/segmentation"),
    ),
}


def expected_names(description: DatasetDescription) -> str:
    """The names that a dataset's files should have."""
    return " or ".join(_names(each, description) for each in _patterns(description))


def find_by_patterns(description: DatasetDescription, folder: Path) -> Findings:
    """The files of the first of the layout's places that holds any, and what is left out."""
    found = [_find(folder, pattern, description) for pattern in _patterns(description)]
    chosen = next((place for place, each in enumerate(found) if each.pairs), None)
    if chosen is None:
        return Findings(left_out=[left_out for each in found for left_out in each.left_out])
    reason = f"the files {_names(_patterns(description)[chosen], description)} are used instead"
    above = {parent for pair in found[chosen].pairs for parent in pair.image.parents}
    unused = [
        LeftOut(name_in(folder, path), reason)
        for each in found[chosen + 1 :]
        for pair in each.pairs
        for path in (pair.image, pair.label)
        if path is not None and path.exists() and path not in above
    ]
    return Findings(found[chosen].pairs, found[chosen].left_out + unused)


def _patterns(description: DatasetDescription) -> tuple[FilePattern, ...]:
    assert description.layout is not None  # only one without sources is looked for
    return (description.files,) if description.files else _PATTERNS[description.layout]


def _names(pattern: FilePattern, description: DatasetDescription) -> str:
    label = f" and {pattern.label}.nii.gz" if pattern.label else ""
    return re.sub(r"\{\w+\}", "*", f"{pattern.image}{_ending(description)}{label}")


def _ending(description: DatasetDescription) -> str:
    """What an image's name has beyond its pattern: nothing where it is a folder of DICOM files."""
    return "" if description.layout == "dicom" else ".nii.gz"


@dataclass
class _Files:
    """What was found of one case."""

    images: list[Path] = field(default_factory=list)
    truths: dict[str, list[Path]] = field(default_factory=dict)
    """Label maps, under the name of the organ where they are masks, else under an empty one."""


def _find(folder: Path, pattern: FilePattern, description: DatasetDescription) -> Findings:
    organs = description.mask_classes
    looked_at: set[Path] = set()
    used: set[Path] = set()
    unknown: Counter[str] = Counter()
    cases: dict[str, _Files] = {}
    is_image, is_label = (is_dicom_study, is_dicom_label) if description.layout == "dicom" else (is_scan, is_scan)
    images = dict(_walked(folder, pattern.image, organs, looked_at, is_image))
    truths = dict(_walked(folder, pattern.label, organs, looked_at, is_label)) if pattern.label else {}
    for path in images.keys() & truths.keys():  # as ``a_seg`` of ``{id}`` and ``{id}_seg``: the longer pattern's
        (images if _literal(pattern.image) <= _literal(pattern.label or "") else truths).pop(path)
    for path, known in images.items():
        cases.setdefault(known.get("id", ""), _Files()).images.append(path)
        used.add(path)
    for path, known in truths.items():
        organ = known.get("organ", "")
        used.add(path)
        if organ and loose(organ) not in organs:
            unknown[organ] += 1
        else:
            cases.setdefault(known.get("id", ""), _Files()).truths.setdefault(loose(organ), []).append(path)
    pairs = [_pair(folder, pattern, key, files, _ending(description)) for key, files in cases.items()]
    strangers = _unknown_organs(pattern, unknown, description) if pairs else []
    unnamed = f"its name is not one of {_names(pattern, description)}, in letters of the same case"
    return Findings(pairs, strangers + unfitting(folder, looked_at, used, unnamed))


def _literal(pattern: str) -> int:
    return len(re.sub(r"\{\w+\}", "", pattern))


def _walked(
    folder: Path, pattern: str, organs: dict[str, int], looked_at: set[Path], is_wanted: Callable[[Path], bool]
) -> Iterator[tuple[Path, dict[str, str]]]:
    """Files that fit the pattern, and what stands in its placeholders."""
    for known, path in _walk(folder, PurePosixPath(pattern).parts, {}, organs, looked_at, is_wanted):
        yield path, known


def _pair(folder: Path, pattern: FilePattern, key: str, files: _Files, ending: str) -> Pair:
    """A file that is missing keeps the name under which it is missed."""
    image = files.images[0] if files.images else folder / f"{pattern.image.replace('{id}', key)}{ending}"
    problem = next(filter(None, (doubled(folder, paths) for paths in (files.images, *files.truths.values()))), "")
    masks = tuple((organ, paths[0]) for organ, paths in sorted(files.truths.items()) if organ)
    label = None
    if pattern.label and not masks:
        missed = folder / f"{pattern.label.replace('{id}', key).replace('{organ}', '*')}.nii.gz"
        label = next(iter(files.truths.get("", [missed])))
    in_a_folder = "{id}" in str(PurePosixPath(pattern.image).parent)  # else the file's whole name is the id
    return Pair(key if in_a_folder else stem(image), image, label, masks=masks, problem=problem)


def _unknown_organs(pattern: FilePattern, unknown: Counter[str], description: DatasetDescription) -> list[LeftOut]:
    """A line for each organ, not for each of its files: whole-body datasets have a hundred in every case."""
    reason = f"masks of organs that are no class of {description.name}, nor in its mask_names"
    names = {organ: (pattern.label or "").replace("{id}", "*").replace("{organ}", organ) for organ in unknown}
    return [LeftOut(f"{names[organ]}.nii.gz ({unknown[organ]} files)", reason) for organ in sorted(unknown)]


def _walk(
    folder: Path,
    parts: tuple[str, ...],
    known: dict[str, str],
    organs: dict[str, int],
    looked_at: set[Path],
    wanted_kind: Callable[[Path], bool],
) -> Iterator[tuple[dict[str, str], Path]]:
    """What stands in the placeholders, and the file, for every file below ``folder`` that fits the pattern's parts."""
    first, *rest = parts
    if rest and "{" not in first:
        yield from _walk(folder / first, tuple(rest), known, organs, looked_at, wanted_kind)
        return
    try:
        here = entries(folder)
    except DatasetError:
        if not known:
            raise
        return  # one case's: the others are looked at
    if folder.is_dir():
        looked_at.add(folder)
    wanted = _expression(first, known, organs)
    for path in here:
        if not writable_name(path) or not (path.is_dir() if rest else wanted_kind(path)):
            continue
        match = wanted.fullmatch(path.name if rest else stem(path))
        if match and rest:
            yield from _walk(path, tuple(rest), known | match.groupdict(), organs, looked_at, wanted_kind)
        elif match:
            yield known | match.groupdict(), path


def _expression(part: str, known: dict[str, str], organs: dict[str, int]) -> re.Pattern[str]:
    """A part of a pattern as a regular expression; what a placeholder stood for before, it stands for again.

    Where the id and an organ share a name, only organs that are known tell where the one ends and the other begins.
    """
    listed = "|".join("[ _-]*".join(map(re.escape, organ)) for organ in sorted(organs, key=len, reverse=True))
    anything = {"id": ".+", "organ": f"(?i:{listed})" if "{id}" in part and "id" not in known else ".+"}
    text, seen = "", dict[str, str]()
    for piece in re.split(r"(\{\w+\})", part):
        name = piece.strip("{}")
        if piece.startswith("{") and name in anything:
            text += seen.get(name) or (re.escape(known[name]) if name in known else f"(?P<{name}>{anything[name]})")
            seen[name] = f"(?P={name})" if name not in known else re.escape(known[name])
        else:
            text += re.escape(piece)
    return re.compile(text)
