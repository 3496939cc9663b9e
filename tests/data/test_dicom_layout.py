"""Datasets whose scans are DICOM series, and whose labels are NIfTI or DICOM SEG."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from dicom_factory import ct, ct_slices, magnetic_resonance, moved, rotation, tilted, write_series, write_zip
from small_cards import small_card
from synthetic_scans import write_nifti

from autosam_inference import read_scan, write_dicom_seg
from autosam_inference.prediction import Prediction
from autosam_inference.scans.dicom_seg import Kind
from autosam_platform.data.cases import DatasetError
from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import DatasetDescription, DescriptionError, load_description
from autosam_platform.data.readers import survey

DESCRIPTION = {"extends": "btcv", "name": "ours", "title": "Ours", "layout": "dicom"}
EVERY_CASE = {"split": {"rule": "every_case", "splits": ["train", "test"]}}


def _description(folder: Path, **changes: object) -> DatasetDescription:
    path = folder / "ours.yaml"
    path.write_text(yaml.safe_dump(DESCRIPTION | EVERY_CASE | changes))
    return load_description(path)


def _label(path: Path, seed: int, codes: str = "RAS") -> None:
    write_nifti(path, ct(seed).label_xyz, ct(seed).affine, codes)


def test_a_folder_a_case_with_its_label_in_it(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for seed in (1, 2):
        folder = write_series(root / f"case{seed}", ct_slices(ct(seed)), shuffle=True)
        _label(folder / "segmentation.nii.gz", seed)
    write_series(root / "unlabelled" / "deeper", ct_slices())
    description = _description(tmp_path)
    found = survey(description, root)
    assert [each.case_id for each in found.cases] == ["case1", "case2", "unlabelled"]
    assert found.left_out == []
    for seed, case in zip((1, 2), found.cases, strict=False):
        checked = load_checked(case, description)
        assert all("stored RAS, its image LPS: reordered" in each for each in checked.verdict.reasons)
        assert checked.scan is not None and checked.label_DHW is not None
        np.testing.assert_array_equal(checked.scan.volume.array_DHW, ct(seed).image_xyz.transpose(2, 1, 0))
        np.testing.assert_array_equal(checked.label_DHW, ct(seed).label_xyz.transpose(2, 1, 0))
    (reason,) = load_checked(found.cases[2], description).verdict.reasons
    assert "unlabelled has no label" in reason and "segmentation.nii.gz is missing" in reason


def test_folders_and_zips_of_images_beside_a_folder_of_labels(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_series(root / "images" / "a", ct_slices(ct(1)))
    write_zip(root / "images" / "b.zip", write_series(tmp_path / "b", ct_slices(ct(2))))
    write_series(root / "images" / "c", tilted(ct_slices(ct(3)), 15))
    write_series(root / "images" / "d", magnetic_resonance())
    (root / "images" / "notes.txt").write_text("of nothing")
    for seed, name in enumerate("abcd", start=1):
        _label(root / "labels" / f"{name}.nii.gz", seed, "LPS")
    description = _description(tmp_path)
    found = survey(description, root)
    assert [each.case_id for each in found.cases] == ["a", "b", "c", "d"]
    assert [each.name for each in found.left_out] == ["images/notes.txt"]
    verdicts = [load_checked(case, description).verdict for case in found.cases]
    assert [each.status for each in verdicts] == ["ok", "ok", "rejected", "rejected"]
    assert "tilted by 15.0°" in verdicts[2].reasons[0] and "9 × MR image" in verdicts[3].reasons[0]


def test_a_series_that_lacks_images_by_its_headers_is_said_to(tmp_path: Path) -> None:
    slices = ct_slices()
    for each in slices:
        each.ImagesInAcquisition = 12
    write_series(tmp_path / "data" / "case1", slices)
    _label(tmp_path / "data" / "case1" / "segmentation.nii.gz", 0, "LPS")
    description = _description(tmp_path)
    (case,) = survey(description, tmp_path / "data").cases
    verdict = load_checked(case, description).verdict
    assert verdict.status == "fixed", verdict
    assert "WARNING: its headers tell of 3 more images than are there" in verdict.reasons[0]


def test_what_a_case_is_made_from_is_every_file_of_its_folder(tmp_path: Path) -> None:
    root = tmp_path / "data"
    folder = write_series(root / "case1", ct_slices())
    _label(root / "case1" / "segmentation.nii.gz", 0)
    (case,) = survey(_description(tmp_path), root).cases
    files = sorted(folder.iterdir())
    assert case.hashed == [*files, root / "case1" / "segmentation.nii.gz"] and len(files) == 10


def test_a_dataset_without_such_folders_is_told_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "data" / "empty").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"expected images/\* and labels/\*\.nii\.gz or \* and \*/segmentation\.nii"):
        survey(_description(tmp_path), tmp_path / "data")


def _drawn(path: Path, source: Path, kind: Kind, names: dict[int, str] | None = None) -> None:
    """A DICOM SEG of the factory's labels, as another tool might number and name them."""
    classes = load_description("btcv").classes
    card = small_card(
        tuple(each.model_copy(update={"name": (names or {}).get(each.id, each.name)}) for each in classes)
    )
    scan = read_scan(source)
    label_DHW = ct().label_xyz.transpose(2, 1, 0)
    write_dicom_seg(Prediction(scan, label_DHW, card, {}), path, kind)


@pytest.mark.parametrize("kind", ["labelmap", "binary"])
@pytest.mark.parametrize("codes", ["LPS", "LPI", "PIR"])
def test_labels_may_be_dicom_seg(tmp_path: Path, kind: Kind, codes: str) -> None:
    folder = write_series(tmp_path / "data" / "case1", ct_slices(codes=codes, turn=rotation(11, 1)))
    _drawn(folder / "segmentation.dcm", folder, kind)
    description = _description(tmp_path)
    found = survey(description, tmp_path / "data")
    (case,) = found.cases
    assert case.label == folder / "segmentation.dcm" and found.left_out == []
    checked = load_checked(case, description)
    assert checked.verdict.status == "ok", checked.verdict.reasons
    assert checked.label_DHW is not None and checked.label_DHW.dtype == np.uint8
    np.testing.assert_array_equal(checked.label_DHW, ct().label_xyz.transpose(2, 1, 0))


@pytest.mark.parametrize("kind", ["labelmap", "binary"])
def test_segments_are_classes_by_their_labels_and_not_by_their_numbers(tmp_path: Path, kind: Kind) -> None:
    """Numbered as here, named as there: the file's liver is number 1."""
    folder = write_series(tmp_path / "data" / "case1", ct_slices())
    _drawn(folder / "segmentation.dcm", folder, kind, {1: "Liver", 6: "Milz", 2: "Something else"})
    (case,) = survey(_description(tmp_path), tmp_path / "data").cases
    (reason,) = load_checked(case, _description(tmp_path)).verdict.reasons
    assert "has no segment for spleen, right kidney (it has Liver, Something else, left kidney" in reason
    described = _description(tmp_path, mask_names={"milz": "spleen"}, annotated={".*": _all_but("right kidney")})
    checked = load_checked(case, described)
    assert checked.label_DHW is not None
    assert "segments that are no class of ours are background: Something else" in checked.verdict.reasons[0]
    truth = ct().label_xyz.transpose(2, 1, 0)
    for here, there in ((6, 1), (1, 6), (0, 2), (3, 3)):
        assert (checked.label_DHW[truth == there] == here).all()


def _all_but(organ: str) -> list[str]:
    return [each.name for each in load_description("btcv").classes if each.name != organ]


def test_what_is_no_truth_of_this_scan_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "data" / "case1", ct_slices())
    other = write_series(tmp_path / "other", moved(ct_slices(), lambda place: (0, 0, 1.0)))
    _drawn(folder / "segmentation.dcm", other, "labelmap")
    description = _description(tmp_path)
    (case,) = survey(description, tmp_path / "data").cases
    assert "does not lie on the slices of its scan" in load_checked(case, description).verdict.reasons[0]
    (folder / "segmentation.dcm").write_bytes((folder / "IM0003").read_bytes())
    assert "holds no segmentation in whole voxels (CT)" in load_checked(case, description).verdict.reasons[0]
    _drawn(tmp_path / "whole.dcm", write_series(tmp_path / "again", ct_slices()), "labelmap")
    (folder / "segmentation.dcm").write_bytes((tmp_path / "whole.dcm").read_bytes()[:-3000])
    assert "damaged DICOM SEG" in load_checked(case, description).verdict.reasons[0]


def test_places_of_ones_own(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_series(root / "p1" / "CT", ct_slices())
    _label(root / "p1" / "truth.nii.gz", 0, "LPS")
    description = _description(tmp_path, files={"image": "{id}/CT", "label": "{id}/truth"})
    found = survey(description, root)
    assert [each.case_id for each in found.cases] == ["p1"] and found.left_out == []
    assert load_checked(found.cases[0], description).verdict.status == "ok"
    with pytest.raises(DescriptionError, match="goes with 'layout: pairs' or 'layout: dicom' only"):
        _description(tmp_path, layout="btcv", files={"image": "{id}/CT", "label": "{id}/truth"})
