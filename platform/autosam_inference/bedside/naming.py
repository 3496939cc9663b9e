"""What scans are called where anybody may read it: in the names of folders, in records and in logs.

A DICOM series is called by a hash of its SeriesInstanceUID: folders and files of an export often bear the patient's
name. A NIfTI file is called as whoever made it called it, or by a hash of its content where even that may be a name.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Literal

from autosam_inference.bedside.finding import FoundScan
from autosam_inference.scans.names import short_name, stem, suffix

Names = Literal["file", "hash"]
_DIGITS = 12
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\ud800-\udfff]')  # by Windows, / by all, the last by macOS
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows, whatever follows


def public_name(found: FoundScan, content: str | None, names: Names) -> str:
    """What a scan is called.

    Args:
        content: hash of its bytes; None where they cannot be read: then a hash of the place has to do.
        names: ``file``: a NIfTI file keeps its own name; ``hash``: it does not.

    >>> from pathlib import Path
    >>> public_name(FoundScan(Path("Doe_Jane"), series="1.2.840"), "", "file")
    'ct-a66443306519'
    >>> public_name(FoundScan(Path("case 7.nii.gz")), "0123456789abcdef", "file")
    'case 7'
    """
    if found.series is not None:
        return f"ct-{_digest(found.series)[:_DIGITS]}"
    if names == "file" and suffix(found.path):
        return safe_name(stem(found.path))
    return f"scan-{(content or _digest(str(found.path)))[:_DIGITS]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def safe_name(name: str) -> str:
    """A name that every system takes for a folder's, and no spreadsheet for a formula.

    >>> safe_name("a:b"), safe_name("=1+1"), safe_name("aux"), safe_name(".."), safe_name("M\\udcfcller")
    ('a_b', '_1+1', '_aux', '_', 'M_ller')
    """
    name = re.sub(r"^[=+@.-]+", "_", _FORBIDDEN.sub("_", name)).rstrip(". ") or "_"
    return short_name(f"_{name}" if _RESERVED.fullmatch(name) else name)


def disguise(found: FoundScan, name: str) -> Callable[[str], str]:
    """Makes a text public: where the scan lies and what its files are called is replaced.

    >>> from pathlib import Path
    >>> disguise(FoundScan(Path("/in/Doe"), "1.2", ("Doe1.dcm",)), "ct-12")("/in/Doe: Doe1.dcm is damaged.")
    'ct-12: file 1 is damaged.'
    """
    path = found.path
    places = {str(path), str(path.absolute()), str(path.resolve()), str(path.with_suffix(""))}
    if found.series is None or found.files:
        places |= {path.name} if found.series is None or path.is_file() else set()
    said = {each: name for each in places if len(each) > 1}
    said |= {str(each): "…" for each in (path.parent, path.parent.absolute()) if len(str(each)) > 1}
    said |= {each: f"file {number}" for number, each in enumerate(sorted(found.files), start=1)}
    words = re.compile("|".join(rf"(?<!\w){re.escape(each)}(?!\w)" for each in sorted(said, key=len, reverse=True)))
    return lambda text: words.sub(lambda match: said[match[0]], text)
