"""Which scans are found in files, folders and zips, and that nothing is found twice or lost without a word."""

import gc
import os
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import ct, ct_slices, enhanced, localiser, magnetic_resonance, write_series, write_zip
from other_user import as_nobody, open_folder
from synthetic_scans import make_scan, touch, write_nifti

from autosam_inference.bedside.finding import RESULT, Finder, Findings, FoundScan
from autosam_inference.errors import UserError
from autosam_inference.scans.nifti import ScanError


def nifti(path: Path) -> Path:
    scan = make_scan()
    return write_nifti(path, scan.image_xyz, scan.affine)


def find(*places: Path) -> Findings:
    return Finder(Path("nowhere")).find(places)


def test_a_folder_holds_nifti_and_series_however_deep(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii.gz")
    nifti(tmp_path / "deep" / "er" / "B.NII")
    first, second = ct_slices(), ct_slices(ct(1), number=3)[:6]
    write_series(tmp_path / "study" / "one", first)
    write_series(tmp_path / "study" / "both", second[:3], prefix="x")
    write_series(tmp_path / "study" / "both" / "more", second[3:], prefix="y")
    write_series(tmp_path / "study" / "both", [*magnetic_resonance(), *localiser("1.2.3")], prefix="other")
    touch(tmp_path, "report.txt", ".hidden.nii.gz", "half.nii.gz.part", "done.flag")
    (tmp_path / "report.txt").write_text("liver")
    write_zip(tmp_path / "packed.zip", tmp_path / "study" / "one")
    found = find(tmp_path)
    named = {(each.path.relative_to(tmp_path).as_posix(), each.series, len(each.files)) for each in found.scans}
    assert named == {
        ("a.nii.gz", None, 0),
        ("deep/er/B.NII", None, 0),
        ("study/one", first[0].SeriesInstanceUID, 9),
        ("study/both", second[0].SeriesInstanceUID, 6),
        ("packed.zip", first[0].SeriesInstanceUID, 9),
    }
    assert not found.faults
    assert found.left_out == Counter({"MR image": 9, "file that is no scan": 1, "localiser": 1})


def test_a_series_is_read_from_its_own_files_alone(tmp_path: Path) -> None:
    """Two series in one folder: the other one's files are not opened again."""
    first, second = ct_slices(), ct_slices(ct(1))
    write_series(tmp_path, first, prefix="a")
    write_series(tmp_path, second, prefix="b")
    found = {each.series: each for each in find(tmp_path).scans}
    for slices, expected in ((first, ct()), (second, ct(1))):
        scan = found[slices[0].SeriesInstanceUID].read()
        np.testing.assert_array_equal(scan.volume.array_DHW, expected.image_xyz.transpose(2, 1, 0))
        assert scan.notes == ()


def test_a_file_of_a_series_stands_for_the_series(tmp_path: Path) -> None:
    first, second = ct_slices(), ct_slices(ct(1))
    write_series(tmp_path, first, prefix="a")
    write_series(tmp_path, second, prefix="b")
    (found,) = find(tmp_path / "b0002", tmp_path / "b0003").scans
    assert found.series == second[0].SeriesInstanceUID and len(found.files) == 9


def test_an_enhanced_image_is_a_series(tmp_path: Path) -> None:
    write_series(tmp_path, [enhanced(ct_slices())])
    (found,) = find(tmp_path).scans
    assert found.read().volume.array_DHW.shape == (9, 34, 37)


def test_results_are_no_scans(tmp_path: Path) -> None:
    nifti(tmp_path / "scan.nii.gz")
    nifti(tmp_path / "results" / "scan" / "scan.nii.gz")
    nifti(tmp_path / "older" / "scan" / "scan.nii.gz")
    touch(tmp_path, f"older/scan/scan{RESULT}")
    found = Finder(tmp_path / "results").find([tmp_path])
    assert [each.path for each in found.scans] == [tmp_path / "scan.nii.gz"]


def test_the_same_place_by_two_names_is_one_scan(tmp_path: Path) -> None:
    nifti(tmp_path / "in" / "scan.nii.gz")
    (tmp_path / "link").symlink_to(tmp_path / "in", target_is_directory=True)
    assert len(find(tmp_path / "in", tmp_path / "link", tmp_path / "in" / "scan.nii.gz").scans) == 1


def test_a_damaged_slice_spoils_the_series_beside_it_and_no_other(tmp_path: Path) -> None:
    """Which series it belongs to cannot be told any more; a volume without it would lack a slice and not say so."""
    write_series(tmp_path / "whole", ct_slices())
    folder = write_series(tmp_path / "broken", ct_slices(ct(1)))
    os.truncate(folder / "IM0008", 300)
    whole, broken = sorted(find(tmp_path).scans, key=lambda each: each.path.name, reverse=True)
    assert whole.read().volume.array_DHW.shape[0] == 9
    with pytest.raises(ScanError, match="IM0008 is a damaged DICOM file"):
        broken.read()


def test_what_holds_no_scan_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "empty/.keep", "text/notes.txt")
    (tmp_path / "text" / "notes.txt").write_text("notes")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    write_series(tmp_path / "mr", magnetic_resonance())
    packed = write_zip(tmp_path / "mr.zip", tmp_path / "mr")
    lonely = write_series(tmp_path / "lonely", ct_slices())
    for each in list(lonely.iterdir())[1:]:
        each.unlink()
    file = next(lonely.iterdir())
    os.truncate(file, 200)
    places = [tmp_path / "empty", tmp_path / "text", tmp_path / "broken.zip", tmp_path / "mr", packed, lonely]
    found = find(*places)
    assert not found.scans
    assert [place for place, _ in found.faults] == [*places[:5], file]
    reasons = [reason for _, reason in found.faults]
    assert "holds neither NIfTI nor a CT series" in reasons[0] and "cannot be read as a zip" in reasons[2]
    assert "damaged DICOM file" in reasons[5]


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444])
def test_a_folder_that_may_not_be_looked_into_is_said_and_hides_no_other(mode: int) -> None:
    """Such as lost+found of a disk; what lies in it may be slices of the series beside it."""
    with open_folder() as place:
        nifti(place / "scan.nii.gz")
        slices = ct_slices()
        write_series(place / "series", slices[:5])
        closed = write_series(place / "series" / "closed", slices[5:])
        assert len(find(place).scans) == 2  # and what is imported is there for nobody
        closed.chmod(mode)
        with as_nobody():
            found = find(place)
        closed.chmod(0o755)
    assert {each.path for each in found.scans} == {place / "scan.nii.gz", place / "series"}
    if mode == 0o444:  # their names can be listed, and nothing else
        assert {path.parent for path, _ in found.faults} == {closed} and len(found.faults) == 4
    else:
        assert found.faults == (
            (closed, f"{closed} cannot be listed: check its rights, or move it away from the scans."),
        )
        assert found.left_out == Counter(["folder that cannot be listed"])


def test_one_series_can_be_asked_for(tmp_path: Path) -> None:
    slices = ct_slices()
    write_series(tmp_path / "one", slices)
    write_series(tmp_path / "two", ct_slices(ct(1)))
    nifti(tmp_path / "scan.nii.gz")
    uid = str(slices[0].SeriesInstanceUID)
    assert [each.series for each in find(tmp_path).only(uid).scans] == [uid]
    with pytest.raises(UserError, match=r"no such CT series, but .*" + uid):
        find(tmp_path).only("1.2.3")


def test_content_is_the_bytes_whatever_files_are_called(tmp_path: Path) -> None:
    slices = ct_slices()
    write_series(tmp_path / "one", slices)
    write_series(tmp_path / "two", slices, shuffle=True, prefix="other")
    write_zip(tmp_path / "three.zip", tmp_path / "one")
    places = [tmp_path / "one", tmp_path / "two", tmp_path / "three.zip"]
    hashes = {each.content() for each in find(*places).scans}
    assert len(find(*places).scans) == 3 and len(hashes) == 1
    slices[4].PixelData = bytes(len(slices[4].PixelData))
    write_series(tmp_path / "one", slices)
    assert {each.content() for each in find(tmp_path / "one").scans} != hashes


def test_a_scan_that_is_gone_is_a_scan_error(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="cannot be read"):
        FoundScan(tmp_path / "gone.nii.gz").content()


def test_little_is_remembered_of_a_slice_and_nothing_of_one_that_is_gone(tmp_path: Path) -> None:
    """A watched folder may hold a million slices; pydicom's elements of one take 19 kB."""
    folder = write_series(tmp_path / "in", ct_slices())
    names = [each.name for each in folder.iterdir()]
    Finder(tmp_path).among(folder, names)  # what is loaded once is no memory of a file
    finder = Finder(tmp_path)
    tracemalloc.start()
    try:
        assert len(finder.among(folder, names).scans) == 1
        gc.collect()
        remembered, _ = tracemalloc.get_traced_memory()
        finder.forget_all_but(folder, names[:1])
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < remembered < 3000 * len(names)
    assert remembered - left > (remembered - 2000) / 2  # all but one of nine
