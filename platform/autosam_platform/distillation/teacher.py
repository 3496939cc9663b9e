"""A teacher's probabilities for the training cases: computed once by Ray tasks, or anew for every patch."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from autosam_platform.cluster import cores_per_task, map_tasks
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.probabilities import (
    ProbabilityRecord,
    quantised,
    read_probabilities,
    read_probability_record,
    write_probabilities,
)
from autosam_platform.data.store import StoredCase
from autosam_platform.files import content_hash, locked
from autosam_platform.inference.model_folder import WEIGHTS, ModelCard, files_hash, read_card
from autosam_platform.inference.predictor import bytes_of_prediction, loaded
from autosam_platform.inference.sliding_window import Window, sweep_order

VERSION = 1  # raise it whenever the same teacher and case would give other numbers

_Place = tuple[int, int, int]


class MismatchError(ValueError):
    """A teacher and a dataset that do not speak of the same; the message names both sides."""


@dataclass(frozen=True)
class TrainedTeacher:
    """A trained model that teaches.

    Attributes:
        folder: of the model.
        identity: hash of its files.
        overlap: of neighbouring windows.
    """

    folder: Path
    identity: str
    overlap: float

    @classmethod
    def of(cls, folder: Path, overlap: float) -> Self:
        return cls(folder, files_hash(folder), overlap)

    def quantised(self, case: StoredCase, within: Window | None = None) -> np.ndarray:
        """Probabilities of a whole case in 255ths, by the sliding window that evaluates the model: K, D, H, W, uint8.

        Args:
            within: a box; what is outside of it is not computed and means nothing.
        """
        predictor = loaded(self.folder, self.identity, self.overlap)
        image_DHW = case.image()
        order = sweep_order(case.shape_DHW, predictor.card.patch)
        result_KDHW = np.empty((predictor.card.num_classes, *case.shape_DHW), np.uint8)
        swept_KDHW = torch.from_numpy(result_KDHW).permute(0, *(1 + axis for axis in order))
        for slab in predictor.logits(image_DHW, order, within=within):
            swept_KDHW[:, slab.start : slab.stop] = quantised(slab.logits_KDHW.softmax(0))
        return result_KDHW


@dataclass(frozen=True)
class OnlineTeacher:
    """Asks the network for every patch anew: the same numbers as stored ones, at the cost of its windows each time."""

    teacher: TrainedTeacher

    def probabilities(self, case: StoredCase, corner_DHW: _Place, size_DHW: _Place) -> np.ndarray:
        """See ``data.patches.Teacher``."""
        starts = [max(first, 0) for first in corner_DHW]
        stops = [min(first + n, end) for first, n, end in zip(corner_DHW, size_DHW, case.shape_DHW, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
        inside_KDHW = self.teacher.quantised(case, box)[:, *box]
        patch_KDHW = np.zeros((len(inside_KDHW), *size_DHW), np.uint8)
        patch_KDHW[0] = 255
        place = (slice(a - first, b - first) for a, b, first in zip(starts, stops, corner_DHW, strict=True))
        patch_KDHW[:, *place] = inside_KDHW
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

    def probabilities(self, case: StoredCase, corner_DHW: _Place, size_DHW: _Place) -> np.ndarray:
        """See ``data.patches.Teacher``."""
        return read_probabilities(self.folder, case.case_id, self.records[case.case_id], corner_DHW, size_DHW)


def stored_teacher(teacher: TrainedTeacher, prepared: PreparedDataset, workspace: Path) -> StoredTeacher:
    """The teacher's probabilities for all training cases, computed where that is not done yet, one Ray task a case.

    They lie in ``teachers/<dataset>-<hash>/``, where the hash is of the teacher's files, the data's fingerprint, and
    the windows' overlap; a case that is there is kept, so that the same call continues an interrupted one.
    """
    made_of = content_hash(VERSION, teacher.identity, prepared.fingerprint, teacher.overlap)
    folder = workspace / "teachers" / f"{prepared.name}-{made_of[:8]}"
    cases = prepared.cases("train")
    with locked(folder / ".lock"):  # of several fits with this teacher, one computes, and the others wait
        known = {case.case_id: _known(folder, case, made_of) for case in cases}
        missing = [case for case in cases if known[case.case_id] is None]
        made = _computed(teacher, missing, folder, made_of)
    known |= dict(zip([case.case_id for case in missing], made, strict=True))
    return StoredTeacher(folder, {case_id: record for case_id, record in known.items() if record is not None})


def require_match(card: ModelCard, prepared: PreparedDataset) -> None:
    """Refuse a teacher that was trained for other classes, another spacing or another window than the dataset's.

    Raises:
        MismatchError: names what differs, on both sides.
    """
    description = prepared.description
    sides = {
        "classes": (
            [f"{each.id} {each.name}" for each in card.classes],
            [f"{each.id} {each.name}" for each in description.classes],
        ),
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


def _known(folder: Path, case: StoredCase, made_of: str) -> ProbabilityRecord | None:
    record = read_probability_record(folder, case.case_id)
    return record if record is not None and record.content == content_hash(made_of, case.record.content) else None


def _computed(
    teacher: TrainedTeacher, cases: Sequence[StoredCase], folder: Path, made_of: str
) -> list[ProbabilityRecord]:
    if not cases:
        return []
    card, weights = read_card(teacher.folder), (teacher.folder / WEIGHTS).stat().st_size
    threads = cores_per_task(len(cases))
    task = functools.partial(_compute, teacher, folder, made_of, threads)
    memory = functools.partial(_memory, card, weights)
    return map_tasks(task, cases, label="teacher's probabilities", memory=memory, cpus=threads, gpu=True)


def _compute(teacher: TrainedTeacher, folder: Path, made_of: str, threads: int, case: StoredCase) -> ProbabilityRecord:
    torch.set_num_threads(threads)
    content = content_hash(made_of, case.record.content)
    return write_probabilities(folder, case.case_id, content, teacher.quantised(case))


def _memory(card: ModelCard, weights: int, case: StoredCase) -> int:
    """Bytes that a case needs at most: prediction, the image, and the probabilities with their copy for the file."""
    voxels = int(np.prod(case.shape_DHW))
    return bytes_of_prediction(card, weights, case.shape_DHW) + voxels * (8 + 2 * card.num_classes)
