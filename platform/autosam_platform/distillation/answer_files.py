"""Somebody else's answers as files: which are a case's, and which classes of this dataset their ids mean.

A case's label map is ``<case>.nii.gz`` (or ``.nii``); its probabilities, if there are any, lie beside it as nnU-Net's
``--save_probabilities`` leaves them, ``<case>.npz``. Names of the ids stand in ``<case>.label.json`` (as our own
predictions have them), in ``labels.json``, or in nnU-Net's ``dataset.json``; without any of these the ids are those of
the dataset's classes.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosam_inference.errors import UserError
from autosam_inference.scans.names import SUFFIXES, case_file_name, stem
from autosam_platform.data.dataset_json import NAME, classes_by_name, named_ids
from autosam_platform.data.description import DatasetDescription
from autosam_platform.experiment import PROBABILITIES

NAMES = "labels.json"
_BACKGROUND = 0
_NAMED = 10  # cases in a message


class AnswerError(UserError):
    """Files that cannot teach; the message names them, what is wrong and what to do."""


@dataclass(frozen=True)
class AnswerFile:
    """The files of a case.

    Attributes:
        label: class ids on the scan's grid.
        probabilities: K, Z, Y, X on the axes of ``label`` as stored; None where there are none.
    """

    label: Path
    probabilities: Path | None = None


def no_answers(whose: str, problems: Sequence[str], count: int) -> AnswerError:
    """The error that names the cases which a teacher of files has no answer to.

    Args:
        problems: a line for each.
        count: of the cases that were asked for.
    """
    more = [f"  and {len(problems) - _NAMED} more"] if len(problems) > _NAMED else []
    listed = "\n".join([*problems[:_NAMED], *more])
    return AnswerError(
        f"{whose}: of {count} cases {len(problems)} have no answer that can be used:\n{listed}\n"
        "A teacher of files needs one of every training case, and of every scan without labels that is learnt from; to "
        "be scored, of every test case."
    )


def answer_file(folder: Path, case_id: str) -> AnswerFile:
    """The files of a case, named by its id, or as our own predictions of it are (``case_file_name``).

    Raises:
        AnswerError: there is no label map, or there are two.
    """
    names = dict.fromkeys((case_id, case_file_name(case_id)))
    labels = [path for name in names for each in SUFFIXES if (path := folder / f"{name}{each}").is_file()]
    name = stem(labels[0]) if labels else case_id
    probabilities = folder / f"{name}{PROBABILITIES}"
    if len(labels) > 1:
        raise AnswerError(f"{labels[0].name} and {labels[1].name} are both there: remove the one that does not count")
    if not labels and probabilities.is_file():
        raise AnswerError(
            f"{probabilities.name} does not say how it lies in the patient: put the label map {case_id}.nii.gz beside "
            "it, which nnU-Net writes with it"
        )
    if not labels:
        raise AnswerError(f"{case_id}.nii.gz is missing")
    return AnswerFile(labels[0], probabilities if probabilities.is_file() else None)


@dataclass(frozen=True)
class Meaning:
    """What the ids of a file mean.

    Attributes:
        classes: of every id that there may be, the class's; 0 is background.
        left_out: names of organs that the dataset does not have.
    """

    classes: dict[int, int]
    left_out: tuple[str, ...] = ()


def meaning_of(label: Path, description: DatasetDescription) -> Meaning:
    """What the ids of a label map mean, from the names beside it.

    Raises:
        AnswerError: the names cannot be read, or leave out a class: a student would be taught that it is nowhere.
    """
    found = next((each for each in _places(label) if each.is_file()), None)
    if found is None:
        return Meaning({_BACKGROUND: _BACKGROUND} | {each.id: each.id for each in description.classes})
    named = _read(found)
    own = classes_by_name([name for name in named.values() if name is not None], description)
    classes = {value: own.get(name or "") or _BACKGROUND for value, name in named.items()}
    missing = [each.name for each in description.classes if each.id not in classes.values()]
    if missing:
        raise AnswerError(
            f"{found.name} has no id of {', '.join(missing)}: a student would be taught that it is nowhere. Write the "
            f"ids and their names in this dataset into {NAMES} beside the files, or take a teacher that knows them all"
        )
    strange = (name for name in named.values() if name is not None and not own[name] and name.lower() != "background")
    return Meaning({_BACKGROUND: _BACKGROUND} | classes, tuple(strange))


def _places(label: Path) -> Iterator[Path]:
    yield label.with_name(f"{stem(label)}.label.json")
    yield label.with_name(NAMES)
    yield label.with_name(NAME)


def _read(path: Path) -> dict[int, str | None]:
    """Names by ids; None for what counts as background."""
    try:
        contents: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise AnswerError(f"{path.name} cannot be read as JSON ({error}): write it again") from None
    if isinstance(contents, dict) and path.name == NAME:
        contents = contents.get("labels")
    if isinstance(contents, dict):  # ours have {"name": …, "colour": …} for each id
        contents = {key: each.get("name") if isinstance(each, dict) else each for key, each in contents.items()}
    named: dict[int, str | None] = dict(named_ids(contents))
    if isinstance(contents, dict):
        named |= {int(key): None for key, each in contents.items() if each is None and key.isdecimal()}
    if not named:
        raise AnswerError(f'{path.name} names no ids: write {{"1": "liver", …}}')
    return named
