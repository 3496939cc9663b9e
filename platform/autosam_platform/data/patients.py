"""Which cases are of one patient, and how patients are dealt into folds."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from autosam_inference.files import content_hash
from autosam_platform.data.cases import DatasetError
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.splits import Folds, Split


def patients_of(description: DatasetDescription, folder: Path, case_ids: Iterable[str]) -> dict[str, str]:
    """Patients by their cases' ids, as far as the description tells them.

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
    return found


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
