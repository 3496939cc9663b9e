"""What a file is by its first bytes, whatever it is called: so that a refusal names the remedy that helps."""

import gzip
import zlib
from pathlib import Path

GZIP = b"\x1f\x8b"

_BEGINNINGS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`"),
    (b"/annex/objects", "a pointer of git-annex, not the file itself: fetch it with `git annex get`"),
    (b"PK\x03\x04", "a zip archive: unpack it and name the scan inside"),
    (b"BZh", "compressed with bzip2: unpack it, and compress it with gzip if at all"),
    (b"\xfd7zXZ", "compressed with xz: unpack it, and compress it with gzip if at all"),
    (b"(\xb5/\xfd", "compressed with zstd: unpack it, and compress it with gzip if at all"),
    (b"\x89PNG", "a PNG picture, which holds no Hounsfield units: export the scan itself"),
    (b"\xff\xd8\xff", "a JPEG picture, which holds no Hounsfield units: export the scan itself"),
    (b"\x89HDF", "an HDF5 file: convert the scan to NIfTI"),
    (b"NRRD", "an NRRD file: convert the scan to NIfTI"),
    (b"ObjectType", "a MetaImage header (.mha, .mhd): convert the scan to NIfTI"),
    (b"<", "a web page or XML, perhaps a failed download: download it again"),
)


def what_it_is(path: Path) -> str | None:
    """What the file is, with what to do; None where its first bytes say nothing.

    Raises:
        OSError: it cannot be read.
    """
    start = first_bytes(path)
    if start[:2] == GZIP:
        try:
            with gzip.open(path) as file:
                start = file.read(512)
        except (OSError, EOFError, zlib.error):
            return None
    if start[128:132] == b"DICM":
        return "a DICOM file: name it without .nii, or convert the series to NIfTI (e.g. with dcm2niix)"
    return next((said for beginning, said in _BEGINNINGS if start.lstrip().startswith(beginning)), None)


def first_bytes(path: Path) -> bytes:
    """The first 512 bytes as they lie on disk.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(512)
