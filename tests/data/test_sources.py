"""Several folders as one dataset: ids, splits, patients, labels of each source, and what a wrong source is answered."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from several_sources import SOURCES, described, scan_of, with_source, write_sources
from synthetic_scans import touch, write_nifti

from autosam_inference.files import content_hash
from autosam_platform.data.cases import DatasetError
from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import DescriptionError, load_description
from autosam_platform.data.preparation import _fingerprint, decisive
from autosam_platform.data.prepared import CaseEntry
from autosam_platform.data.readers import survey
from autosam_platform.experiment import ConfigError, Experiment

PAIRS = ("kidneys_p1_a", "kidneys_p1_b", "kidneys_p2_a")
OURS = ("ours_img0001", "ours_img0002", "ours_img0003", "ours_img0004")


def test_ids_begin_with_the_source_and_all_cases_are_split_together(tmp_path: Path) -> None:
    found = survey(write_sources(tmp_path), None)
    assert [case.case_id for case in found.cases] == ["bare_x", *PAIRS, *OURS]
    splits = {case.case_id: case.splits for case in found.cases}
    assert splits.pop("bare_x") == ()
    # Spread evenly: ours 1, kidneys 1, ours 2, kidneys 2, ours 3, | kidneys 3, ours 4.
    assert {name for name, split in splits.items() if split == ("test",)} == {"kidneys_p2_a", "ours_img0004"}
    assert set(splits.values()) == {("train",), ("test",)}
    cases = {case.case_id: case for case in found.cases}
    assert cases["ours_img0001"].image == tmp_path / "scans/ours/imagesTr/img0001.nii.gz"
    assert cases["kidneys_p1_a"].label == tmp_path / "scans/kidneys/labels/p1_a.nii.gz"
    assert cases["bare_x"].label is None
    (left_out,) = found.left_out
    assert (left_out.name, left_out.reason) == (
        "bare/labels/x.nii.gz",
        "its source is without labels (labels: false)",
    )


def test_scans_without_labels_may_lie_in_a_folder_without_more(tmp_path: Path) -> None:
    write_sources(tmp_path)
    touch(tmp_path / "plain", "one.nii.gz", "two.nii.gz", "readme.txt")
    files = {"root": "plain", "files": {"image": "{id}"}}
    found = survey(described(tmp_path, sources=with_source(2, **files)), None)
    cases = [(case.case_id, case.label, case.splits) for case in found.cases if case.case_id.startswith("bare_")]
    assert cases == [("bare_one", None, ()), ("bare_two", None, ())]
    assert [each.name for each in found.left_out] == ["bare/readme.txt"]


def test_sources_without_a_root_lie_in_the_folder_that_is_named(tmp_path: Path) -> None:
    write_sources(tmp_path)
    moved = described(tmp_path, sources=[{**each, "root": None} for each in SOURCES])
    assert survey(moved, tmp_path / "scans").cases == survey(described(tmp_path), None).cases
    with pytest.raises(DatasetError, match=r"no folder is not a folder\. For ours of Three sources give the folder"):
        survey(moved, None)
    with pytest.raises(DatasetError, match=r"nowhere/ours is not a folder"):
        survey(moved, tmp_path / "nowhere")


def test_a_source_that_holds_no_case_is_named(tmp_path: Path) -> None:
    write_sources(tmp_path)
    elsewhere = described(tmp_path, sources=with_source(1, case_pattern="q.*"))
    with pytest.raises(DatasetError, match=r"kidneys holds no case of kidneys of Three sources.*with ids like q\.\*"):
        survey(elsewhere, None)


def test_patients_are_those_of_their_source(tmp_path: Path) -> None:
    folds = {"rule": "folds", "folds": 3}
    sources = [{"name": name, "root": name, "layout": "pairs", "patient_pattern": r"(p\d+)_.*"} for name in ("a", "b")]
    for name in ("a", "b"):
        for case in ("p1_x", "p1_y", "p2_x"):
            touch(tmp_path / name, f"images/{case}.nii.gz", f"labels/{case}.nii.gz")
    by_fold = []
    for fold in range(3):
        description = described(tmp_path, sources=sources, split=folds | {"fold": fold})
        cases = {case.case_id: case.splits for case in survey(description, None).cases}
        assert cases["a_p1_x"] == cases["a_p1_y"] and cases["b_p1_x"] == cases["b_p1_y"]
        by_fold.append(cases)
    assert any(cases["a_p1_x"] != cases["b_p1_x"] for cases in by_fold), "p1 of a is another patient than p1 of b"
    assert all([cases[name] for cases in by_fold].count(("test",)) == 1 for name in by_fold[0])


def test_folds_ask_for_patients_of_the_sources_that_tell_of_some(tmp_path: Path) -> None:
    write_sources(tmp_path)
    folds = {"rule": "folds", "folds": 3}
    assert survey(described(tmp_path, split=folds), None).cases, "of ours nothing is told"
    mistyped = with_source(1, patient_pattern=r"(P\d+)_.*")
    with pytest.raises(DatasetError, match=r"no patient is known of p1_a, p1_b, p2_a in .*kidneys, and folds"):
        survey(described(tmp_path, split=folds, sources=mistyped), None)
    assert (
        "kidneys: no patient is known of p1_a, p1_b, p2_a"
        in survey(described(tmp_path, sources=mistyped), None).notes[0]
    )
    bare = with_source(2, patient_pattern="(P)")
    assert survey(described(tmp_path, split=folds, sources=bare), None).cases, "it is in no fold"


def test_each_source_has_its_own_ids_and_what_it_does_not_annotate_is_background(tmp_path: Path) -> None:
    description = write_sources(tmp_path)
    labels = {}
    for case in survey(description, None).cases:
        checked = load_checked(case, description)
        assert checked.verdict.status != "rejected", checked.verdict
        labels[case.case_id] = checked.label_DHW
    assert labels["bare_x"] is None
    ours, kidneys = scan_of(1).label_xyz.T, scan_of(5).label_xyz.T
    assert {*np.unique(ours)} == {*np.unique(kidneys)} == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(labels["ours_img0001"], np.where(ours > 2, 0, ours))
    np.testing.assert_array_equal(labels["kidneys_p1_a"], np.where(kidneys == 2, 0, kidneys))
    assert description.annotated_ids("ours_img0001") == (1, 2)
    assert description.annotated_ids("kidneys_p1_a") == (1, 3, 4)


def test_an_id_that_only_another_source_has_is_refused(tmp_path: Path) -> None:
    description = write_sources(tmp_path)
    scan = scan_of(1)
    write_nifti(
        tmp_path / "scans/ours/labelsTr/label0001.nii.gz", 7 * (scan.label_xyz > 0), scan.affine, dtype=np.uint8
    )
    case = survey(description, None).cases[4]
    (reason,) = load_checked(case, description).verdict.reasons
    assert case.case_id == "ours_img0001" and "holds label ids [7]" in reason


def test_masks_of_what_a_source_does_not_annotate_are_not_read(tmp_path: Path) -> None:
    source = {
        "name": "masks",
        "root": ".",
        "layout": "pairs",
        "files": {"image": "{id}/ct", "label": "{id}/{organ}"},
        "mask_names": {"milz": "spleen", "leber": "liver"},
        "annotates": ["spleen"],
    }
    scan = scan_of(1)
    write_nifti(tmp_path / "s1" / "ct.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    for value, organ in ((1, "leber"), (2, "milz")):
        write_nifti(tmp_path / "s1" / f"{organ}.nii.gz", scan.label_xyz == value, scan.affine, dtype=np.uint8)
    description = described(tmp_path, sources=[source])
    (case,) = survey(description, None).cases
    assert [organ for organ, _ in case.masks] == ["milz"]
    label_DHW = load_checked(case, description).label_DHW
    np.testing.assert_array_equal(label_DHW, 2 * (scan.label_xyz.T == 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": []}, "either layout or sources is needed"),
        ({"layout": "pairs"}, "layout goes into each of the sources"),
        ({"annotated": {".*": ["liver"]}, "case_pattern": "a.*"}, "annotated, case_pattern goes into each"),
        ({"sources": with_source(0, name="kidneys")}, "an id must tell its source"),
        ({"sources": with_source(0, name="kidneys_ct")}, "an id must tell its source"),
        ({"sources": [SOURCES[2]]}, "nothing to train on"),
        ({"sources": with_source(0, annotates=["lever"])}, "source ours annotates .'lever'.: name known classes"),
        ({"sources": with_source(0, annotates=[])}, "source ours annotates no class"),
        ({"sources": with_source(1, label_ids={5: "lever"})}, "source kidneys: label_ids names unknown.*lever"),
        ({"sources": with_source(1, patient_pattern="(")}, "source kidneys: .*not a regular expression"),
        ({"sources": with_source(1, patients="../p.csv")}, "source kidneys: patients.*without '..'"),
        ({"sources": with_source(0, mask_names={"x": "liver"})}, "source ours: mask_names needs {organ}"),
        ({"sources": with_source(1, files={"image": "{id}"})}, "sources.1: files needs the pattern of a label"),
        ({"sources": with_source(0, layout="nnunet")}, "sources.0.layout"),
        ({"split": {"rule": "by_list", "lists": {"training": "train"}}}, "needs 'layout: decathlon'"),
    ],
)
def test_a_wrong_source_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DescriptionError, match=rf"together\.yaml(?s:.*){message}"):
        described(tmp_path, **changes)


def test_sources_may_extend_a_description_that_comes_with_a_layout(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("extends: amos\nname: ours\nsources:\n  - {name: a, root: ~/a, layout: decathlon}\n")
    description = load_description(path)
    assert (description.layout, description.case_pattern) == (None, ".*")
    assert description.sources[0].root == Path.home() / "a"
    assert len(description.classes) == 15 and description.split.rule == "by_list"


def test_where_scans_lie_is_not_in_what_is_recorded(tmp_path: Path) -> None:
    recorded = described(tmp_path).model_dump(mode="json")
    assert "root" not in recorded["sources"][0] and str(tmp_path) not in str(recorded)
    other = described(tmp_path, sources=with_source(0, root="/elsewhere"))
    assert other.model_dump(mode="json") == recorded


_ENTRIES = (CaseEntry(case_id="a", splits=("train",), content="c", status="ok", reasons=()),)


@pytest.mark.parametrize(
    ("name", "whole", "fingerprint"),
    [
        ("amos", "bc8d27cfd33bb509", "a9d832907c623b61"),
        ("btcv", "e95407fd04b2b223", "123fef20c1bd5eca"),
        ("ct_org", "4815a2762e3ccf99", "98c68a7096edf25b"),
        ("pelvic", "444585f0d8ac7e8f", "d007e7be74ebbc82"),
        ("phantom", "ea16a66911e5e5bf", "ab646bc20990b963"),
    ],
)
def test_descriptions_without_sources_keep_their_hashes(name: str, whole: str, fingerprint: str) -> None:
    description = load_description(name)
    told = {key: value for key, value in description.model_dump(mode="json").items() if key != "licence"}
    assert content_hash(told) == whole
    assert _fingerprint(description, (1.0, 1.0, 2.0), _ENTRIES) == fingerprint


def test_a_case_is_decided_by_its_source_alone(tmp_path: Path) -> None:
    def decided(case_id: str, **changes: object) -> str:
        return content_hash(decisive(described(tmp_path, **changes).for_case(case_id), (1.0, 1.0, 2.0)))

    other_ids = {"sources": with_source(1, label_ids={5: "liver", 7: "left kidney", 8: "right kidney", 9: None})}
    assert decided("kidneys_a", **other_ids) != decided("kidneys_a")
    assert decided("ours_a", **other_ids) == decided("ours_a")
    fewer = {"sources": with_source(0, annotates=["liver"])}
    assert decided("ours_a", **fewer) != decided("ours_a")
    assert decided("kidneys_a", **fewer) == decided("kidneys_a")
    alone = load_description("pelvic").model_copy(
        update={"classes": described(tmp_path).classes, "hu_window": (-125, 275)}
    )
    assert decided("bare_a") == content_hash(decisive(alone, (1.0, 1.0, 2.0))), "a source with nothing of its own"


def test_the_fingerprint_holds_what_the_sources_annotate_and_not_where_they_lie(tmp_path: Path) -> None:
    def fingerprint(**changes: object) -> str:
        return _fingerprint(described(tmp_path, **changes), (1.0, 1.0, 2.0), _ENTRIES)

    assert fingerprint(sources=with_source(0, annotates=["liver"])) != fingerprint()
    assert fingerprint(sources=with_source(0, root="/elsewhere", layout="pairs")) == fingerprint()


def test_a_root_is_asked_for_unless_there_are_sources(tmp_path: Path) -> None:
    described(tmp_path)
    Experiment.model_validate({"dataset": {"name": str(tmp_path / "together.yaml")}}).require_files()
    (tmp_path / "alone.yaml").write_text("extends: btcv\nname: alone\n")
    with pytest.raises(ConfigError, match=r"alone\.yaml' needs the folder of its scans: add --dataset\.root FOLDER"):
        Experiment.model_validate({"dataset": {"name": str(tmp_path / "alone.yaml")}}).require_files()
