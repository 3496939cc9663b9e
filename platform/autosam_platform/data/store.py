"""Prepared cases on disk, of which a patch can be read without reading the rest.

A case is three files: ``<name>.b2nd`` (windowed HU, int16), ``<name>.label.b2nd`` (class ids, uint8) and
``<name>.json`` (what is in them, written last: without it the case is not there); ``case_file_name`` makes the name of
the id. Whole HU lose nothing that a
scanner measured and take half the room of floats; the scaling is applied to the patch that is read.
"""

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import blosc2
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.ndimage import find_objects
from torch import Tensor

from autosam_inference.errors import UserError
from autosam_inference.files import DamagedError, atomic_write, content_hash, require_intact, unsealed, write_sealed
from autosam_inference.scans.intensity import normalise
from autosam_inference.scans.names import case_file_name
from autosam_models.sizes import Size
from autosam_platform.data.checks import Status, Verdict
from autosam_platform.data.description import DatasetDescription

POINTS_PER_CLASS = 2000

_CHUNK, _BLOCK = 64, 32
_COMPRESSION = blosc2.CParams(
    codec=blosc2.Codec.LZ4, clevel=5, filters=[blosc2.Filter.BITSHUFFLE], filters_meta=[0], nthreads=1
)
_Range = tuple[int, int]


IMAGE, _LABEL = ".b2nd", ".label.b2nd"


class DamagedCaseError(UserError):
    """A prepared case whose arrays are not those that were written."""


class LabelContents(BaseModel):
    """What a label map holds, per class id that occurs (background 0 included).

    Attributes:
        voxels: how many.
        boxes: bounding box, [start, stop) along D, H, W; not for the background.
        points: flat indices (C order of D, H, W) of voxels drawn at random, at most ``POINTS_PER_CLASS``.
            Those of the background lie where the image is above the window's lower bound: in the patient, not
            in the air.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    voxels: dict[int, int]
    boxes: dict[int, tuple[_Range, _Range, _Range]]
    points: dict[int, list[int]]


class CaseRecord(BaseModel):
    """The ``.json`` of a case. For a rejected case it is the only file, and holds no shape.

    Attributes:
        content: hash of everything the prepared case was made from.
        stamp: hash of the raw files' places, sizes and times of change, by which they are known again unread; empty
            where they were too young for that.
        image, label: the raw files, as records have them.
        histogram: of the scan's HU as it was read (``plausibility.histogram``).
        masks: raw files by the names of their organs, in place of the label.
        hashes: of the stored arrays by the ends of their names, compared when a process first reads them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: str
    content: str
    stamp: str = ""
    status: Status
    reasons: tuple[str, ...]
    image: str
    label: str | None
    masks: dict[str, str] = {}
    shape_DHW: Size | None = None
    spacing_DHW: tuple[float, float, float] | None = None
    contents: LabelContents | None = None
    histogram: tuple[int, ...] = ()
    hashes: dict[str, str] = {}

    @property
    def verdict(self) -> Verdict:
        """The record's verdict by itself."""
        return Verdict(self.case_id, self.status, self.reasons)


@dataclass(frozen=True)
class StoredCase:
    """A prepared case: its record, and its voxels as they are asked for."""

    folder: Path
    record: CaseRecord
    description: DatasetDescription

    @property
    def case_id(self) -> str:
        return self.record.case_id

    @property
    def shape_DHW(self) -> Size:
        """Voxels after resampling."""
        assert self.record.shape_DHW is not None  # only cases that were not rejected are stored
        return self.record.shape_DHW

    @property
    def spacing_DHW(self) -> tuple[float, float, float]:
        """Voxel spacing after resampling, mm."""
        assert self.record.spacing_DHW is not None
        return self.record.spacing_DHW

    def image(self) -> Tensor:
        """The whole image as the network sees it: D, H, W, float32."""
        return torch.from_numpy(self.image_patch((0, 0, 0), self.shape_DHW))

    def label(self) -> Tensor:
        """The whole label map: D, H, W, uint8."""
        return torch.from_numpy(self.label_patch((0, 0, 0), self.shape_DHW))

    def hu(self) -> np.ndarray:
        """The whole image in windowed HU: D, H, W, int16."""
        return self.hu_patch((0, 0, 0), self.shape_DHW)

    def hu_patch(self, corner_DHW: Size, size_DHW: Size) -> np.ndarray:
        """The patch in windowed HU, int16; outside the volume it is the window's lower bound."""
        return crop(open_array(self._intact(IMAGE)), corner_DHW, size_DHW, self.description.hu_window[0])

    @property
    def picture(self) -> Path:
        """Where a picture of the case lies, once it is drawn; its colours are those of the organs' names."""
        colours = content_hash([each.name for each in self.description.classes])
        return _path(self.folder, self.case_id, f".{colours[:8]}.png")

    def image_patch(self, corner_DHW: Size, size_DHW: Size) -> np.ndarray:
        """The patch as the network sees it, float32; outside the volume it is the window's lower bound."""
        hu_DHW = self.hu_patch(corner_DHW, size_DHW)
        return normalise(hu_DHW, self.description.hu_window, self.description.scaling)

    def label_patch(self, corner_DHW: Size, size_DHW: Size) -> np.ndarray:
        """Class ids of the patch, uint8; outside the volume it is background.

        Raises:
            ValueError: the case has no label.
        """
        if self.record.contents is None:
            raise ValueError(f"case '{self.case_id}' has no label: {self.record.image} came without one")
        return crop(open_array(self._intact(_LABEL)), corner_DHW, size_DHW, 0)

    def _intact(self, suffix: str) -> Path:
        path = _path(self.folder, self.case_id, suffix)
        try:
            require_intact(path, self.record.hashes[suffix])
        except (OSError, DamagedError) as error:
            raise DamagedCaseError(
                f"{path} is missing or damaged ({error}): run the same command again, which prepares the case anew."
            ) from error
        return path


def write_case(folder: Path, record: CaseRecord, hu_DHW: np.ndarray, label_DHW: np.ndarray | None) -> CaseRecord:
    """Write the arrays (int16 and uint8) and then the record, which is returned with their hashes."""
    record_path(folder, record.case_id).unlink(missing_ok=True)  # never an old record beside new voxels
    arrays = {IMAGE: hu_DHW} | ({} if label_DHW is None else {_LABEL: label_DHW})
    for suffix, array in arrays.items():
        write_array(_path(folder, record.case_id, suffix), array)
    hashes = {suffix: content_hash(_path(folder, record.case_id, suffix)) for suffix in arrays}
    record = record.model_copy(update={"hashes": hashes})
    write_record(folder, record)
    return record


def write_record(folder: Path, record: CaseRecord) -> None:
    """Write the record alone, as for a rejected case."""
    write_sealed(record_path(folder, record.case_id), record.model_dump(mode="json"))


def read_record(folder: Path, case_id: str) -> CaseRecord | None:
    """The case's record; None where there is none, none of this version, or one without its arrays."""
    try:
        record = CaseRecord.model_validate(unsealed(record_path(folder, case_id).read_bytes()))
    except (FileNotFoundError, DamagedError, ValidationError):
        return None
    needed = [IMAGE] * (record.shape_DHW is not None) + [_LABEL] * (record.contents is not None)
    whole = all(_path(folder, case_id, suffix).exists() and suffix in record.hashes for suffix in needed)
    return record if whole else None


def require_stored(folder: Path, record: CaseRecord) -> None:
    """Compare the arrays of a case with what was written.

    Raises:
        DamagedError: one of them is not that.
    """
    for suffix, expected in record.hashes.items():
        require_intact(_path(folder, record.case_id, suffix), expected)


def record_path(folder: Path, case_id: str) -> Path:
    """Where the case's record lies."""
    return _path(folder, case_id, ".json")


def _path(folder: Path, case_id: str, suffix: str) -> Path:
    return folder / f"{case_file_name(case_id)}{suffix}"


def describe_label(label_DHW: np.ndarray, in_patient_DHW: np.ndarray) -> LabelContents:
    """Count, box and sample the classes; ``in_patient_DHW`` is true where background may be drawn."""
    rng = np.random.default_rng(0)
    boxes: dict[int, tuple[_Range, _Range, _Range]] = {}
    voxels: dict[int, int] = {}
    points = {0: _sample_background(label_DHW, in_patient_DHW, rng)}
    for value, box in enumerate(find_objects(label_DHW), start=1):
        if box is not None:
            d, h, w = ((each.start, each.stop) for each in box)
            found = np.nonzero(label_DHW[box] == value)
            places = tuple(inside + each.start for inside, each in zip(found, box, strict=True))
            boxes[value], voxels[value] = (d, h, w), len(places[0])
            points[value] = _sample(np.ravel_multi_index(places, label_DHW.shape), rng)
    background = label_DHW.size - sum(voxels.values())
    return LabelContents(voxels={0: background} | voxels, boxes=boxes, points=points)


def _sample_background(label_DHW: np.ndarray, allowed_DHW: np.ndarray, rng: np.random.Generator) -> list[int]:
    """From a subset drawn first: the indices of all its voxels would take more memory than the scan."""
    drawn = rng.choice(label_DHW.size, min(label_DHW.size, 50 * POINTS_PER_CLASS), replace=False, shuffle=False)
    return _sample(drawn[(label_DHW.ravel()[drawn] == 0) & allowed_DHW.ravel()[drawn]], rng)


def _sample(indices: np.ndarray, rng: np.random.Generator) -> list[int]:
    if indices.size > POINTS_PER_CLASS:
        indices = rng.choice(indices, POINTS_PER_CLASS, replace=False, shuffle=False)
    return np.sort(indices).tolist()


def write_array(path: Path, array: np.ndarray, chunks: tuple[int, ...] | None = None) -> None:
    """Write an array, compressed, so that a box of it can be read at its own cost; all of it, or nothing.

    Args:
        chunks: lengths of what is read together, where that is no box of voxels.
    """
    blocks = chunks or tuple(min(_BLOCK, n) for n in array.shape)
    chunks = chunks or tuple(min(_CHUNK, n) for n in array.shape)
    with atomic_write(path) as temporary:
        try:
            blosc2.asarray(
                np.ascontiguousarray(array),
                urlpath=str(temporary),
                mode="w",
                chunks=chunks,
                blocks=blocks,
                cparams=_COMPRESSION,
            )
        except RuntimeError as error:  # blosc2 does not say why it could not write
            if shutil.disk_usage(path.parent).free < array.nbytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
            raise


def open_array(path: Path) -> blosc2.NDArray:
    """The array, memory-mapped; what is read of it is decompressed by this thread."""
    try:
        return blosc2.open(str(path), mode="r", mmap_mode="r", dparams=blosc2.DParams(nthreads=1))
    except (FileNotFoundError, RuntimeError) as error:
        raise FileNotFoundError(
            f"{path} is missing or damaged ({error}): remove all files of this case there and prepare again."
        ) from None


def crop(array: blosc2.NDArray, corner: Sequence[int], size: Sequence[int], fill: int) -> np.ndarray:
    """Read a box; what of it lies outside the array is ``fill``."""
    starts = [max(first, 0) for first in corner]
    stops = [min(first + length, n) for first, length, n in zip(corner, size, array.shape, strict=True)]
    inside = array[tuple(slice(a, max(a, b)) for a, b in zip(starts, stops, strict=True))]
    if inside.shape == tuple(size):
        return inside
    patch = np.full(size, fill, inside.dtype)
    place = (slice(a - first, a - first + n) for a, first, n in zip(starts, corner, inside.shape, strict=True))
    patch[tuple(place)] = inside
    return patch
