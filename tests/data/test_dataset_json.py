"""What dataset.json says: lists, places of files, and the order of the classes."""

import json
from pathlib import Path

import pytest
from synthetic_scans import touch

from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.readers import DatasetError, find_cases, survey

PELVIC = load_description("pelvic").model_dump(mode="json")  # 1 prostate, 2 bladder, 3 rectum


def _description(**changes: object) -> DatasetDescription:
    return DatasetDescription.model_validate(PELVIC | {"layout": "decathlon"} | changes)


def _dataset(root: Path, **contents: object) -> Path:
    touch(root, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    (root / "dataset.json").write_text(json.dumps(contents))
    return root


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "prostate", "2": "bladder", "3": "rectum"},
        {"background": 0, "prostate": 1, "bladder": 2, "rectum": 3},
        {"background": "0", "Prostate": "1", "BLADDER": "2", "Rec-tum": "3"},
        ["background", "prostate", "bladder", "rectum"],
        {"background": 0, "prostate": 1},
        {},
        "prostate",
    ],
    ids=str,
)
def test_the_same_order_is_nothing_to_tell(tmp_path: Path, labels: object) -> None:
    assert survey(_description(), _dataset(tmp_path, labels=labels)).notes == []


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "bladder", "2": "prostate", "3": "rectum"},
        {"background": 0, "bladder": 1, "prostate": 2, "rectum": 3},
        {"background": 0, "BLADDER": 1, "Prostate": 2, "rectum": 3},
    ],
    ids=str,
)
def test_another_order_is_refused_with_both_and_the_remedy(tmp_path: Path, labels: dict[str, object]) -> None:
    _dataset(tmp_path, labels=labels)
    with pytest.raises(DatasetError) as error:
        survey(_description(), tmp_path)
    said = str(error.value)
    assert str(tmp_path / "dataset.json") in said
    assert "0 background, 1 bladder, 2 prostate, 3 rectum" in said.replace("BLADDER", "bladder").replace("Pr", "pr")
    assert "the description has 1 prostate, 2 bladder, 3 rectum" in said
    assert "label_ids: {1: bladder, 2: prostate, 3: rectum}" in said
    remedied = _description(label_ids={1: "bladder", 2: "prostate", 3: "rectum"})
    assert [case.case_id for case in survey(remedied, tmp_path).cases] == ["a"]


def test_label_ids_are_compared_too(tmp_path: Path) -> None:
    _dataset(tmp_path, labels={"background": 0, "bladder": 1, "prostate": 2, "bone": 9})
    with pytest.raises(DatasetError, match="read by its label_ids as"):
        survey(_description(label_ids={1: "prostate", 2: "bladder", 3: "rectum"}), tmp_path)
    notes = survey(_description(label_ids={1: "bladder", 2: "prostate", 9: None}), tmp_path).notes
    assert notes == [
        "dataset.json has names that pelvic does not know: 9 'bone'.",
        "label_ids has no id of rectum: no label map can show them.",
    ]


def test_an_organ_under_the_id_of_the_background_is_refused(tmp_path: Path) -> None:
    _dataset(tmp_path, labels={"prostate": 0, "bladder": 1})
    with pytest.raises(DatasetError, match="number 'prostate', 'bladder' differently"):
        survey(_description(), tmp_path)


def test_unknown_names_are_noted_with_what_they_count_as(tmp_path: Path) -> None:
    labels = {"0": "background", "1": "prostate", "2": "urinary bladder", "3": "rectum", "7": "bone"}
    (note,) = survey(_description(), _dataset(tmp_path, labels=labels)).notes
    assert note == "dataset.json has names that pelvic does not know: 2 'urinary bladder' (here 'bladder'), 7 'bone'."


def test_sides_that_are_exchanged_are_seen_whatever_the_order_of_words(tmp_path: Path) -> None:
    btcv = DatasetDescription.model_validate(load_description("btcv").model_dump(mode="json") | {"layout": "decathlon"})
    same = {"1": "spleen", "2": "kidney_right", "3": "Kidney-Left", "4": "gall bladder"}
    assert survey(btcv, _dataset(tmp_path, labels=same)).notes == []
    _dataset(tmp_path, labels={"1": "spleen", "2": "kidney_left", "3": "kidney_right"})
    with pytest.raises(DatasetError, match=r"label_ids: \{1: spleen, 2: left kidney, 3: right kidney\}"):
        survey(btcv, tmp_path)


def test_ignored_labels_are_known_names(tmp_path: Path) -> None:
    root = _dataset(tmp_path, labels={"0": "background", "9": "Bone", "8": "skin"})
    (note,) = survey(_description(ignored_labels={9: "bone"}), root).notes
    assert note == "dataset.json has names that pelvic does not know: 8 'skin'."


def test_regions_of_nnunet_are_names_without_an_id(tmp_path: Path) -> None:
    _dataset(tmp_path, labels={"background": 0, "whole pelvis": [1, 2, 3], "prostate": 1})
    assert survey(_description(), tmp_path).notes == []


def test_other_layouts_are_compared_as_well(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"bladder": 1}}))
    with pytest.raises(DatasetError, match="number 'bladder' differently"):
        survey(load_description("pelvic"), tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    found = survey(load_description("pelvic"), tmp_path)
    assert len(found.cases) == 1 and "dataset.json cannot be read as JSON" in found.notes[0]


@pytest.mark.parametrize(
    "listed",
    [
        {"one": {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}},
        [{"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}],
    ],
    ids=["by id", "list"],
)
def test_dataset_of_nnunet_v2(tmp_path: Path, listed: object) -> None:
    (case,) = find_cases(_description(), _dataset(tmp_path, dataset=listed))
    assert case.case_id == ("one" if isinstance(listed, dict) else "a_0000")
    assert (case.image, case.label) == (tmp_path / "imagesTr/a_0000.nii.gz", tmp_path / "labelsTr/a.nii.gz")


def test_dataset_of_nnunet_v2_with_several_channels_is_refused(tmp_path: Path) -> None:
    listed = {"one": {"images": ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"], "label": "labelsTr/a.nii.gz"}}
    with pytest.raises(DatasetError, match=r"a_0001\.nii\.gz.* are several channels of a case"):
        find_cases(_description(), _dataset(tmp_path, dataset=listed))


def _outside(tmp_path: Path) -> tuple[Path, Path]:
    """A file of git-annex or a data lake, and a dataset's folder beside it."""
    root = tmp_path / "root"
    root.mkdir()
    return touch(tmp_path, "lake/4f2a.nii.gz") / "lake" / "4f2a.nii.gz", root


def test_links_out_of_the_folder_are_read(tmp_path: Path) -> None:
    stored, root = _outside(tmp_path)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
        (root / folder / "a.nii.gz").symlink_to(stored)
    entry = {"image": "./imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}
    (root / "dataset.json").write_text(json.dumps({"training": [entry]}))
    (case,) = find_cases(_description(), root)
    assert case.image == root / "imagesTr/a.nii.gz" and case.image.is_file()


def test_a_link_to_a_whole_folder_is_read_but_no_way_up_from_it(tmp_path: Path) -> None:
    stored, root = _outside(tmp_path)
    (root / "imagesTr").symlink_to(stored.parent)
    (root / "dataset.json").write_text(json.dumps({"training": ["imagesTr/4f2a.nii.gz"]}))
    (case,) = find_cases(_description(), root)
    assert case.image.is_file()
    touch(tmp_path, "secret.nii.gz")
    (root / "dataset.json").write_text(json.dumps({"training": ["imagesTr/../secret.nii.gz"]}))
    with pytest.raises(DatasetError, match="is outside"):
        find_cases(_description(), root)


@pytest.mark.parametrize("escape", ["../lake/4f2a.nii.gz", "{lake}", "imagesTr/../../lake/4f2a.nii.gz", "a\0.nii.gz"])
def test_names_that_lead_out_are_refused(tmp_path: Path, escape: str) -> None:
    stored, root = _outside(tmp_path)
    (root / "dataset.json").write_text(json.dumps({"training": [escape.format(lake=stored)]}))
    with pytest.raises(DatasetError, match="is outside"):
        find_cases(_description(), root)


def test_what_the_list_does_not_name_is_told(tmp_path: Path) -> None:
    entry = {"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}
    root = _dataset(tmp_path, training=[entry])
    touch(root, "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz", "labelsTr/._a.nii.gz")
    assert [(each.name, each.reason) for each in survey(_description(), root).left_out] == [
        (name, "dataset.json does not list it") for name in ("imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz")
    ]
