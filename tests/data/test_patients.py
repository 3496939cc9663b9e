"""Folds: every patient tests once, none is on two sides, and where the patients stand."""

from pathlib import Path

import pytest

from autosam_platform.data.cases import DatasetError
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.patients import in_folds
from autosam_platform.data.readers import survey
from autosam_platform.data.splits import Folds
from autosam_platform.experiment import ConfigError, DatasetSection
from autosam_platform.pipeline.steps import _with_folds

FOLDS = 5
PATIENTS = [f"p{number:02d}" for number in range(23)] + ["p01", "p02", "p02"]  # some were scanned more than once


def _description(**fields: object) -> DatasetDescription:
    pelvic = load_description("pelvic").model_dump(mode="json")
    return DatasetDescription.model_validate(pelvic | {"split": {"rule": "folds", "folds": 3}} | fields)


def _scans(root: Path, *names: str) -> Path:
    for part in ("images", "labels"):
        for name in names:
            path = root / part / f"{name}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    return root


def test_every_patient_tests_once_and_validates_once_and_is_never_on_two_sides() -> None:
    folds = [in_folds(Folds(rule="folds", folds=FOLDS, fold=fold), PATIENTS) for fold in range(FOLDS)]
    for place, patient in enumerate(PATIENTS):
        roles = [splits[place] for splits in folds]
        assert sorted(roles) == ["test", "train", "train", "train", "val"]
        others = [splits[PATIENTS.index(patient)] for splits in folds]
        assert roles == others, "all scans of a patient go together"
    tested = [len({PATIENTS[place] for place, split in enumerate(splits) if split == "test"}) for splits in folds]
    assert sorted(tested) == [4, 4, 5, 5, 5]  # 23 patients


def test_the_group_that_validates_is_the_next_folds_test_group() -> None:
    one, two = (in_folds(Folds(rule="folds", folds=FOLDS, fold=fold), PATIENTS) for fold in (4, 0))
    assert [split == "val" for split in one] == [split == "test" for split in two]


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(DatasetError, match="2 patients cannot be dealt into 3 folds: take at most 2"):
        in_folds(Folds(rule="folds", folds=3), ["a", "b", "a"])


def test_a_pattern_or_a_table_says_who_the_patient_is(tmp_path: Path) -> None:
    root = _scans(tmp_path, "a_1", "a_2", "b_1", "c_1")
    by_pattern = survey(_description(patient_pattern=r"(\w)_"), root).cases
    assert by_pattern[0].splits == by_pattern[1].splits
    (root / "patients.csv").write_text("case,patient\na_1,x\na_2,y\nb_1,x\nc_1,z\n")
    by_table = {case.case_id: case.splits for case in survey(_description(patients="patients.csv"), root).cases}
    assert by_table["a_1"] == by_table["b_1"] and len(set(by_table.values())) == 3


@pytest.mark.parametrize("text", [None, "id,patient\na_1,x\n", "case\na_1\n"], ids=["missing", "other column", "short"])
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    root = _scans(tmp_path, "a_1", "b_1", "c_1")
    if text is not None:
        (root / "patients.csv").write_text(text)
    with pytest.raises(DatasetError, match=r"patients\.csv cannot be read as a table of patients.*columns case and"):
        survey(_description(patients="patients.csv"), root)


def test_a_patient_on_two_sides_of_another_split_is_noticed(tmp_path: Path) -> None:
    root = _scans(tmp_path, *(f"{patient}_{number}" for patient in "abcd" for number in range(3)))
    in_order = {"rule": "in_order", "parts": [{"split": "train", "cases": 7}, {"split": "test", "cases": 5}]}
    notes = survey(_description(split=in_order, patient_pattern=r"(\w)_"), root).notes
    assert [note for note in notes if note.startswith("patient c is in train (c_0) and test (c_1)")]
    assert not survey(_description(patient_pattern=r"(\w)_"), root).notes


def test_cases_without_a_patient_and_rows_without_a_case_are_noted(tmp_path: Path) -> None:
    root = _scans(tmp_path, *(f"a_{number}" for number in range(7)))
    (root / "patients.csv").write_text("case,patient\na_0,x\na_1.nii.gz,x\na_2,\n")
    in_order = {"rule": "in_order", "parts": [{"split": "train", "cases": 7}]}
    assert survey(_description(split=in_order, patients="patients.csv"), root).notes == [
        "no patient is known of a_1, a_2, a_3, a_4, a_5 and 1 more: each counts as a patient of its own.",
        "patients.csv has rows of what is no case here: a_1.nii.gz.",
    ]
    (note,) = survey(_description(split=in_order, patient_pattern=r"(P\d)_.*"), root).notes
    assert note.startswith("no patient is known of a_0, a_1")
    assert not survey(_description(split=in_order), root).notes, "where nothing tells of patients"


@pytest.mark.parametrize(
    "told", [{"patients": "patients.csv"}, {"patient_pattern": r"([ab])_"}], ids=lambda each: next(iter(each))
)
def test_folds_of_cases_without_a_patient_beside_others_are_refused(tmp_path: Path, told: dict[str, str]) -> None:
    root = _scans(tmp_path, "a_1", "a_2", "b_1", "c_1")
    (root / "patients.csv").write_text("case,patient\na_1,x\na_2,x\nb_1,y\nc_1.nii.gz,z\n")
    with pytest.raises(DatasetError, match=r"no patient is known of c_1 in .*, and folds keep .* a row in the file"):
        survey(_description(**told), root)
    both = _description(patients="patients.csv", patient_pattern="(c)_")
    assert {case.case_id for case in survey(both, root).cases} == {"a_1", "a_2", "b_1", "c_1"}


def test_the_command_line_asks_for_folds_of_any_dataset(tmp_path: Path) -> None:
    def split(description: DatasetDescription, **settings: int) -> object:
        return _with_folds(description, DatasetSection(**settings)).split

    plain, own = load_description("phantom"), _description()
    assert split(plain) == plain.split
    assert split(plain, folds=5) == Folds(rule="folds", folds=5, fold=0)
    assert split(plain, folds=5, fold=3) == Folds(rule="folds", folds=5, fold=3)
    assert split(own, fold=2) == Folds(rule="folds", folds=3, fold=2)
    with pytest.raises(ConfigError, match=r"phantom has a split of its own and no folds: add --dataset\.folds 5"):
        split(plain, fold=1)
    with pytest.raises(ConfigError, match="fold 3 of 3 is not possible"):
        split(own, fold=3)
