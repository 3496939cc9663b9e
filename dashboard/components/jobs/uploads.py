"""Scans that a browser sends: checked before anything opens them, and kept in the workspace by their content."""

import errno
import hashlib
import math
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import nibabel as nib

from autosam_inference.files import atomic_write
from autosam_inference.scans.dicom import ct_series
from autosam_inference.scans.names import short_name, stem, suffix
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import check_scan
from autosam_platform.workspace import workspace
from dashboard.components.base.places import ReadingError, is_harmless

MOST_BYTES = 4 << 30
"""Largest scan, unpacked: a CT of 512 × 512 × 4,000 voxels, twice what whole-body scans have."""
_SLACK = 1 << 20  # what a file may have beyond its voxels, such as extensions of the header
_CHUNK = 1 << 20
_LONGEST, _HASH = 150, 17  # bytes of a stem, which leave room for a run's name and suffixes; of ``~`` and a hash in it
_HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}


def store_upload(name: str, file: BinaryIO) -> Path:
    """Check an uploaded scan and keep it in the workspace's uploads/, in a folder named by its content.

    The file is unpacked piece by piece and dropped, up to what its header says it holds, so that a small file that
    unpacks to a large one (a gzip bomb) is refused early. Only then is it written and opened. Of a name that is too
    long for a file a piece is kept, and a hash.

    Raises:
        ReadingError: the name, the header or the length is not a scan's, or the disk is full.
    """
    if not is_harmless(name):
        raise ReadingError(f"{name[:80]!r} is not the name of a scan: rename the file and upload it again.")
    ending = suffix(name).lower()
    if ending:
        _check_length(name, file)
    elif not name.lower().endswith(".zip"):  # of a DICOM study: ``ct_series`` bounds what it unpacks to
        raise ReadingError(f"{name} is not named .nii or .nii.gz, or .zip: pack a DICOM series as a zip.")
    target = workspace().uploads / _digest(file) / f"{_fitting(stem(name))}{ending or '.zip'}"
    known = target.exists()
    try:
        if not known:
            _write(file, target)
        if ending:
            check_scan(target)
        else:
            ct_series(target)  # which of them, and whether its slices are a volume, is asked when it is predicted
    except ScanError as error:
        if not known:
            _remove(target)
        raise ReadingError(str(error)) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ReadingError(f"The disk of {workspace()} is full: make room and upload {name} again.") from error
    return target


def _fitting(stem: str) -> str:
    """``short_name``, in bytes: it counts characters, and each may have up to four."""
    short = short_name(stem).encode()
    if len(short) <= _LONGEST:
        return short.decode()
    return short[: _LONGEST - _HASH].decode(errors="ignore") + short[-_HASH:].decode()


def _write(file: BinaryIO, target: Path) -> None:
    file.seek(0)
    with atomic_write(target) as temporary, temporary.open("wb") as written:
        shutil.copyfileobj(file, written, _CHUNK)


def _remove(target: Path) -> None:
    """Of the folder, only what was written: the same bytes may be a scan under another name."""
    target.unlink(missing_ok=True)
    with suppress(OSError):  # it holds others' uploads
        target.parent.rmdir()


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_CHUNK):
        digest.update(piece)
    return digest.hexdigest()[:16]


def _check_length(name: str, file: BinaryIO) -> None:
    """Compare what a file holds with what its header says.

    Raises:
        ReadingError: no header, not one 3D volume, or more or less than the header says.
    """
    pieces = _unpacked(name, file)
    start = b""
    while len(start) < max(_HEADERS) and (piece := next(pieces, b"")):
        start += piece
    declared = _declared(name, start)
    length = len(start)
    for piece in pieces:
        length += len(piece)
        if length > declared + _SLACK:
            break
    if length > declared + _SLACK:
        raise ReadingError(f"{name} holds more than the {declared:,} bytes that its header says: it is refused.")
    if length < declared:
        raise ReadingError(f"{name} ends after {length:,} of {declared:,} bytes: the upload or the file is cut short.")


def _declared(name: str, start: bytes) -> int:
    """Bytes of the unpacked file, as its header says."""
    size = int.from_bytes(start[:4], "little")
    order = "<" if size in _HEADERS else ">"
    kind = _HEADERS.get(size) or _HEADERS.get(int.from_bytes(start[:4], "big"))
    if kind is None or len(start) < kind.template_dtype.itemsize:
        raise ReadingError(f"{name} does not begin as a NIfTI file does: convert the scan with dcm2niix.")
    header = kind(start[: kind.template_dtype.itemsize], endianness=order, check=False)
    axes, bits, offset = int(header["dim"][0]), int(header["bitpix"]), float(header["vox_offset"])
    shape = [int(length) for length in header["dim"][1 : axes + 1]] if 3 <= axes <= 7 else []
    if not shape or min(shape) < 1 or math.prod(shape[3:]) != 1 or bits not in (8, 16, 32, 64):
        raise ReadingError(f"{name} is not one 3D volume of plain numbers: its header says {axes} axes of {shape}.")
    declared = math.prod(shape) * bits // 8 + (int(offset) if 0 <= offset < _SLACK else 0)
    if declared > MOST_BYTES:
        raise ReadingError(f"{name} claims {declared:,} bytes of voxels, and at most {MOST_BYTES:,} are taken.")
    return declared


def _unpacked(name: str, file: BinaryIO) -> Iterator[bytes]:
    """The file's bytes, unpacked where it is packed, never more than a piece at a time in memory."""
    file.seek(0)
    if not name.lower().endswith(".gz"):
        while piece := file.read(_CHUNK):
            yield piece
        return
    try:
        yield from _inflated(file)
    except zlib.error as error:
        raise ReadingError(f"{name} is no whole gzip file ({error}): copy or download it again.") from error


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    packed = b""
    while packed := packed or file.read(_CHUNK):
        yield inflate.decompress(packed, _CHUNK)
        packed = inflate.unconsumed_tail
        if inflate.eof:  # a gzip file may have several parts
            packed, inflate = inflate.unused_data, zlib.decompressobj(wbits=31)
