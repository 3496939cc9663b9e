"""What is wrong with a case, found before it costs a training run."""

import os
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.plausibility import checked_ct
from autosam_inference.scans.scan import Scan, read_scan
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.labels import load_label, require_there
from autosam_platform.data.readers import Case

Status = Literal["ok", "fixed", "rejected"]


@dataclass(frozen=True)
class Verdict:
    """``ok``, ``fixed`` (the reasons say what was put right) or ``rejected`` (the reasons say why)."""

    case_id: str
    status: Status
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckedCase:
    """A verdict, and what was read on the way to it; the scan is None for a rejected case.

    ``label_DHW`` is uint8 on the scan's grid, with ignored ids as background; None where there is no label.
    """

    verdict: Verdict
    scan: Scan | None = None
    label_DHW: np.ndarray | None = None


def load_checked(case: Case, description: DatasetDescription) -> CheckedCase:
    """Read the case once: its verdict, with the repaired image and label where it is usable.

    What is wrong with a file is in the verdict; nothing is raised for it.
    """
    description = description.for_case(case.case_id)
    notes: list[str] = []
    if case.problem:
        return CheckedCase(Verdict(case.case_id, "rejected", (case.problem,)))
    try:
        scan = _load_scan(case, description, notes)
        label_DHW = load_label(case, description, scan.grid, notes)
    except ScanError as error:
        return CheckedCase(Verdict(case.case_id, "rejected", (str(error),)))
    return CheckedCase(Verdict(case.case_id, "fixed" if notes else "ok", tuple(notes)), scan, label_DHW)


def _load_scan(case: Case, description: DatasetDescription, notes: list[str]) -> Scan:
    if case.truth is not None and os.path.exists(case.truth):
        require_there(case.image, f"{case.truth} has no image", "add it or remove the label")
    require_there(case.image, f"{case.case_id} has no image", "check the path")
    scan = checked_ct(read_scan(case.image), lower=description.hu_window[0])
    notes += scan.notes
    return scan
