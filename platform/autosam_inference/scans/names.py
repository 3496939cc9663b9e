"""How scans are named and asked for, for whoever needs no more than that."""

import hashlib
import os
import re
from pathlib import Path
from typing import TypedDict

SUFFIXES = (".nii.gz", ".nii")

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_LONGEST = 150  # bytes, of the 255 that file systems take
_READABLE = 60  # characters of an id that its file's name keeps, where it cannot be the name


class Reading(TypedDict):
    """How ``read_scan`` is to read a DICOM, where that is not plain from its path."""

    series: str | None
    straighten: bool


def suffix(path: Path | str) -> str:
    """``.nii.gz`` or ``.nii`` as the file has it, in letters of either case; empty for other files.

    >>> suffix("scan.NII.gz"), suffix("scan.dcm")
    ('.NII.gz', '')
    """
    name = Path(path).name
    return next((name[-len(each) :] for each in SUFFIXES if name.lower().endswith(each)), "")


def stem(path: Path | str) -> str:
    """The file's name without ``.nii`` or ``.nii.gz``, or ``.zip`` or ``.dcm``.

    >>> stem("a/scan.nii.gz"), stem("study.zip"), stem("1.2.840")
    ('scan', 'study', '1.2.840')
    """
    name = Path(path).name
    ending = suffix(name) or next((name[-4:] for each in (".zip", ".dcm") if name.lower().endswith(each)), "")
    return name.removesuffix(ending)


def case_file_name(case_id: str) -> str:
    """The name, without suffix, of what is stored of a case; another one for every id.

    Ids of small letters, digits, ``_`` and ``-`` are their own names. Of others a readable piece is kept, and a hash
    tells them apart: on file systems that take ``A`` for ``a``, where ``b03.label`` would be a file of ``b03``, and
    beyond the 255 bytes that a name may have. No plain id has the ``~`` that is between the two.

    >>> case_file_name("img0001"), case_file_name("b03.label")
    ('img0001', 'b03_label~33ec3485181d8078')
    """
    if _PLAIN.fullmatch(case_id):
        return case_id
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', case_id)[:_READABLE].lstrip('-')}~{_digest(case_id)}"


def short_name(name: str) -> str:
    """The name of a scan where it is no longer than leaves room for suffixes; else a piece of it and a hash."""
    return name if len(os.fsencode(name)) <= _LONGEST else f"{name[:_READABLE]}~{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
