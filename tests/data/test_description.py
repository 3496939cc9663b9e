"""The dataset descriptions: that they say what the paper says, and what a wrong one is answered."""

import re
from pathlib import Path

import pytest
import yaml

from autosam_inference.scans.colours import organ_colour
from autosam_platform.data.description import (
    DatasetDescription,
    DescriptionError,
    load_description,
)

BTCV_ORGANS = (
    "spleen, right kidney, left kidney, gallbladder, esophagus, liver, stomach, aorta, inferior vena cava, "
    "portal and splenic veins, pancreas, right adrenal gland, left adrenal gland"
)
AMOS_ORGANS = (
    "spleen, right kidney, left kidney, gallbladder, esophagus, liver, stomach, aorta, inferior vena cava, "
    "pancreas, right adrenal gland, left adrenal gland, duodenum, bladder, prostate/uterus"
)

# paper, Sec. 7.1 and 7.2: organs, spacing, window, flip / rotate / intensity scale / intensity shift
PAPER = {
    "btcv": (BTCV_ORGANS, (1.0, 1.0, 1.5), (-125, 275), (0.1, 0.1, 0.2, 0.0)),
    "amos": (AMOS_ORGANS, (1.0, 1.0, 1.5), (-991, 362), (0.1, 0.1, 0.2, 0.0)),
    "ct_org": ("liver, bladder, lungs, kidneys, bones", (2.0, 2.0, 2.0), (-1000, 1000), (0.5, 0.5, 0.1, 0.1)),
    "pelvic": ("prostate, bladder, rectum", (1.5, 1.5, 1.5), (-50, 150), (0.3, 0.2, 0.1, 0.1)),
}


@pytest.mark.parametrize("name", PAPER)
def test_description_is_the_papers(name: str) -> None:
    organs, spacing, window, probabilities = PAPER[name]
    description = load_description(name)
    settings = description.augmentation
    assert ", ".join(each.name for each in description.classes) == organs
    assert description.num_classes == organs.count(",") + 2
    assert description.spacing_xyz == spacing
    assert description.hu_window == window
    assert (
        settings.flip,
        settings.rotate,
        settings.intensity_scale,
        settings.intensity_shift,
    ) == probabilities
    assert description.nsd_tolerance_mm == 2.0


@pytest.mark.parametrize("name", ["phantom", "one_scan"])
def test_small_datasets_have_btcvs_classes_and_window(name: str) -> None:
    own, btcv = load_description(name), load_description("btcv")
    assert (own.classes, own.hu_window, own.spacing_xyz) == (btcv.classes, btcv.hu_window, (3.0, 3.0, 3.0))


def test_scaling_is_the_papers() -> None:
    assert load_description("btcv").scaling.to == (0, 1)
    assert load_description("ct_org").scaling.to == (-1, 1)
    assert load_description("pelvic").scaling.to == (0, 1)
    amos = load_description("amos").scaling
    assert (amos.subtract, amos.divide) == (50, 141)


def test_pelvic_patches_lie_around_the_organs() -> None:
    assert load_description("pelvic").foreground_fraction == 1.0
    assert load_description("btcv").foreground_fraction == 0.5


def test_paired_organs_know_each_other() -> None:
    assert load_description("btcv").mirrored_ids == {2: 3, 3: 2, 12: 13, 13: 12}
    assert load_description("amos").mirrored_ids == {2: 3, 3: 2, 11: 12, 12: 11}
    assert load_description("ct_org").mirrored_ids == {}


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DescriptionError, match=r"'btvc'.*amos, btcv, ct_org, one_scan, pelvic, phantom, phantom_amos"):
        load_description("btvc")


def test_own_file_extends_a_known_one(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("extends: btcv\nname: ours\nspacing_xyz: [2, 2, 2]\n")
    description = load_description(path)
    assert (description.name, description.spacing_xyz) == ("ours", (2, 2, 2))
    assert description.classes == load_description("btcv").classes


def test_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"ours\.yaml cannot be read \(No such file"):
        load_description(tmp_path / "ours.yaml")
    (tmp_path / "ours.yaml").write_text("name: [")
    with pytest.raises(DescriptionError, match=r"ours\.yaml is not valid YAML"):
        load_description(tmp_path / "ours.yaml")
    (tmp_path / "ours.yaml").write_text("extends: nothing")
    with pytest.raises(DescriptionError, match=r"ours\.yaml extends 'nothing', which is not one of amos"):
        load_description(tmp_path / "ours.yaml")


def _fields(**changes: object) -> dict[str, object]:
    return load_description("btcv").model_dump(mode="json") | changes


_MASKS = {"layout": "pairs", "files": {"image": "{id}/ct", "label": "{id}/{organ}"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spacing": [1, 1, 1]}, "spacing: there is no such field"),
        ({"classes": [{"id": 2, "name": "liver"}]}, "1, 2, 3"),
        ({"classes": [{"id": 1, "name": "liver"}, {"id": 2, "name": "liver"}]}, "same name"),
        ({"classes": [{"id": 1, "name": "left kidney", "mirror": "right kidney"}]}, "must name each other"),
        ({"hu_window": [275, -125]}, "hu_window must be"),
        ({"scaling": {"to": [0, 1], "subtract": 50}}, "scaling needs either"),
        ({"scaling": {"to": [1, 1]}}, "scaling.to must be"),
        ({"ignored_labels": {3: "kidney"}}, "ignored_labels repeats"),
        ({"annotated": {".*": ["heart"]}}, "unknown classes.*heart"),
        ({"case_pattern": "("}, "not a regular expression"),
        ({"label_ids": {5: "lever"}}, "label_ids names unknown classes.*lever"),
        (
            {"label_ids": {5: "liver"}, "ignored_labels": {5: "lever"}, "classes": [{"id": 1, "name": "liver"}]},
            "not in both",
        ),
        ({"mask_names": {"lever": "liver"}}, "mask_names needs {organ}"),
        (_MASKS | {"mask_names": {"lever": "Leber"}}, "mask_names names unknown classes.*Leber"),
        (_MASKS | {"mask_names": {"a b": "liver", "a_b": "liver"}}, "two of mask_names differ"),
        (_MASKS | {"label_ids": {5: "liver"}}, "label_ids goes with label maps"),
        ({"layout": "pairs", "files": {"image": "../{id}", "label": "{id}"}}, "must be a path in the dataset's folder"),
        ({"layout": "pairs", "files": {"image": "{id}", "label": "{case}"}}, "may hold {id}"),
        ({"layout": "pairs", "files": {"image": "{organ}/{id}", "label": "{id}"}}, "may hold {id}"),
        ({"layout": "pairs", "files": {"image": "{id}/ct", "label": "seg"}}, "{id} must be in both"),
        ({"layout": "pairs", "files": {"image": "{id}"}}, "files needs the pattern of a label"),
        ({"patient_pattern": "p.*"}, "patient_pattern needs a group"),
        ({"patient_pattern": "("}, "not a regular expression"),
        ({"split": {"rule": "by_list", "lists": {"training": "train"}}}, "needs 'layout: decathlon'"),
        ({"split": {"rule": "in_order", "parts": [{"split": "test", "cases": 3}]}}, "need one 'train'"),
    ],
)
def test_wrong_description_says_file_and_field(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(_fields(**changes)))
    with pytest.raises(DescriptionError, match=rf"wrong\.yaml(?s:.*){message}"):
        load_description(path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("left kidney", "right kidney"),
        ("kidney_left", "kidney_right"),
        ("Kidney-LEFT", "kidney right"),
        ("Niere links", "Niere rechts"),
        ("lung_l", "lung_r"),
        ("left", "right"),
        ("upper left lobe", "upper right lobe"),
    ],
)
def test_sides_that_do_not_know_each_other_are_refused_where_a_flip_exchanges_them(one: str, other: str) -> None:
    def described(flip: float, **mirrors: str | None) -> DatasetDescription:
        names = (("one", one), ("other", other))
        classes = [
            {"id": number, "name": name} | ({"mirror": mirrors[which]} if mirrors else {})
            for number, (which, name) in enumerate(names, start=1)
        ]
        flips = {"augmentation": load_description("btcv").augmentation.model_dump() | {"flip": flip}}
        return DatasetDescription.model_validate(_fields(classes=classes, **flips))

    told = f"write {{id: 1, name: {one}, mirror: {other}}} and {{id: 2, name: {other}, mirror: {one}}}"
    with pytest.raises(ValueError, match=re.escape(told)):
        described(flip=0.1)
    assert described(flip=0.1, one=other, other=one).mirrored_ids == {1: 2, 2: 1}
    assert described(flip=0.1, one=None, other=None).mirrored_ids == {}, "said to be no pair"
    assert described(flip=0.0).mirrored_ids == {}


@pytest.mark.parametrize(
    "names", [("left kidney", "right adrenal gland"), ("cleft", "cright"), ("kidney", "right kidney")]
)
def test_names_that_differ_by_more_than_the_side_are_no_pair(names: tuple[str, str]) -> None:
    classes = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    assert not DatasetDescription.model_validate(_fields(classes=classes)).mirrored_ids


def test_annotated_classes_depend_on_the_case() -> None:
    changes = {"annotated": {"part_.*": ["liver", "spleen"]}}
    description = DatasetDescription.model_validate(_fields(**changes))
    assert description.annotated_ids("part_3") == (1, 6)
    assert description.annotated_ids("img0001") == tuple(range(1, 14))


def test_colour_of_an_unknown_organ_is_fixed() -> None:
    assert organ_colour("third eye") == organ_colour("Third_Eye") != organ_colour("second heart")
    assert organ_colour("right_kidney") == organ_colour("right kidney")
