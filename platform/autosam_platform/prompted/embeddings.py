"""Image embeddings of training slices, computed once by Ray tasks: what a decoder that is tuned alone starts from."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from autosam_inference.files import (
    DamagedError,
    content_hash,
    remove_leftovers,
    require_intact,
    unsealed,
    write_sealed,
)
from autosam_inference.scans.names import case_file_name
from autosam_models import find_model
from autosam_models.numerics import autocast
from autosam_models.prompted.sam import PromptedSam
from autosam_platform.cluster import cores_per_task, map_tasks
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.store import DamagedCaseError, StoredCase, crop, open_array, write_array
from autosam_platform.experiment import Experiment
from autosam_platform.locks import LOCK, locked
from autosam_platform.prompted.slices import bytes_at_work, inputs, organ_slices, slices_at_a_time
from autosam_platform.training.loop import build_network
from autosam_platform.workspace import Workspace

VERSION = 1  # raise it whenever the same encoder and slice would give other numbers


class EmbeddingRecord(BaseModel):
    """The ``.json`` of a case.

    Attributes:
        content: hash of all that the embeddings were made from.
        slices: numbers of the slices, in the order of the stored array, N × C × h × w, float16.
        hash: of the file with the array, compared when a process first reads it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: str
    slices: tuple[int, ...]
    hash: str


@dataclass(frozen=True)
class StoredEmbeddings:
    """Reads what was computed once.

    Attributes:
        records: of the training cases that hold organs.
    """

    folder: Path
    records: dict[str, EmbeddingRecord]

    def embedding(self, case_id: str, number: int) -> Tensor:
        """Of a slice: C × h × w, float32, rounded to float16.

        Raises:
            DamagedCaseError: its file is not what was written.
        """
        record, path = self.records[case_id], _path(self.folder, case_id)
        try:
            require_intact(path, record.hash)
        except (OSError, DamagedError) as error:
            raise DamagedCaseError(f"{error}: run the same command again, which computes it anew.") from error
        array = open_array(path)
        one_NCHW = crop(array, (record.slices.index(number), 0, 0, 0), (1, *array.shape[1:]), 0)
        return torch.from_numpy(one_NCHW[0].astype(np.float32))


def stored_embeddings(experiment: Experiment, prepared: PreparedDataset, workspace: Workspace) -> StoredEmbeddings:
    """The embeddings of all slices of the training cases with an organ, computed where that is not done yet.

    They lie in ``embeddings/<dataset>-<hash>/``, where the hash is of the encoder's weights, the picture and the
    data; a case that is there is kept, so that the same call continues an interrupted one.
    """
    start = experiment.model.checkpoint or experiment.training.seed
    parts = [VERSION, experiment.model.name, experiment.model.patch_DHW, experiment.training.precision, start]
    made_of = content_hash(*parts, experiment.asking.smallest, prepared.fingerprint)
    folder = workspace.embeddings(f"{prepared.name}-{made_of[:8]}")
    with locked(folder / LOCK):  # of several fits with this encoder, one computes, and the others wait
        remove_leftovers(folder)
        cases = prepared.cases("train")
        known = {case.case_id: _known(folder, case, made_of) for case in cases}
        missing = [case for case in cases if known[case.case_id] is None]
        made = _computed(experiment, prepared.num_classes, missing, folder, made_of)
    known |= dict(zip([case.case_id for case in missing], made, strict=True))
    return StoredEmbeddings(folder, {case_id: record for case_id, record in known.items() if record is not None})


def _computed(
    experiment: Experiment, num_classes: int, cases: list[StoredCase], folder: Path, made_of: str
) -> list[EmbeddingRecord | None]:
    if not cases:
        return []
    threads = cores_per_task(len(cases))
    task = functools.partial(_compute, experiment, num_classes, folder, made_of, threads)
    section = experiment.model
    needed = bytes_at_work(section.patch_DHW[1], 4 * find_model(section.name).parameters)
    return map_tasks(task, cases, label="image embeddings", memory=lambda _: needed, cpus=threads, gpu=True)


def _compute(
    experiment: Experiment, num_classes: int, folder: Path, made_of: str, threads: int, case: StoredCase
) -> EmbeddingRecord | None:
    """The record of a case; None of one that holds no organ."""
    torch.set_num_threads(threads)
    numbers = sorted({number for each in organ_slices(case, experiment.asking.smallest).values() for number in each})
    if not numbers:
        return None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = _encoder(experiment.model_dump_json(), num_classes, device)
    array_NCHW = embed_slices(network, case, numbers, autocast(experiment.training.precision, device))
    write_array(_path(folder, case.case_id), array_NCHW, chunks=(1, *array_NCHW.shape[1:]))
    record = EmbeddingRecord(
        content=content_hash(made_of, case.record.content),
        slices=tuple(numbers),
        hash=content_hash(_path(folder, case.case_id)),
    )
    write_sealed(_record_path(folder, case.case_id), record.model_dump(mode="json"))
    return record


@functools.lru_cache(maxsize=1)
def _encoder(described: str, num_classes: int, device: torch.device) -> PromptedSam:
    return cast(PromptedSam, build_network(Experiment.model_validate_json(described), num_classes).to(device).eval())


@torch.inference_mode()
def embed_slices(
    network: PromptedSam, case: StoredCase, numbers: list[int], amp: Callable[[], torch.autocast]
) -> np.ndarray:
    """Embeddings of some slices of a case: N × C × h × w, float16."""
    hu_DHW, device = case.hu(), next(network.parameters()).device
    window = network.asking.grey(case.description.hu_window)
    at_a_time = slices_at_a_time(network.side)
    found = []
    for part in (numbers[first : first + at_a_time] for first in range(0, len(numbers), at_a_time)):
        with amp():
            embedded_BCHW = network.embed(inputs(hu_DHW, part, window, network.side).to(device))
        found.append(embedded_BCHW.half().cpu().numpy())
    return np.concatenate(found)


def _known(folder: Path, case: StoredCase, made_of: str) -> EmbeddingRecord | None:
    try:
        record = EmbeddingRecord.model_validate(unsealed(_record_path(folder, case.case_id).read_bytes()))
        if record.content == content_hash(made_of, case.record.content):
            require_intact(_path(folder, case.case_id), record.hash)
            return record
    except (OSError, DamagedError, ValidationError):
        pass
    return None


def _path(folder: Path, case_id: str) -> Path:
    return folder / f"{case_file_name(case_id)}.b2nd"


def _record_path(folder: Path, case_id: str) -> Path:
    return folder / f"{case_file_name(case_id)}.json"
