"""Scans without labels: found, prepared like any case, answered once by the teacher, and those that can be used."""

from collections.abc import Sequence
from pathlib import Path

from autosam_inference.errors import UserError
from autosam_platform.data.cases import is_scan
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.overview import same_scan
from autosam_platform.data.patches import Unlabelled
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.data.probabilities import ProbabilityRecord
from autosam_platform.data.sources import FilePattern
from autosam_platform.data.splits import EveryCase, Split
from autosam_platform.data.store import StoredCase
from autosam_platform.distillation.teacher import Answering, stored_answers
from autosam_platform.experiment import DistillationSection
from autosam_platform.workspace import Workspace

REST = "rest"
"""Names the cases of the dataset that are in no split."""
_SEEN: tuple[Split, ...] = ("val", "test")


class UnlabelledError(UserError):
    """Scans without labels that cannot be learnt from; the message names them and what to do."""


def prepare_unlabelled(prepared: PreparedDataset, folder: Path, workspace: Workspace) -> PreparedDataset:
    """Prepare the scans in ``folder``, NIfTI files or a folder of DICOM files each, as the cases of ``prepared`` were.

    Raises:
        DatasetError: the folder is missing or holds no scan.
        UnlabelledError: some were rejected by the checks.
    """
    found = prepare(_description(prepared.description, folder), folder, _as(prepared), workspace)
    rejected = [each for each in found.verdicts if each.status == "rejected"]
    if rejected:
        lines = "\n".join(f"  {each.case_id}: {' '.join(each.reasons)}" for each in rejected)
        raise UnlabelledError(
            f"{len(rejected)} of {len(found.entries)} scans without labels in {folder} were rejected:\n{lines}\n"
            "Take them out of the folder, or correct them, and run the same command again."
        )
    return found


def unlabelled_cases(section: DistillationSection, prepared: PreparedDataset) -> list[StoredCase]:
    """The scans that the section names: a source of ``prepared``, all its cases in no split, or another manifest's.

    A scan that is a labelled training case, too, is left out: it is learnt from already.

    Raises:
        UnlabelledError: one of them validates or tests, or there is none.
    """
    assert section.unlabelled is not None
    source = next((each for each in prepared.description.sources if each.name == section.unlabelled), None)
    if section.unlabelled == REST:
        cases = prepared.apart
    elif source is None:
        cases = PreparedDataset.load(Path(section.unlabelled)).cases("all")
    elif source.labels:
        raise UnlabelledError(f"the source {source.name} has labels: name one with 'labels: false', or a folder.")
    else:
        cases = [each for each in prepared.cases("all") if each.case_id.startswith(source.prefix)]
    _refuse_seen(cases, prepared)
    known = prepared.cases("train")
    left = [each for each in cases if not any(same_scan(each.record, other.record) for other in known)]
    if len(left) < len(cases):
        print(f"{len(cases) - len(left)} of {len(cases)} scans without labels are training cases, and left out.")
    return _required(left, section.unlabelled, "no case is there that is not labelled, too")


def answered(
    section: DistillationSection, teacher: Answering, prepared: PreparedDataset, workspace: Workspace
) -> Unlabelled:
    """What the section's scans are learnt from: the teacher's stored answers, of the scans that it is sure enough of.

    Raises:
        UnlabelledError: see ``unlabelled_cases``; or the teacher is sure of none.
    """
    name = str(section.unlabelled)
    stored = stored_answers(teacher, prepared, unlabelled_cases(section, prepared), workspace, Path(name).stem)
    sure = [(case, record) for case, record in stored.answers if _is_sure(record, section.unlabelled_sureness)]
    left_out = len(stored.answers) - len(sure)
    if left_out:
        print(f"The teacher is not sure enough of {left_out} of {len(stored.answers)} scans, which are left out.")
    cases = _required([case for case, _ in sure], name, "the teacher is not sure enough of any")
    points = ({value: places for value, places in record.points.items() if places} for _, record in sure)
    return Unlabelled(tuple(cases), tuple(points), stored.teacher, section.unlabelled_share)


def _description(base: DatasetDescription, folder: Path) -> DatasetDescription:
    """Of the scans in the folder: test cases, since these alone may come without a label; none is looked for."""
    scans = folder.is_dir() and any(is_scan(each) for each in folder.iterdir())
    fields = base.model_dump(exclude={"sources", "annotated", "label_ids", "mask_names", "patient_pattern", "patients"})
    own = {
        "name": f"{base.name}_unlabelled",
        "title": f"scans without labels for {base.title}",
        "layout": "pairs" if scans else "dicom",
        "files": FilePattern(image="{id}"),
        "case_pattern": ".*",
        "split": EveryCase(rule="every_case", splits=("test",)),
    }
    return DatasetDescription.model_validate(fields | own)


def _as(prepared: PreparedDataset) -> Preparation:
    return Preparation(spacing_xyz=prepared.spacing_xyz)


def _refuse_seen(cases: Sequence[StoredCase], prepared: PreparedDataset) -> None:
    seen = [
        f"{case.case_id} is {other.case_id} ({split})"
        for split in _SEEN
        for other in prepared.cases(split)
        for case in cases
        if same_scan(case.record, other.record)
    ]
    if seen:
        raise UnlabelledError(
            f"scans without labels are scans of {prepared.name} that validate or test: {', '.join(seen)}. What a "
            "student scores on scans that it was taught means nothing: take them out of the folder."
        )


def _is_sure(record: ProbabilityRecord, least: float) -> bool:
    """A scan in which the teacher finds nothing has nothing to be sure of."""
    return record.sureness is not None and record.sureness >= least


def _required(cases: list[StoredCase], name: str, reason: str) -> list[StoredCase]:
    if not cases:
        raise UnlabelledError(f"of the scans without labels ({name}) there is none to learn from: {reason}.")
    return cases
