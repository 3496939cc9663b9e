"""Which cases are of one patient, and how patients are dealt into folds."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from autosam_inference.files import content_hash
from autosam_platform.data.cases import DatasetError, listed
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.splits import Folds, Split


def patients_of(
    description: DatasetDescription, folder: Path, case_ids: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Whose the cases are, as far as the description tells.

    Returns:
        Patients by their cases' ids; and notes: of which cases it tells none though it tells of patients, and which
        rows of its file are of no case. Both are what a mistyped id looks like.

    Raises:
        DatasetError: the description's file of patients is missing or has not the columns ``case`` and ``patient``.
    """
    known = _listed(folder / description.patients) if description.patients else {}
    pattern = description.patient_pattern
    found = {}
    for case_id in case_ids:
        match = re.match(pattern, case_id) if pattern else None
        patient = known.get(case_id) or (match[1] if match else None)
        if patient:
            found[case_id] = patient
    notes = []
    if tells_patients(description) and (without := [each for each in case_ids if each not in found]):
        notes.append(f"no patient is known of {listed(without)}: each counts as a patient of its own.")
    if strangers := sorted(set(known) - set(case_ids)):
        notes.append(f"{description.patients} has rows of what is no case here: {listed(strangers)}.")
    return found, notes


def tells_patients(description: DatasetDescription) -> bool:
    """Does it say, in one way or the other, whose a scan is?"""
    return description.patients is not None or description.patient_pattern is not None


def _listed(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {row["case"].strip(): row["patient"].strip() for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, KeyError, AttributeError, csv.Error) as error:
        raise DatasetError(
            f"{path} cannot be read as a table of patients ({error!r}): it is a CSV file with the columns case and "
            "patient."
        ) from error


def in_folds(rule: Folds, patients: Sequence[str]) -> list[Split]:
    """The split of each case by its patient.

    Patients are dealt out in an order that nothing but their names decides, so that it is not the order in which a
    hospital, or a phase of a study, numbered them.

    >>> in_folds(Folds(rule="folds", folds=3, fold=0), ["a", "b", "c", "a"])
    ['val', 'test', 'train', 'val']

    Raises:
        DatasetError: there are fewer patients than folds.
    """
    ordered = sorted(set(patients), key=lambda patient: (content_hash(patient), patient))
    if len(ordered) < rule.folds:
        raise DatasetError(
            f"{len(ordered)} patients cannot be dealt into {rule.folds} folds: take at most {len(ordered)} "
            "(--dataset.folds)."
        )
    group = {patient: place % rule.folds for place, patient in enumerate(ordered)}
    roles: dict[int, Split] = {rule.fold: "test", (rule.fold + 1) % rule.folds: "val"}
    return [roles.get(group[patient], "train") for patient in patients]
