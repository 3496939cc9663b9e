"""Label maps with ids of their own, and masks of one organ each: what they come to, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_scans import Scan, make_scan, write_nifti

from autosam_platform.data.checks import CheckedCase, load_checked
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.readers import find_cases

PELVIC = load_description("pelvic").model_dump(mode="json")  # 1 prostate, 2 bladder, 3 rectum
SCAN = make_scan(num_classes=4)
SHIFTED = np.array([[1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ SCAN.affine  # by 5 mm
FILES = {"image": "{id}/ct", "label": "{id}/segmentations/{organ}"}
FILE_NAMES = {1: "prostate", 2: "urinary_bladder", 3: "Rec-tum"}


def _description(**changes: object) -> DatasetDescription:
    return DatasetDescription.model_validate(PELVIC | changes)


def _masks(**changes: object) -> DatasetDescription:
    return _description(**{"files": FILES, "mask_names": {"urinary_bladder": "bladder"}} | changes)


def _checked(description: DatasetDescription, root: Path) -> CheckedCase:
    (case,) = find_cases(description, root)
    return load_checked(case, description)


def _with_label_map(root: Path, label_xyz: np.ndarray) -> Path:
    write_nifti(root / "images/a.nii.gz", SCAN.image_xyz, SCAN.affine, dtype=np.int16)
    write_nifti(root / "labels/a.nii.gz", label_xyz, SCAN.affine)
    return root


def _with_masks(root: Path, change: Callable[[dict[int, np.ndarray]], None] = lambda masks: None) -> Path:
    write_nifti(root / "s1/ct.nii.gz", SCAN.image_xyz, SCAN.affine, dtype=np.int16)
    masks = {value: (SCAN.label_xyz == value).astype(np.uint8) for value in FILE_NAMES}
    change(masks)
    for value, mask in masks.items():
        write_nifti(root / f"s1/segmentations/{FILE_NAMES[value]}.nii.gz", mask, SCAN.affine)
    return root


def _renumbered(scan: Scan, ids: dict[int, int]) -> np.ndarray:
    return np.vectorize(lambda value: ids.get(value, value), otypes=[np.int16])(scan.label_xyz)


def test_ids_of_the_file_become_ids_of_the_classes(tmp_path: Path) -> None:
    _with_label_map(tmp_path, _renumbered(SCAN, {1: 100, 2: 7, 3: -3}))
    checked = _checked(_description(label_ids={7: "bladder", -3: "rectum", 100: "prostate"}), tmp_path)
    assert checked.verdict.status == "ok" and checked.label_DHW is not None
    np.testing.assert_array_equal(checked.label_DHW, SCAN.label_xyz.transpose(2, 1, 0))


def test_ids_may_be_exchanged_joined_and_left_out(tmp_path: Path) -> None:
    _with_label_map(tmp_path, SCAN.label_xyz)
    label_DHW = _checked(_description(label_ids={1: "bladder", 2: "bladder", 3: None}), tmp_path).label_DHW
    assert label_DHW is not None
    expected = np.isin(SCAN.label_xyz, (1, 2)).transpose(2, 1, 0) * 2
    np.testing.assert_array_equal(label_DHW, expected)


def test_ids_that_label_ids_does_not_name_are_refused(tmp_path: Path) -> None:
    _with_label_map(tmp_path, _renumbered(SCAN, {3: 200}))
    (reason,) = _checked(_description(label_ids={1: "prostate", 2: "bladder", 3: "rectum"}), tmp_path).verdict.reasons
    assert "labels/a.nii.gz holds label ids [200], which label_ids of pelvic does not name" in reason
    assert "with null for background" in reason
    ignored = _description(label_ids={1: "prostate", 2: "bladder"}, ignored_labels={200: "bone"})
    label_DHW = _checked(ignored, tmp_path).label_DHW
    assert label_DHW is not None and np.unique(label_DHW).tolist() == [0, 1, 2]


def test_a_mask_of_0_and_255_is_refused_unless_the_description_says_so(tmp_path: Path) -> None:
    _with_label_map(tmp_path, (SCAN.label_xyz > 0).astype(np.uint8) * 255)
    (reason,) = _checked(_description(), tmp_path).verdict.reasons
    assert "holds label ids [255], which pelvic does not have" in reason and "label_ids" in reason
    one_class = _description(classes=[{"id": 1, "name": "pelvis"}], label_ids={255: "pelvis"})
    label_DHW = _checked(one_class, tmp_path).label_DHW
    assert label_DHW is not None
    np.testing.assert_array_equal(label_DHW, (SCAN.label_xyz > 0).transpose(2, 1, 0))


@pytest.mark.parametrize("value", [1, 255])
def test_masks_become_one_label_map(tmp_path: Path, value: int) -> None:
    def scale(masks: dict[int, np.ndarray]) -> None:
        masks.update({organ: mask * value for organ, mask in masks.items()})

    checked = _checked(_masks(), _with_masks(tmp_path, scale))
    assert checked.verdict.status == "ok", checked.verdict
    assert checked.label_DHW is not None and checked.label_DHW.dtype == np.uint8
    np.testing.assert_array_equal(checked.label_DHW, SCAN.label_xyz.transpose(2, 1, 0))


def test_where_masks_overlap_the_earlier_class_counts_and_it_is_said(tmp_path: Path) -> None:
    def overlap(masks: dict[int, np.ndarray]) -> None:
        masks[1][:] = masks[2][:] = masks[3][:] = 0
        masks[1][0:4, 0, 0] = 1  # prostate      1 1 1 1 . . . .
        masks[2][2:6, 0, 0] = 1  # bladder       . . 2 2 2 2 . .
        masks[3][3:8, 0, 0] = 1  # rectum        . . . 3 3 3 3 3

    checked = _checked(_masks(), _with_masks(tmp_path, overlap))
    assert checked.label_DHW is not None
    assert checked.label_DHW[0, 0, :9].tolist() == [1, 1, 1, 1, 2, 2, 3, 3, 0]
    (note,) = checked.verdict.reasons
    assert checked.verdict.status == "fixed"
    assert note == (
        "5 voxels are in masks of two organs; the first of the classes counts: prostate over bladder 2, prostate over "
        "rectum 1, bladder over rectum 2."
    )


def test_several_masks_of_one_class_are_joined(tmp_path: Path) -> None:
    _with_masks(tmp_path)
    names = {"prostate": "bladder", "urinary_bladder": "bladder", "Rec-tum": "bladder"}
    description = _masks(mask_names=names, annotated={".*": ["bladder"]})
    checked = _checked(description, tmp_path)
    assert checked.verdict.status == "ok" and checked.label_DHW is not None
    np.testing.assert_array_equal(checked.label_DHW, (SCAN.label_xyz > 0).transpose(2, 1, 0) * 2)


def test_an_empty_mask_is_an_organ_that_is_not_there(tmp_path: Path) -> None:
    label_DHW = _checked(_masks(), _with_masks(tmp_path, lambda masks: masks[2].fill(0))).label_DHW
    assert label_DHW is not None and np.unique(label_DHW).tolist() == [0, 1, 3]


def test_a_mask_that_is_missing_is_refused_unless_the_case_does_not_annotate_it(tmp_path: Path) -> None:
    _with_masks(tmp_path)
    (tmp_path / "s1/segmentations/urinary_bladder.nii.gz").unlink()
    (reason,) = _checked(_masks(), tmp_path).verdict.reasons
    assert "s1/segmentations lacks the masks of bladder (urinary_bladder)" in reason and "'annotated'" in reason
    checked = _checked(_masks(annotated={"s1": ["prostate", "rectum"]}), tmp_path)
    assert checked.verdict.status == "ok"


def test_what_a_case_is_said_not_to_annotate_is_background_and_told(tmp_path: Path) -> None:
    """Trained on as it is, it would cost more than all else: the loss gives such a class no probability."""
    description = _description(annotated={"a": ["prostate", "rectum"]})
    checked = _checked(description, _with_label_map(tmp_path, SCAN.label_xyz))
    (note,) = checked.verdict.reasons
    bladder = int((SCAN.label_xyz == 2).sum())
    assert checked.verdict.status == "fixed" and bladder > 0
    assert f"labels/a.nii.gz holds what the case is said not to annotate: bladder ({bladder} voxels)" in note
    expected = np.where(SCAN.label_xyz == 2, 0, SCAN.label_xyz)
    assert checked.label_DHW is not None
    np.testing.assert_array_equal(checked.label_DHW, expected.transpose(2, 1, 0))
    alone = _checked(description, _with_label_map(tmp_path, np.where(SCAN.label_xyz == 2, SCAN.label_xyz, 0)))
    assert alone.verdict.status == "rejected" and "holds no organ at all" in alone.verdict.reasons[0]


def test_a_case_without_any_mask_has_no_label(tmp_path: Path) -> None:
    write_nifti(tmp_path / "s1/ct.nii.gz", SCAN.image_xyz, SCAN.affine, dtype=np.int16)
    (reason,) = _checked(_masks(), tmp_path).verdict.reasons
    assert "s1/ct.nii.gz has no label" in reason and "s1/segmentations/*.nii.gz is missing; add it" in reason


def test_masks_without_their_image_are_named(tmp_path: Path) -> None:
    _with_masks(tmp_path)
    (tmp_path / "s1/ct.nii.gz").unlink()
    (reason,) = _checked(_masks(), tmp_path).verdict.reasons
    assert "has no image" in reason and "s1/ct.nii.gz is missing; add it or remove the label" in reason


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda path: write_nifti(path, SCAN.label_xyz, SCAN.affine),
            "holds values from 1 to 3 beside 0: a mask of one",
        ),
        (lambda path: write_nifti(path, SCAN.label_xyz[1:], SCAN.affine), "they are not of one scan"),
        (lambda path: write_nifti(path, SCAN.label_xyz * 0.5, SCAN.affine, dtype=np.float32), "no whole numbers"),
        (
            lambda path: write_nifti(path, SCAN.label_xyz > 0, SHIFTED, dtype=np.uint8),
            "lies elsewhere",
        ),
        (lambda path: path.write_bytes(path.read_bytes()[:90]), "urinary_bladder"),
    ],
    ids=["label map", "other shape", "fractions", "elsewhere", "truncated"],
)
def test_each_mask_is_checked_as_a_label_map_is(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    path = _with_masks(tmp_path) / "s1/segmentations/urinary_bladder.nii.gz"
    write(path)
    verdict = _checked(_masks(), tmp_path).verdict
    assert verdict.status == "rejected"
    assert str(path) in verdict.reasons[0] and message in verdict.reasons[0]


def test_a_link_that_leads_nowhere_says_how_to_fetch_its_file(tmp_path: Path) -> None:
    _with_label_map(tmp_path, SCAN.label_xyz)
    label = tmp_path / "labels/a.nii.gz"
    label.unlink()
    label.symlink_to("../.git/annex/objects/SHA256E-s83.nii.gz")
    (reason,) = _checked(_description(), tmp_path).verdict.reasons
    assert "labels/a.nii.gz is a link to ../.git/annex/objects/SHA256E-s83.nii.gz, which is not there" in reason
    assert "git annex get" in reason
