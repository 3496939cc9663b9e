"""Class probabilities of whole cases on disk, in 255ths, of which a patch can be read without reading the rest.

A case is two files: ``<name>.b2nd`` (K, D, H, W, uint8, only the box in which anything but background has mass) and
``<name>.json`` (where that box lies, written last: without it the case is not there). The first channel holds what is
*not* background, so that 0 is the commonest value and what lies outside the box.
"""

from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from autosam_inference.files import DamagedError, content_hash, require_intact, unsealed, write_sealed
from autosam_inference.scans.names import case_file_name
from autosam_models.sizes import Size
from autosam_platform.data.store import DamagedCaseError, crop, open_array, write_array

WHOLE = 255
"""What a probability of 1 is stored as; the largest error of one is half of its inverse."""


class ProbabilityRecord(BaseModel):
    """The ``.json`` of a case.

    Attributes:
        content: hash of all that the probabilities were made from.
        corner_DHW: first voxel of the box; None where all is background and nothing else is stored.
        stored_bytes: of the box on disk.
        hash: of the file with the box, compared when a process first reads it; None where there is none.
        points: of a case without labels: flat indices of voxels drawn from each class that the probabilities say, as
            ``store.LabelContents`` has them of a label.
        sureness: of such a case: mean of the largest probability over the voxels where that is an organ's; None where
            there is no such voxel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: str
    num_classes: int
    shape_DHW: Size
    corner_DHW: Size | None
    stored_bytes: int
    hash: str | None
    points: dict[int, list[int]] = {}
    sureness: float | None = None


def quantised(probabilities_K: Tensor) -> Tensor:
    """Probabilities in 255ths, uint8, with an error of at most 1/510; any shape."""
    return probabilities_K.mul(WHOLE).round_().to(torch.uint8)


def write_probabilities(
    folder: Path,
    case_id: str,
    content: str,
    quantised_KDHW: np.ndarray,
    points: dict[int, list[int]] | None = None,
    sureness: float | None = None,
) -> ProbabilityRecord:
    """Write the array (K, D, H, W, uint8 in 255ths, background first), cut to its box, and then the record."""
    _record_path(folder, case_id).unlink(missing_ok=True)  # never an old record beside new numbers
    known_DHW = quantised_KDHW[0] != WHOLE
    places = [np.flatnonzero(known_DHW.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    num_classes, depth, height, width = quantised_KDHW.shape
    corner, size = None, 0
    if known_DHW.any():
        corner = int(places[0][0]), int(places[1][0]), int(places[2][0])
        box = tuple(slice(found[0], found[-1] + 1) for found in places)
        inside_KDHW = quantised_KDHW[:, *box].copy()
        inside_KDHW[0] = WHOLE - inside_KDHW[0]
        write_array(_array_path(folder, case_id), inside_KDHW)
        size = _array_path(folder, case_id).stat().st_size
    record = ProbabilityRecord(
        content=content,
        num_classes=num_classes,
        shape_DHW=(depth, height, width),
        corner_DHW=corner,
        stored_bytes=size,
        hash=content_hash(_array_path(folder, case_id)) if corner else None,
        points=points or {},
        sureness=sureness,
    )
    write_sealed(_record_path(folder, case_id), record.model_dump(mode="json"))
    return record


def read_probability_record(folder: Path, case_id: str) -> ProbabilityRecord | None:
    """The case's record; None where there is none, none of this version, or one whose array is not what was written."""
    try:
        record = ProbabilityRecord.model_validate(unsealed(_record_path(folder, case_id).read_bytes()))
        if record.hash is not None:
            require_intact(_array_path(folder, case_id), record.hash)
    except (FileNotFoundError, DamagedError, ValidationError):
        return None
    return record


def read_probabilities(
    folder: Path, case_id: str, record: ProbabilityRecord, corner_DHW: Size, size_DHW: Size
) -> np.ndarray:
    """Probabilities of a part of the case in 255ths: K, D, H, W, uint8; outside the volume all is background."""
    size_KDHW = (record.num_classes, *size_DHW)
    if record.corner_DHW is None:
        patch_KDHW = np.zeros(size_KDHW, np.uint8)
    else:
        assert record.hash is not None  # it has a box
        try:
            require_intact(_array_path(folder, case_id), record.hash)
        except DamagedError as error:
            raise DamagedCaseError(f"{error}: run the same command again, which asks the teacher anew.") from error
        from_box = [place - first for place, first in zip(corner_DHW, record.corner_DHW, strict=True)]
        patch_KDHW = crop(open_array(_array_path(folder, case_id)), (0, *from_box), size_KDHW, 0)
    np.subtract(WHOLE, patch_KDHW[0], out=patch_KDHW[0])
    return patch_KDHW


def _array_path(folder: Path, case_id: str) -> Path:
    return folder / f"{case_file_name(case_id)}.b2nd"


def _record_path(folder: Path, case_id: str) -> Path:
    return folder / f"{case_file_name(case_id)}.json"
