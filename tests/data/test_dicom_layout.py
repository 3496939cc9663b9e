"""Datasets whose scans are DICOM series, and whose labels are NIfTI."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from dicom_factory import ct, ct_slices, magnetic_resonance, tilted, write_series, write_zip
from synthetic_scans import write_nifti

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
