"""A case's answer from its files: checked against its scan, brought to the prepared grid, in 255ths."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autosam_inference.scans.grid import Grid, Volume
from autosam_inference.scans.resampling import resample
from autosam_inference.scans.scan import Scan, canonical, read_grid
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.labels import read_on_grid, whole_numbers
from autosam_platform.data.probabilities import WHOLE
from autosam_platform.distillation.answer_files import AnswerError, AnswerFile, Meaning

_SUM_TOLERANCE = 0.01  # half-precision probabilities of some hundred classes add up to within this
_AGREEMENT = 0.9  # of the voxels that are an organ's in either file; what is cleaned up afterwards makes them differ
_KEY = "probabilities"
_HEADER = 1 << 16  # bytes of an array's header in the file, at most


def answer_KDHW(
    file: AnswerFile,
    meaning: Meaning,
    image: Path,
    spacing_DHW: tuple[float, float, float],
    description: DatasetDescription,
) -> NDArray[np.uint8]:
    """Probabilities of the classes on the prepared grid: K, D, H, W, in 255ths.

    Label maps are probabilities of 0 and 1. Both are resampled linearly, as images are, so that they add up to 1.

    Args:
        image: the case's scan.
        spacing_DHW: of the prepared grid, mm.

    Raises:
        ScanError, AnswerError: a file is damaged, of another grid, or holds what it should not.
    """
    grid = read_grid(image)
    label = read_on_grid(file.label, image, grid, [])
    value_DHW = _known_values(file.label, label, meaning, description)
    if file.probabilities is None:
        channels = _of_labels(value_DHW, meaning)
    else:
        channels = _of_probabilities(file.probabilities, label.grid, value_DHW, meaning)
    result_KDHW: NDArray[np.uint8] | None = None
    for class_id, channel_DHW in channels:
        made_DHW = resample(Volume(channel_DHW, grid.spacing_DHW), spacing_DHW).array_DHW
        if result_KDHW is None:
            result_KDHW = np.zeros((description.num_classes, *made_DHW.shape), np.uint8)
        result_KDHW[class_id] = np.rint(made_DHW.clip(0, 1) * WHOLE)
    assert result_KDHW is not None  # there is a background
    return result_KDHW


def classes_DHW(
    file: AnswerFile, meaning: Meaning, image: Path, grid: Grid, description: DatasetDescription
) -> NDArray[np.uint8]:
    """A case's label map in the ids of the classes, on the scan's own grid.

    Raises:
        ScanError, AnswerError: the file is damaged, of another grid, or holds what it should not.
    """
    value_DHW = _known_values(file.label, read_on_grid(file.label, image, grid, []), meaning, description)
    class_DHW = np.zeros(value_DHW.shape, np.uint8)
    for value, class_id in meaning.classes.items():
        if class_id:
            class_DHW[value_DHW == value] = class_id
    return class_DHW


def _known_values(path: Path, label: Scan, meaning: Meaning, description: DatasetDescription) -> np.ndarray:
    value_DHW = whole_numbers(path, label.volume.array_DHW)
    unknown = sorted(set(np.unique(value_DHW).tolist()) - set(meaning.classes))
    if unknown:
        raise AnswerError(
            f"{path.name} holds ids {unknown[:8]}, which nothing names ({description.name} has 0 to "
            f"{len(description.classes)}): write all ids and their names into labels.json beside the files"
        )
    return value_DHW


def _of_labels(value_DHW: np.ndarray, meaning: Meaning) -> Iterator[tuple[int, np.ndarray]]:
    """Of each class that occurs where it is."""
    present = {meaning.classes[value] for value in np.unique(value_DHW).tolist()} | {0}
    for class_id in sorted(present):
        values = [value for value, own in meaning.classes.items() if own == class_id]
        yield class_id, np.isin(value_DHW, values).astype(np.float32)


def _of_probabilities(
    path: Path, grid: Grid, value_DHW: np.ndarray, meaning: Meaning
) -> Iterator[tuple[int, np.ndarray]]:
    """Of each class the sum of the channels that mean it."""
    stored_KZYX = _read(path, (len(meaning.classes), *reversed(grid.shape_xyz)))
    _require_probabilities(path, stored_KZYX)
    _require_agreement(path, stored_KZYX, grid, value_DHW)
    if sorted(meaning.classes) != list(range(len(stored_KZYX))):
        raise AnswerError(f"{path.name} has a channel for each id from 0, but ids are {sorted(meaning.classes)}")
    for class_id in sorted(set(meaning.classes.values())):
        channels = [value for value, own in meaning.classes.items() if own == class_id]
        total_ZYX = sum((stored_KZYX[each].astype(np.float32) for each in channels[1:]), stored_KZYX[channels[0]])
        yield class_id, _canonical(total_ZYX.astype(np.float32, copy=False), grid)


def _canonical(array_ZYX: np.ndarray, grid: Grid) -> np.ndarray:
    return canonical(array_ZYX.transpose(2, 1, 0), grid).array_DHW


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array, of which it is known before it is unpacked that it can be one of ``shape``."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = archive.getinfo(f"{_KEY}.npy").file_size
        if unpacked <= 8 * int(np.prod(shape)) + _HEADER:
            with np.load(path, allow_pickle=False) as arrays:
                stored = arrays[_KEY]
            if stored.shape == shape and stored.dtype.kind == "f":
                return np.asarray(stored)
            what = f"{stored.dtype} of {' × '.join(map(str, stored.shape))}"
        else:
            what = f"{unpacked:,} bytes"
    except KeyError:
        raise AnswerError(f"{path.name} holds no array '{_KEY}', as nnU-Net's --save_probabilities writes it") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise AnswerError(f"{path.name} cannot be read ({error}): copy or write it again") from None
    raise AnswerError(
        f"{path.name} holds {what} in place of probabilities of {' × '.join(map(str, shape))} (classes with the "
        "background, z, y, x of the label map): it is of other classes or of another scan"
    )


def _require_probabilities(path: Path, stored_KZYX: np.ndarray) -> None:
    total_ZYX = np.zeros(stored_KZYX.shape[1:], np.float32)
    for channel_ZYX in stored_KZYX:
        if not (channel_ZYX >= -_SUM_TOLERANCE).all():
            raise AnswerError(f"{path.name} holds negative values or NaN: these are no probabilities (logits?)")
        total_ZYX += channel_ZYX
    off = float(np.abs(total_ZYX - 1).max())
    if not off <= _SUM_TOLERANCE:
        raise AnswerError(
            f"{path.name}: probabilities do not add up to 1 (they are off by up to {off:.3g}), as those of regions "
            "that overlap do not: leave the file out, and the label map teaches"
        )


def _require_agreement(path: Path, stored_KZYX: np.ndarray, grid: Grid, value_DHW: np.ndarray) -> None:
    """The file says nothing of its axes; that its likeliest classes are the label map's shows that it is the same."""
    said_DHW = _canonical(stored_KZYX.argmax(0), grid)
    organs_DHW = (said_DHW > 0) | (value_DHW > 0)
    share = float((said_DHW == value_DHW)[organs_DHW].mean()) if organs_DHW.any() else 1.0
    if share < _AGREEMENT:
        raise AnswerError(
            f"{path.name} and the label map beside it agree on {share:.0%} of the organs' voxels: they are of "
            "different predictions, or stored on different axes; write both again"
        )


def require_alike(file: Path, said_DHW: np.ndarray, truth_DHW: np.ndarray, description: DatasetDescription) -> None:
    """Refuse an answer that names other organs than the case's own label does where both see one.

    A teacher may be wrong, but not so: ids of another list of organs, or left and right exchanged, look like that.

    Raises:
        AnswerError: names what is called what.
    """
    size = description.num_classes
    pairs = truth_DHW.astype(np.int64).ravel() * size + said_DHW.ravel()
    counts_TS = np.bincount(pairs, minlength=size * size).reshape(size, size)  # by truth and by what is said
    counts_TS[0], counts_TS[:, 0] = 0, 0
    own_T = counts_TS.diagonal()
    if counts_TS.sum() > 2 * own_T.sum():
        raise AnswerError(f"{file.name} names other organs than the case's label: {_called(counts_TS, description)}")
    mirrored = description.mirrored_ids
    if sum(counts_TS[one, other] for one, other in mirrored.items()) > sum(own_T[one] for one in mirrored):
        raise AnswerError(
            f"{file.name} exchanges left and right against the case's label: {_called(counts_TS, description)}"
        )


def _called(counts_TS: np.ndarray, description: DatasetDescription) -> str:
    names = {each.id: each.name for each in description.classes}
    wrong = counts_TS.copy()
    np.fill_diagonal(wrong, 0)
    worst = np.argsort(-wrong.ravel(), kind="stable")[:3]
    places = [divmod(int(each), len(wrong)) for each in worst if wrong.ravel()[each]]
    return "; ".join(f"{names[truth]} is called {names[said]}" for truth, said in places)
