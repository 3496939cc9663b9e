"""Finding cases in every layout, and what is said where something is missing."""

import json
from pathlib import Path

import pytest
from synthetic_scans import touch

from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.readers import Case, DatasetError, find_cases, survey


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
        touch(tmp_path, f"{images}/img{number:04d}.nii.gz", f"{labels}/label{number:04d}.nii.gz")
    touch(tmp_path, f"{images}/._img0001.nii.gz", f"{images}/readme.txt")
    assert _found(find_cases(load_description("btcv"), tmp_path), tmp_path) == [
        ("img0001", f"{images}/img0001.nii.gz", f"{labels}/label0001.nii.gz"),
        ("img0002", f"{images}/img0002.nii.gz", f"{labels}/label0002.nii.gz"),
    ]


def test_btcv_splits_24_and_6(tmp_path: Path) -> None:
    for number in range(1, 31):
        touch(tmp_path, f"imagesTr/img{number:04d}.nii.gz", f"labelsTr/label{number:04d}.nii.gz")
    assert _counts(find_cases(load_description("btcv"), tmp_path)) == ["train"] * 24 + ["test"] * 6


def test_ct_org_counts_numbers_and_tests_on_the_first_19(tmp_path: Path) -> None:
    for number in range(140):
        touch(tmp_path, f"volume-{number}.nii.gz", f"labels-{number}.nii.gz")
    cases = find_cases(load_description("ct_org"), tmp_path)
    assert [each.case_id for each in cases[:3]] == ["volume-0", "volume-1", "volume-2"]
    assert cases[10].label == tmp_path / "labels-10.nii.gz"
    assert _counts(cases) == ["test"] * 19 + ["train"] * 121


@pytest.mark.parametrize(
    ("found", "expected"), [(300, (225, 30, 45)), (100, (75, 10, 15)), (3, (1, 1, 1)), (1, (1, 0, 0))]
)
def test_fewer_cases_shrink_the_split_in_proportion(tmp_path: Path, found: int, expected: tuple[int, int, int]) -> None:
    for number in range(found):
        touch(tmp_path, f"images/p{number}.nii", f"labels/p{number}.nii.gz")
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
    touch(tmp_path, "imagesTr/amos_0001.nii.gz", "labelsTr/amos_0001.nii.gz", "imagesVa/amos_0008.nii.gz")
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
        touch(tmp_path, f"imagesTr/{case}_0000.nii.gz", f"labelsTr/{case}.nii.gz")
    assert _found(find_cases(_decathlon(), tmp_path), tmp_path) == [
        ("a_001", "imagesTr/a_001_0000.nii.gz", "labelsTr/a_001.nii.gz"),
        ("b", "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"),
    ]


def test_nnunet_v1_lists_images_without_their_channel_number(tmp_path: Path) -> None:
    _write_json(tmp_path, training=[{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}])
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    assert _found(find_cases(_decathlon(), tmp_path), tmp_path) == [
        ("a", "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    ]


def test_second_channel_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz")
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
    touch(tmp_path, "image.nii.gz", "labels-btcv.nii.gz", "labels-amos.nii.gz")
    (case,) = find_cases(load_description("one_scan"), tmp_path)
    assert case == Case("image", tmp_path / "image.nii.gz", tmp_path / "labels-btcv.nii.gz", ("train", "test"))


def test_unpaired_files_are_found_for_the_checks_to_name(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.nii.gz", "images/b.nii.gz", "labels/b.nii.gz", "labels/c.nii.gz")
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


def _pairs(**changes: object) -> DatasetDescription:
    return DatasetDescription.model_validate(load_description("pelvic").model_dump(mode="json") | changes)


def _told(description: DatasetDescription, root: Path) -> dict[str, str]:
    return {each.name: each.reason for each in survey(description, root).left_out}


@pytest.mark.parametrize("other", ["a.nii", "a.NII.GZ"])
@pytest.mark.parametrize("folder", ["images", "labels"])
def test_two_files_of_one_name_are_a_problem_that_names_both(tmp_path: Path, folder: str, other: str) -> None:
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", f"{folder}/{other}", "images/b.nii.gz", "labels/b.nii.gz")
    bad, good = find_cases(load_description("pelvic"), tmp_path)
    assert f"{folder}/{other}" in bad.problem and f"{folder}/a.nii.gz" in bad.problem
    assert "are both there" in bad.problem and "remove one" in bad.problem
    assert (good.case_id, good.problem) == ("b", "")


def test_two_files_of_one_name_in_nnunets_folders(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0000.nii", "labelsTr/a.nii.gz")
    (case,) = find_cases(_decathlon(), tmp_path)
    assert case.problem.startswith("imagesTr/a_0000.nii and imagesTr/a_0000.nii.gz are both there")


@pytest.mark.parametrize("ending", [".NII.GZ", ".Nii", ".nii.GZ", ".NII"])
def test_suffixes_count_in_any_case(tmp_path: Path, ending: str) -> None:
    touch(tmp_path, f"images/a{ending}", f"labels/a{ending.lower()}")
    assert _found(find_cases(load_description("pelvic"), tmp_path), tmp_path) == [
        ("a", f"images/a{ending}", f"labels/a{ending.lower()}")
    ]
    touch(tmp_path, f"imagesTr/b_0000{ending}", f"labelsTr/b{ending}")
    assert _found(find_cases(_decathlon(), tmp_path), tmp_path) == [
        ("b", f"imagesTr/b_0000{ending}", f"labelsTr/b{ending}")
    ]


def test_files_that_fit_nothing_are_told_with_the_reason(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/img0001.nii.gz", "labelsTr/label0001.nii.gz", "imagesTr/Img0002.nii.gz")
    touch(tmp_path, "imagesTr/notes.txt", "imagesTr/.hidden.nii.gz", "labelsTr/seg0002.nii.gz", "labelsTr/old/l.nii.gz")
    touch(tmp_path, "img/img0009.nii.gz", "labelsTr/label0003.nrrd")
    expected = "imagesTr/img*.nii.gz and labelsTr/label*.nii.gz"
    assert _told(load_description("btcv"), tmp_path) == {
        "imagesTr/Img0002.nii.gz": f"its name is not one of {expected}, in letters of the same case",
        "imagesTr/notes.txt": "no NIfTI file (.nii, .nii.gz)",
        "labelsTr/seg0002.nii.gz": f"its name is not one of {expected}, in letters of the same case",
        "labelsTr/old": "a folder that was not looked into",
        "labelsTr/label0003.nrrd": "no NIfTI file (.nii, .nii.gz)",
        "img/img0009.nii.gz": f"the files {expected} are used instead",
    }


def test_a_label_in_the_wrong_folder_is_told_and_missed_in_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/img0001.nii.gz", "imagesTr/label0001.nii.gz")
    found = survey(load_description("btcv"), tmp_path)
    assert _found(found.cases, tmp_path) == [("img0001", "imagesTr/img0001.nii.gz", "labelsTr/label0001.nii.gz")]
    assert [each.name for each in found.left_out] == ["imagesTr/label0001.nii.gz"]


def test_a_folder_that_is_called_as_a_scan_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "images/b.nii.gz/b", "images/c.nii.gz/c.nii")
    reason = "a folder that was not looked into"
    assert _told(load_description("pelvic"), tmp_path) == {"images/b.nii.gz": reason, "images/c.nii.gz": reason}


def test_cases_that_the_description_does_not_want_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/amos_0001.nii.gz", "labelsTr/amos_0001.nii.gz")
    touch(tmp_path, "imagesTr/amos_0507.nii.gz", "labelsTr/amos_0507.nii.gz", "imagesTs/amos_0009.nii.gz")
    assert _told(load_description("amos"), tmp_path) == {
        "imagesTr/amos_0507.nii.gz": r"its id is not like amos_0([0-4]\d\d|500) (case_pattern)",
        "labelsTr/amos_0507.nii.gz": r"its id is not like amos_0([0-4]\d\d|500) (case_pattern)",
        "imagesTs/amos_0009.nii.gz": "the description's split uses no list 'test'",
    }


def test_where_nothing_fits_the_first_files_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/Img0001.nii.gz")
    with pytest.raises(DatasetError, match=r"no case of BTCV.*imagesTr/Img0001\.nii\.gz: its name is not one of"):
        find_cases(load_description("btcv"), tmp_path)


def test_a_name_that_is_no_text_is_told_not_used(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "images/b\udcff.nii.gz")
    (name,) = told = _told(load_description("pelvic"), tmp_path)
    assert name == "images/b\\udcff.nii.gz" and "not written in UTF-8" in told[name]


@pytest.mark.parametrize("label", ["a", "a_0000", "a_0000_0000"])
def test_a_doubled_channel_number_is_a_problem(tmp_path: Path, label: str) -> None:
    touch(tmp_path, "imagesTr/a_0000_0000.nii.gz", f"labelsTr/{label}.nii.gz", "imagesTr/b_0000.nii.gz")
    touch(tmp_path, "labelsTr/b.nii.gz")
    bad, good = find_cases(_decathlon(), tmp_path)
    assert (bad.case_id, good.case_id, good.problem) == (label, "b", "")
    assert bad.problem.startswith("imagesTr/a_0000_0000.nii.gz has the channel number _0000 twice")
    assert bad.problem.endswith("name it a_0000.nii.gz, and its label a.nii.gz.")


def test_a_folder_for_each_case_as_kits_and_totalsegmentator_have_them(tmp_path: Path) -> None:
    for case_id in ("case_00010", "case_00002"):
        touch(tmp_path, f"{case_id}/imaging.nii.gz", f"{case_id}/segmentation.nii.gz")
    touch(tmp_path, "case_00003/segmentation.nii.gz", "case_00004/Imaging.nii.gz", "kits.json")
    (tmp_path / "case_00005").mkdir()
    description = _pairs(files={"image": "{id}/imaging.nii.gz", "label": "{id}/segmentation"})
    assert _found(find_cases(description, tmp_path), tmp_path) == [
        (name, f"{name}/imaging.nii.gz", f"{name}/segmentation.nii.gz")
        for name in ("case_00002", "case_00003", "case_00010")
    ]
    assert set(_told(description, tmp_path)) == {"case_00004/Imaging.nii.gz", "case_00005", "kits.json"}


@pytest.mark.parametrize(
    ("image", "label", "files"),
    [
        ("data/{id}/ct", "data/{id}/seg", ("data/s1/ct.nii.gz", "data/s1/seg.nii.gz")),
        ("{id}/{id}_ct", "{id}/{id}_seg", ("s1/s1_ct.nii.gz", "s1/s1_seg.nii.gz")),
        ("p_{id}/ct/image", "truth/{id}", ("p_s1/ct/image.nii.gz", "truth/s1.nii.gz")),
    ],
)
def test_the_id_may_stand_anywhere(tmp_path: Path, image: str, label: str, files: tuple[str, str]) -> None:
    touch(tmp_path, *files, "s1/s2_ct.nii.gz")
    description = _pairs(files={"image": image, "label": label})
    assert _found(find_cases(description, tmp_path), tmp_path) == [("s1", *files)]


@pytest.mark.parametrize(
    ("image", "label", "files"),
    [("{id}", "{id}_seg", ("a.nii.gz", "a_seg.nii.gz")), ("{id}_ct", "{id}", ("a_ct.nii.gz", "a.nii.gz"))],
)
def test_scans_and_label_maps_in_one_folder(tmp_path: Path, image: str, label: str, files: tuple[str, str]) -> None:
    touch(tmp_path, *files, *(name.replace("a", "b", 1) for name in files))
    description = _pairs(files={"image": image, "label": label})
    found = survey(description, tmp_path)
    assert [(case.image.name, case.label.name) for case in found.cases if case.label] == [
        files, (files[0].replace("a", "b", 1), files[1].replace("a", "b", 1)),
    ]  # fmt: skip
    assert found.left_out == []


def test_masks_of_organs_are_joined_to_their_case(tmp_path: Path) -> None:
    organs = ("prostate", "urinary_bladder", "Rectum", "femur_left")
    for case_id in ("s0001", "s0002"):
        touch(tmp_path, f"{case_id}/ct.nii.gz", *(f"{case_id}/segmentations/{organ}.nii.gz" for organ in organs))
    touch(tmp_path, "s0003/ct.nii.gz")
    files = {"image": "{id}/ct", "label": "{id}/segmentations/{organ}.nii.gz"}
    description = _pairs(files=files, mask_names={"urinary_bladder": "bladder"})
    first, _, third = find_cases(description, tmp_path)
    place = tmp_path / "s0001" / "segmentations"
    assert (first.case_id, first.label) == ("s0001", None)
    assert first.masks == (
        ("prostate", place / "prostate.nii.gz"),
        ("rectum", place / "Rectum.nii.gz"),
        ("urinarybladder", place / "urinary_bladder.nii.gz"),
    )
    assert third.masks == () and third.label == tmp_path / "s0003" / "segmentations" / "*.nii.gz"
    reason = "masks of organs that are no class of pelvic, nor in its mask_names"
    assert _told(description, tmp_path) == {"*/segmentations/femur_left.nii.gz (2 files)": reason}


def test_a_mask_beside_those_of_other_cases_is_known_by_its_organ(tmp_path: Path) -> None:
    touch(tmp_path, "ct/s_1.nii.gz", "seg/s_1_bladder.nii.gz", "seg/s_1_rec_tum.nii.gz", "seg/s_1_bone.nii.gz")
    description = _pairs(files={"image": "ct/{id}", "label": "seg/{id}_{organ}"})
    (case,) = find_cases(description, tmp_path)
    assert (case.case_id, [organ for organ, _ in case.masks]) == ("s_1", ["bladder", "rectum"])
    assert set(_told(description, tmp_path)) == {"seg/s_1_bone.nii.gz"}


def test_a_patient_in_two_splits_is_noted(tmp_path: Path) -> None:
    for case_id in ("p1_a", "p1_b", "p2_a", "p3_a"):
        touch(tmp_path, f"images/{case_id}.nii.gz", f"labels/{case_id}.nii.gz")
    split = {"rule": "in_order", "parts": [{"split": "test", "cases": 1}, {"split": "train", "cases": 3}]}
    (note,) = survey(_pairs(split=split, patient_pattern=r"(p\d+)_"), tmp_path).notes
    assert note.startswith("patient p1 is in test (p1_a) and train (p1_b)")
    assert survey(_pairs(split=split), tmp_path).notes == []


def test_a_pattern_of_annotated_that_no_case_has_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        touch(tmp_path, f"imagesTr/img{number:04d}.nii.gz", f"labelsTr/label{number:04d}.nii.gz")
    btcv = load_description("btcv")
    typo = btcv.model_copy(update={"annotated": {"img0001": ("liver",), r"Img\d+": ("liver",)}})
    with pytest.raises(
        DatasetError, match=r"has an id like 'Img.*', which annotated names .*: the ids are img0001, img"
    ):
        survey(typo, tmp_path)
    shadowed = btcv.model_copy(update={"annotated": {r"img\d+": ("liver",), "img0001": ("liver",)}})
    assert len(survey(shadowed, tmp_path).cases) == 2
