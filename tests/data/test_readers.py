"""Finding cases in every layout, and what is said where something is missing."""

import json
from pathlib import Path

import pytest

from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.readers import Case, DatasetError, find_cases


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _found(cases: list[Case], root: Path) -> list[tuple[str, str, str | None]]:
    return [
        (
            each.case_id,
            str(each.image.relative_to(root)),
            str(each.label.relative_to(root)) if each.label else None,
        )
        for each in cases
    ]


def _counts(cases: list[Case]) -> list[str]:
    return [each.splits[0] for each in cases]


@pytest.mark.parametrize(
    ("images", "labels"),
    [("imagesTr", "labelsTr"), ("RawData/Training/img", "RawData/Training/label"), ("img", "label")],
)
def test_btcv(tmp_path: Path, images: str, labels: str) -> None:
    for number in (2, 1):
        _touch(tmp_path, f"{images}/img{number:04d}.nii.gz", f"{labels}/label{number:04d}.nii.gz")
    _touch(tmp_path, f"{images}/._img0001.nii.gz", f"{images}/readme.txt")
    assert _found(find_cases(load_description("btcv"), tmp_path), tmp_path) == [
        ("img0001", f"{images}/img0001.nii.gz", f"{labels}/label0001.nii.gz"),
        ("img0002", f"{images}/img0002.nii.gz", f"{labels}/label0002.nii.gz"),
    ]


def test_btcv_splits_24_and_6(tmp_path: Path) -> None:
    for number in range(1, 31):
        _touch(tmp_path, f"imagesTr/img{number:04d}.nii.gz", f"labelsTr/label{number:04d}.nii.gz")
    assert _counts(find_cases(load_description("btcv"), tmp_path)) == ["train"] * 24 + ["test"] * 6


def test_ct_org_counts_numbers_and_tests_on_the_first_19(tmp_path: Path) -> None:
    for number in range(140):
        _touch(tmp_path, f"volume-{number}.nii.gz", f"labels-{number}.nii.gz")
    cases = find_cases(load_description("ct_org"), tmp_path)
    assert [each.case_id for each in cases[:3]] == ["volume-0", "volume-1", "volume-2"]
    assert cases[10].label == tmp_path / "labels-10.nii.gz"
    assert _counts(cases) == ["test"] * 19 + ["train"] * 121


@pytest.mark.parametrize(
    ("found", "expected"), [(300, (225, 30, 45)), (100, (75, 10, 15)), (3, (1, 1, 1)), (1, (1, 0, 0))]
)
def test_fewer_cases_shrink_the_split_in_proportion(tmp_path: Path, found: int, expected: tuple[int, int, int]) -> None:
    for number in range(found):
        _touch(tmp_path, f"images/p{number}.nii", f"labels/p{number}.nii.gz")
    splits = _counts(find_cases(load_description("pelvic"), tmp_path))
    assert (splits.count("train"), splits.count("val"), splits.count("test")) == expected


def _write_json(root: Path, **contents: object) -> None:
    (root / "dataset.json").write_text(json.dumps(contents))


def test_amos_takes_the_ct_part_of_both_lists(tmp_path: Path) -> None:
    def entry(folder: str, number: int) -> dict[str, str]:
        name = f"amos_{number:04d}.nii.gz"
        return {"image": f"./images{folder}/{name}", "label": f"./labels{folder}/{name}"}

    lists = {"training": [entry("Tr", 1), entry("Tr", 507)], "validation": [entry("Va", 8)]}
    _write_json(tmp_path, **lists, test=["./imagesTs/amos_0009.nii.gz"])
    cases = find_cases(load_description("amos"), tmp_path)
    assert [(each.case_id, each.splits) for each in cases] == [
        ("amos_0001", ("train",)),
        ("amos_0008", ("test",)),
    ]
    assert cases[1].label == tmp_path / "labelsVa" / "amos_0008.nii.gz"


def test_amos_without_its_list_is_read_from_the_folders(tmp_path: Path) -> None:
    _touch(tmp_path, "imagesTr/amos_0001.nii.gz", "labelsTr/amos_0001.nii.gz", "imagesVa/amos_0008.nii.gz")
    cases = find_cases(load_description("amos"), tmp_path)
    assert [(each.case_id, each.splits) for each in cases] == [
        ("amos_0001", ("train",)),
        ("amos_0008", ("test",)),
    ]
    assert cases[1].label == tmp_path / "labelsVa" / "amos_0008.nii.gz", "missing, and the checks will say so"


def _decathlon() -> DatasetDescription:
    fields = load_description("pelvic").model_dump(mode="json")
    return DatasetDescription.model_validate(fields | {"layout": "decathlon"})


def test_nnunet_v2_has_a_channel_number_and_no_list(tmp_path: Path) -> None:
    _write_json(tmp_path, channel_names={"0": "CT"}, labels={"background": 0}, numTraining=2, file_ending=".nii.gz")
    for case in ("a_001", "b"):
        _touch(tmp_path, f"imagesTr/{case}_0000.nii.gz", f"labelsTr/{case}.nii.gz")
    assert _found(find_cases(_decathlon(), tmp_path), tmp_path) == [
        ("a_001", "imagesTr/a_001_0000.nii.gz", "labelsTr/a_001.nii.gz"),
        ("b", "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"),
    ]


def test_nnunet_v1_lists_images_without_their_channel_number(tmp_path: Path) -> None:
    _write_json(tmp_path, training=[{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}])
    _touch(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    assert _found(find_cases(_decathlon(), tmp_path), tmp_path) == [
        ("a", "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    ]


def test_second_channel_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz")
    with pytest.raises(DatasetError, match=r"a_0001\.nii\.gz is a second channel"):
        find_cases(_decathlon(), tmp_path)


@pytest.mark.parametrize("escape", ["../outside.nii.gz", "/etc/hostname.nii.gz", "imagesTr/../../outside.nii.gz"])
def test_dataset_json_may_not_lead_outside(tmp_path: Path, escape: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    _write_json(root, training=[{"image": escape, "label": "labelsTr/a.nii.gz"}])
    with pytest.raises(DatasetError, match="is outside"):
        find_cases(_decathlon(), root)


def test_damaged_dataset_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"training": [')
    with pytest.raises(DatasetError, match=r"dataset\.json cannot be read"):
        find_cases(_decathlon(), tmp_path)


def test_one_case_in_two_splits(tmp_path: Path) -> None:
    _touch(tmp_path, "image.nii.gz", "labels-btcv.nii.gz", "labels-amos.nii.gz")
    (case,) = find_cases(load_description("one_scan"), tmp_path)
    assert case == Case("image", tmp_path / "image.nii.gz", tmp_path / "labels-btcv.nii.gz", ("train", "test"))


def test_unpaired_files_are_found_for_the_checks_to_name(tmp_path: Path) -> None:
    _touch(tmp_path, "images/a.nii.gz", "images/b.nii.gz", "labels/b.nii.gz", "labels/c.nii.gz")
    assert _found(find_cases(load_description("pelvic"), tmp_path), tmp_path) == [
        (name, f"images/{name}.nii.gz", f"labels/{name}.nii.gz") for name in "abc"
    ]


def test_missing_folder_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere is not a folder.*imagesTr/img\*\.nii\.gz"):
        find_cases(load_description("btcv"), tmp_path / "nowhere")


def test_empty_folder_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no case of CT-ORG.*volume-\*\.nii\.gz and labels-\*\.nii\.gz"):
        find_cases(load_description("ct_org"), tmp_path)


def test_same_case_twice_is_refused(tmp_path: Path) -> None:
    _write_json(
        tmp_path,
        training=[
            {"image": "imagesTr/a.nii.gz", "label": "l.nii.gz"},
            {"image": "more/a.nii.gz", "label": "l.nii.gz"},
        ],
    )
    with pytest.raises(DatasetError, match="case 'a' twice"):
        find_cases(_decathlon(), tmp_path)
