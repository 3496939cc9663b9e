"""The stored values of slices, in HU."""

import io
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.pixels import pixel_array

from autosam_inference.scans.dicom_files import DicomPlace
from autosam_inference.scans.dicom_headers import Slice, quiet
from autosam_inference.scans.nifti import ScanError

AIR_HU = -1024
"""What stands where a scanner has no value: the least that 12 bits hold."""
_TAGS = [
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
]  # fmt: skip


class SliceReader:
    """Reads slices one after the other; the file of the last one stays open in memory.

    Attributes:
        padded: voxels that a file marks as outside the scanner's field, and that were far below air.
    """

    def __init__(self, path: Path, place: DicomPlace) -> None:
        self._path, self._place = path, place
        self._name: str | None = None
        self._file: FileDataset | None = None
        self.padded = 0

    def same(self, one: Slice, other: Slice) -> bool:
        """Whether two slices hold equal HU."""
        first, second = self.hu(one), self.hu(other)
        return first.shape == second.shape and bool((first == second).all())

    def hu(self, each: Slice) -> np.ndarray:
        """HU of a slice, (rows, columns): int16 or int32 where they are whole by its rescale, else float32.

        Raises:
            ScanError: there are no pixels, or they cannot be read.
        """
        file = self._opened(each)
        try:
            with quiet():
                stored = pixel_array(file, index=each.frame or 0)
        except NotImplementedError:
            raise ScanError(
                f"{self._path}: slice {_words(each)} is stored in a way that is not read ({_syntax(file)}): convert "
                "the series (e.g. with gdcmconv --raw)."
            ) from None
        except Exception as error:  # each decoder has its own
            kind = type(error).__name__
            raise ScanError(
                f"{self._path}: the pixels of slice {_words(each)} cannot be read ({kind}, {_syntax(file)}): the file "
                "is damaged or cut short; copy or export it again."
            ) from None
        if stored.shape != each.size:
            size = f"{each.size[1]} × {each.size[0]}"
            raise ScanError(f"{self._path}: slice {_words(each)} holds no grey image of {size}: export it again.")
        return self._without_padding(_scaled(stored, each), file, each)

    def _opened(self, each: Slice) -> FileDataset:
        if self._file is None or self._name != each.name:
            self._file = None  # two of an enhanced series' files need not be in memory at once
            self._file, self._name = self._read(each), each.name
        return self._file

    def _read(self, each: Slice) -> FileDataset:
        try:
            with self._place.open(each.name) as source, quiet():
                content = io.BytesIO(source.read())  # to the end, where a zip's checksum is compared
                file = pydicom.dcmread(content, specific_tags=_TAGS)
        except ScanError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise ScanError(f"{self._path}: slice {_words(each)} is damaged ({kind}): copy it again.") from None
        if "PixelData" not in file:
            raise ScanError(f"{self._path}: slice {_words(each)} has no pixel data: copy or export it again.")
        return file

    def _without_padding(self, hu: np.ndarray, file: FileDataset, each: Slice) -> np.ndarray:
        padding = _padding(file)
        if padding is None or each.slope is None or each.intercept is None:
            return hu
        value = padding * each.slope + each.intercept
        outside = hu == value if value < AIR_HU else np.False_
        self.padded += int(np.count_nonzero(outside))
        hu[outside] = AIR_HU
        return hu


def _padding(file: FileDataset) -> int | None:
    """The stored value outside the field. Files write it signed or unsigned, whatever their pixels are."""
    value = file.get("PixelPaddingValue")
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little")
    if not isinstance(value, int):
        return None
    value &= 0xFFFF
    return value - 0x10000 if file.get("PixelRepresentation") and value > 0x7FFF else value


def _scaled(stored: np.ndarray, each: Slice) -> np.ndarray:
    assert each.slope is not None and each.intercept is not None
    if each.slope.is_integer() and each.intercept.is_integer() and abs(each.slope) < 1 << 14:
        whole = stored.astype(np.int64) * int(each.slope) + int(each.intercept)
        fits = np.iinfo(np.int16).min <= whole.min() and whole.max() <= np.iinfo(np.int16).max
        return whole.astype(np.int16 if fits else np.int32)
    return stored.astype(np.float32) * np.float32(each.slope) + np.float32(each.intercept)


def _words(each: Slice) -> str:
    number = f"{each.number} " if each.number is not None else ""
    return f"{number}({each.name})"


def _syntax(file: FileDataset) -> str:
    syntax = file.file_meta.get("TransferSyntaxUID")
    return str(getattr(syntax, "name", syntax or "no transfer syntax"))
