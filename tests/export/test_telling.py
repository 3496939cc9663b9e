"""What a card tells of a run: its data, its settings, its scores elsewhere, and where not to trust it."""

import json
from typing import Any

import pytest
from small_bundles import SYNTHETIC
from small_cards import organs, small_card
from small_students import small_student, write_other_evaluation

from autosam_inference.bundle.contents import OtherScores, Scores, TrainingData
from autosam_platform.data.description import description_names, load_description
from autosam_platform.data.phantom import SCHEMAS
from autosam_platform.export.network import ExportError
from autosam_platform.export.telling import known_failures, other_scores, settings, training_data
from autosam_platform.workspace import RunFolder


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return small_student(tmp_path_factory.mktemp("workspace"), "unet_nano")


def described(run: RunFolder, **changes: dict[str, Any]) -> RunFolder:
    """The run with other settings."""
    told = json.loads(run.config.read_text())
    for section, values in changes.items():
        told[section] = told.get(section, {}) | values
    run.config.write_text(json.dumps(told))
    return run


@pytest.fixture
def run(student: RunFolder) -> Any:
    """The student, as it was after each test."""
    before = student.config.read_text()
    yield student
    student.config.write_text(before)


def test_phantoms_are_synthetic_and_nothing_else_is() -> None:
    assert {name for name in description_names() if load_description(name).synthetic} == set(SCHEMAS)


def test_no_record_and_no_hash_knows_whether_scans_are_synthetic() -> None:
    """What was prepared, trained and evaluated before it could be said keeps its name."""
    phantom = load_description("phantom")
    assert (
        phantom.synthetic and "synthetic" not in phantom.model_dump() and "synthetic" not in phantom.model_dump_json()
    )


@pytest.mark.parametrize(
    ("distillation", "synthetic"),
    [
        ({}, True),
        ({"teacher": "torso", "unlabelled": "rest"}, True),
        ({"teacher": "torso", "unlabelled": "prepared/ours_unlabelled-01234567/dataset-89abcdef.json"}, False),
        ({"teacher": "torso", "unlabelled": "/data/patients"}, False),
        ({"teacher": "torso", "unlabelled": "/data/patients", "kd_lambda": 1.0}, True),
    ],
)
def test_who_saw_patients_is_not_said_to_have_seen_none(
    run: RunFolder, distillation: dict[str, Any], synthetic: bool
) -> None:
    """Scans without labels count; with λ = 1 the teacher, and so they, had no influence."""
    data = training_data(described(run, dataset={"name": "phantom"}, distillation=distillation))
    assert data.synthetic is synthetic and data.title == "Synthetic abdominal CT, the 13 organs of BTCV"


def test_a_run_on_patients_saw_some(run: RunFolder) -> None:
    assert not training_data(run).synthetic
    gone = training_data(described(run, dataset={"name": "/gone/ours.yaml"}))
    assert not gone.synthetic and gone.licence == "unknown: ask its owner"


def test_the_settings_are_the_recipe_and_the_seed_and_no_place(run: RunFolder) -> None:
    described(run, training={"epochs": 8, "learning_rate": 0.002}, distillation={"teacher": "/runs/torso-1/model"})
    described(run, dataset={"name": "/home/me/ours.yaml"}, compute={"workers": 2})
    assert settings(run) == {
        "name": "student",
        "dataset.name": "ours.yaml",
        "model.name": "unet_nano",
        "model.patch_DHW": [48, 32, 32],
        "training.epochs": 8,
        "training.learning_rate": 0.002,
        "training.seed": 0,
    }


def test_scores_elsewhere_are_found_by_dataset(student: RunFolder) -> None:
    assert other_scores(student) == ()
    write_other_evaluation(student)
    write_other_evaluation(student, "phantom-00000001", dice=0.75)
    write_other_evaluation(student, "ours-00000002")
    write_other_evaluation(student, "btcv-00000003")  # its own, whose training cases may be among them
    student.evaluation("val").folder.mkdir()
    student.evaluation("test", "begun-00000004").folder.mkdir()
    scan, ours, phantom = other_scores(student)
    assert (scan.dataset, scan.synthetic) == ("one_scan", False)
    assert (phantom.dataset, phantom.synthetic) == ("phantom", True)
    assert (ours.dataset, ours.synthetic) == ("ours", None), "its description lies nobody knows where"
    assert (scan.fingerprint, scan.split, scan.n_cases) == ("0123abcd", "test", 2)
    assert (scan.mean_dice, scan.mean_nsd, phantom.mean_dice) == (0.5, 0.25, 0.75)
    assert (scan.organs["liver"].dice, scan.organs["liver"].n) == (0.5, 2)
    assert (scan.organs["aorta"].dice, scan.organs["aorta"].n) == (None, 0)
    student.evaluation("test", "ours-00000002").metrics.write_text("nothing")
    with pytest.raises(ExportError, match=r"evaluation-ours-00000002-test cannot be read .*jobs/evaluate\.py --run"):
        other_scores(student)


def failures(synthetic: bool, *others: dict[str, Any]) -> tuple[str, ...]:
    data = TrainingData.model_validate(SYNTHETIC["training_data"] | {"synthetic": synthetic})
    scores = Scores.model_validate(SYNTHETIC["scores"])
    return known_failures(small_card(organs(1)), scores, data, [OtherScores.model_validate(each) for each in others])


def test_what_is_known_of_patients_is_said_first() -> None:
    (scan,) = SYNTHETIC["other_scores"]
    nothing = "It has seen synthetic scans only, and nothing is known of what it does with scans of people."
    assert failures(True)[0] == nothing
    assert failures(True, scan | {"synthetic": True})[0] == nothing
    found = failures(True, scan)
    assert found[0].startswith("It has seen synthetic scans only: on scans of people expect what it reached")
    assert found[1] == "On 1 case of one_scan its mean Dice is 62.50 %; too low to rely on: organ 1 62.50 %."
    assert failures(False, scan)[0] == found[1] and not any("synthetic" in each for each in failures(False))


def test_organs_that_are_missed_or_invented_elsewhere_are_named() -> None:
    (scan,) = SYNTHETIC["other_scores"]
    organ = scan["organs"]["organ 1"] | {"dice": 0.75, "not_found": 1, "invented": 2}
    said = failures(False, scan | {"n_cases": 9, "organs": {"spleen": organ}})[0]
    assert said == "On 9 cases of one_scan its mean Dice is 62.50 %; missed: spleen; found where it is not: spleen."


def test_what_is_missed_is_counted_of_those_that_show_it_and_what_is_invented_of_those_that_do_not() -> None:
    """Two cases show it, one of them missed; of eight that do not, one has it invented: n is the two and that one."""
    organ = {"dice": 0.75, "lowest_dice": 0.0, "nsd": 0.5, "hd95_mm": None, "n": 3, "not_found": 1, "invented": 1}
    for absent, of in ((8, "1 of 8"), (None, "1")):
        scores = SYNTHETIC["scores"] | {"organs": {"spleen": organ | {"absent": absent}}}
        told = Scores.model_validate(scores)
        said = known_failures(small_card(organs(1)), told, TrainingData(title="", licence="", cases={}), [])
        assert said[0] == "spleen: not found in 1 of 2 test cases that show it."
        assert said[1] == f"spleen: found in {of} test cases that do not show it."
