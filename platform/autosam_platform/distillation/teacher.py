"""A teacher's probabilities for the training cases: computed once by Ray tasks, or anew for every patch."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from autosam_inference.card import LabelClass, ModelCard
from autosam_inference.errors import UserError
from autosam_inference.files import content_hash, remove_leftovers
from autosam_inference.model import TrainedModel
from autosam_inference.scans.nifti import ScanError
from autosam_inference.several import ModelFolders
from autosam_inference.windows import Window, sweep_order
from autosam_models.sizes import Size
from autosam_platform.cluster import cores_per_task, map_tasks
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.probabilities import (
    WHOLE,
    ProbabilityRecord,
    quantised,
    read_probabilities,
    read_probability_record,
    write_probabilities,
)
from autosam_platform.data.store import StoredCase, describe_label
from autosam_platform.distillation.answer_files import AnswerError, no_answers
from autosam_platform.locks import LOCK, locked
from autosam_platform.workspace import Workspace

VERSION = 1  # raise it whenever the same teacher and case would give other numbers


class MismatchError(UserError):
    """A teacher and a dataset that do not speak of the same; the message names both sides."""


class Answering(Protocol):
    """Whose answers are stored.

    Attributes:
        identity: hash of the teacher's files.
        settings: what else decides its answers, for ``content_hash``.
        name: for records.
        on_gpu: is it faster with one?
    """

    @property
    def identity(self) -> str: ...

    @property
    def settings(self) -> list[Any]: ...

    @property
    def name(self) -> str: ...

    @property
    def on_gpu(self) -> bool: ...

    def require(self, cases: Sequence[StoredCase]) -> None:
        """Refuse cases that it cannot answer, before the first is stored.

        Raises:
            UserError: names them.
        """
        ...

    def case_probabilities(self, case: StoredCase, threads: int) -> np.ndarray:
        """Its answer to a whole case: K, D, H, W, uint8, in 255ths.

        Raises:
            ScanError, AnswerError: it has none that can be used.
        """
        ...

    def memory(self, case: StoredCase) -> int:
        """Bytes that a case needs at most."""
        ...

    def learnt(self, prepared: PreparedDataset) -> set[str]:
        """Ids of the dataset's cases that it is known to have been trained on."""
        ...


@dataclass(frozen=True)
class TrainedTeacher:
    """A trained model that teaches, or several that teach what they say in the mean.

    Attributes:
        models: their folders.
        identity: hash of their files.
        overlap: of neighbouring windows.
    """

    models: ModelFolders
    identity: str
    overlap: float
    on_gpu: bool = True

    @classmethod
    def of(cls, folders: Path | Sequence[Path], overlap: float) -> Self:
        models = ModelFolders.of(*([folders] if isinstance(folders, Path) else folders))
        return cls(models, models.hash, overlap)

    @property
    def model(self) -> TrainedModel:
        """The model itself, or the mean, read from disk once per process."""
        return self.models.load(self.identity, self.overlap)

    @property
    def settings(self) -> list[Any]:
        """See ``Answering``."""
        return [self.overlap]

    @property
    def name(self) -> str:
        """Its run, or its runs."""
        return ", ".join(sorted(card.run_id for card in self.models.cards))

    def require(self, cases: Sequence[StoredCase]) -> None:
        """It answers any case."""

    def case_probabilities(self, case: StoredCase, threads: int) -> np.ndarray:
        """See ``Answering``."""
        self.model.runtime.use_threads(threads)
        case_KDHW = np.empty((self.model.card.num_classes, *case.shape_DHW), np.uint8)
        for part, probabilities_KDHW in self.answers(case, tuple(slice(0, n) for n in case.shape_DHW)):
            case_KDHW[:, *part] = quantised(probabilities_KDHW).numpy()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # this process stays a while, and the student wants the GPU
        return case_KDHW

    def memory(self, case: StoredCase) -> int:
        """See ``Answering``: prediction, the image, and the probabilities with their copy for the file."""
        voxels = int(np.prod(case.shape_DHW))
        return self.models.bytes_of_prediction(case.shape_DHW) + voxels * (8 + 2 * self.models.card.num_classes)

    def learnt(self, prepared: PreparedDataset) -> set[str]:
        """See ``Answering``."""
        return set().union(*(_learnt(card, prepared) for card in self.models.cards))

    def answers(self, case: StoredCase, box: Window) -> Iterator[tuple[Window, Tensor]]:
        """Probabilities in a box of a case, part by part, by the sliding window that evaluates models.

        Only the windows that touch the box are looked at, and only what lies in it is kept.

        Args:
            box: slices along D, H, W.

        Yields:
            the place of a part along D, H, W, and its K, D, H, W, float32.
        """
        order = sweep_order(case.shape_DHW, self.model.card.patch)
        back = [0, *(1 + order.index(axis) for axis in range(3))]
        for slab in self.model.logits(case.image(), order, within=box):
            place = list(box)
            place[order[0]] = slice(slab.start, slab.stop)
            yield tuple(place), slab.logits_KDHW.softmax(0).permute(back).cpu()


@dataclass(frozen=True)
class OnlineTeacher:
    """Asks the network for every patch anew: what is stored is these numbers, rounded to 255ths."""

    teacher: TrainedTeacher

    def probabilities(self, case: StoredCase, corner_DHW: Size, size_DHW: Size) -> np.ndarray:
        """See ``data.patches.Teacher``; float32."""
        starts = [max(first, 0) for first in corner_DHW]
        stops = [min(first + n, end) for first, n, end in zip(corner_DHW, size_DHW, case.shape_DHW, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
        patch_KDHW = np.zeros((self.teacher.model.card.num_classes, *size_DHW), np.float32)
        patch_KDHW[0] = WHOLE
        for part, probabilities_KDHW in self.teacher.answers(case, box):
            place = (slice(one.start - n, one.stop - n) for one, n in zip(part, corner_DHW, strict=True))
            np.multiply(probabilities_KDHW.numpy(), WHOLE, out=patch_KDHW[:, *place])
        return patch_KDHW


@dataclass(frozen=True)
class StoredTeacher:
    """Reads what was computed once.

    Attributes:
        folder: of the stored probabilities.
        records: of the training cases.
    """

    folder: Path
    records: dict[str, ProbabilityRecord]

    def probabilities(self, case: StoredCase, corner_DHW: Size, size_DHW: Size) -> np.ndarray:
        """See ``data.patches.Teacher``."""
        return read_probabilities(self.folder, case.case_id, self.records[case.case_id], corner_DHW, size_DHW)


@dataclass(frozen=True)
class StoredAnswers:
    """A stored teacher, and the records of the cases it was asked for, in their order."""

    teacher: StoredTeacher
    answers: list[tuple[StoredCase, ProbabilityRecord]]


def stored_teacher(teacher: Answering, prepared: PreparedDataset, workspace: Workspace) -> StoredTeacher:
    """The teacher's probabilities for all training cases; see ``stored_answers``."""
    return stored_answers(teacher, prepared, prepared.cases("train"), workspace).teacher


def stored_answers(
    teacher: Answering,
    prepared: PreparedDataset,
    cases: Sequence[StoredCase],
    workspace: Workspace,
    alone: str | None = None,
) -> StoredAnswers:
    """The teacher's probabilities for some cases, computed where that is not done yet, one Ray task a case.

    They lie in ``teachers/<dataset>-<hash>/``, where the hash is of the teacher's files, the data's fingerprint, and
    what else decides its answers, such as the windows' overlap; a case that is there is kept, so that the same call
    continues an interrupted one.

    Args:
        alone: names cases that the teacher alone tells of: their records say where it sees what, and how sure it is.

    Raises:
        AnswerError: a teacher of files has no answer to some of them; those that it has are kept.
    """
    parts = [VERSION, teacher.identity, prepared.fingerprint, *teacher.settings, *([alone] if alone else [])]
    made_of = content_hash(*parts)
    folder = workspace.teacher(f"{prepared.name}-{made_of[:8]}")
    with locked(folder / LOCK):  # of several fits with this teacher, one computes, and the others wait
        remove_leftovers(folder)
        known = {case.case_id: _known(folder, case, made_of) for case in cases}
        missing = [case for case in cases if known[case.case_id] is None]
        made = _computed(teacher, missing, folder, made_of, alone is not None)
    known |= dict(zip([case.case_id for case in missing], made, strict=True))
    records = {case_id: record for case_id, record in known.items() if record is not None}
    return StoredAnswers(StoredTeacher(folder, records), [(case, records[case.case_id]) for case in cases])


def require_match(card: ModelCard, prepared: PreparedDataset) -> None:
    """Refuse a teacher that was trained for other classes, another spacing or another window than the dataset's.

    Raises:
        MismatchError: names what differs, on both sides.
    """
    description = prepared.description
    sides = {
        "classes": ([_text(each) for each in card.classes], [_text(each) for each in description.classes]),
        "spacing (x, y, z) in mm": (list(card.spacing_xyz), list(prepared.spacing_xyz)),
        "HU window": (list(card.hu_window), list(description.hu_window)),
        "scaling": (card.scaling.model_dump(exclude_none=True), description.scaling.model_dump(exclude_none=True)),
    }
    differing = [f"  {name}: teacher {one}, student {other}" for name, (one, other) in sides.items() if one != other]
    if differing:
        listed = "\n".join(differing)
        raise MismatchError(
            f"the teacher {card.run_id} and the student's dataset {prepared.name} do not match:\n{listed}\n"
            "Name a teacher that was trained on this dataset at this spacing, or prepare the dataset as the teacher's."
        )
    leaked = sorted(_learnt(card, prepared) & {case.case_id for case in prepared.cases("test")})
    if leaked:
        raise MismatchError(
            f"the teacher {card.run_id} was trained on test cases of {prepared.name}: {', '.join(leaked)}. Train "
            "teacher and student with the same split: what it scores on these cases means nothing."
        )


def _learnt(card: ModelCard, prepared: PreparedDataset) -> set[str]:
    return set(card.split.get("train", ())) if card.dataset == prepared.name else set()


def _text(label_class: LabelClass) -> str:
    pair = f" (other side: {label_class.mirror})" if label_class.mirror else ""
    return f"{label_class.id} {label_class.name}{pair}"


def _known(folder: Path, case: StoredCase, made_of: str) -> ProbabilityRecord | None:
    record = read_probability_record(folder, case.case_id)
    return record if record is not None and record.content == content_hash(made_of, case.record.content) else None


def _computed(
    teacher: Answering, cases: Sequence[StoredCase], folder: Path, made_of: str, alone: bool
) -> list[ProbabilityRecord]:
    if not cases:
        return []
    teacher.require(cases)
    threads = cores_per_task(len(cases))
    task = functools.partial(_compute, teacher, folder, made_of, threads, alone)
    label = "teacher's probabilities"
    made = map_tasks(task, cases, label=label, memory=teacher.memory, cpus=threads, gpu=teacher.on_gpu)
    problems = [each for each in made if isinstance(each, str)]
    if problems:
        raise no_answers(teacher.name, problems, len(cases))
    return [each for each in made if not isinstance(each, str)]


def _compute(
    teacher: Answering, folder: Path, made_of: str, threads: int, alone: bool, case: StoredCase
) -> ProbabilityRecord | str:
    """The record of a case; the reason where there can be none, so that it does not stop the others."""
    try:
        case_KDHW = teacher.case_probabilities(case, threads)
    except (ScanError, AnswerError) as error:
        return f"  {case.case_id}: {error}"
    content = content_hash(made_of, case.record.content)
    if not alone:
        return write_probabilities(folder, case.case_id, content, case_KDHW)
    said_DHW = case_KDHW.argmax(0).astype(np.uint8)
    points = describe_label(said_DHW, case.hu() > case.description.hu_window[0]).points
    return write_probabilities(folder, case.case_id, content, case_KDHW, points, _sureness(case_KDHW, said_DHW))


def _sureness(quantised_KDHW: np.ndarray, said_DHW: np.ndarray) -> float | None:
    """Mean of the largest probability where that is an organ's."""
    organs_DHW = said_DHW > 0
    return float(quantised_KDHW.max(0)[organs_DHW].mean() / WHOLE) if organs_DHW.any() else None
