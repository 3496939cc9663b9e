"""Folders that hold several series: which there are, and whose fault a damaged file is."""

from pathlib import Path

import pytest
from dicom_factory import ct, ct_slices, magnetic_resonance, tilted, write_series, write_zip
from other_user import as_nobody, open_folder
from synthetic_scans import write_nifti

from autosam_inference.bedside.finding import Finder
from autosam_inference.scans.dicom import ct_series
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import check_scan, read_scan


def _two_series(folder: Path) -> tuple[str, str]:
    """A series of nine slices (A…) and one of six (B…), and their UIDs."""
    long, short = ct_slices(), ct_slices(ct(1), number=3)[:6]
    write_series(folder, long, prefix="A")
    write_series(folder, short, prefix="B")
    return long[0].SeriesInstanceUID, short[0].SeriesInstanceUID


def _shortened(file: Path, left: int = 900) -> None:
    """Behind the series' UID, before the size of the image."""
    file.write_bytes(file.read_bytes()[:left])


def test_a_damaged_file_is_no_fault_of_another_series(tmp_path: Path) -> None:
    long, short = _two_series(tmp_path)
    _shortened(tmp_path / "B0005")
    for series in (None, long):
        scan = read_scan(tmp_path, series=series)
        assert scan.series is not None and scan.series.uid == long and len(scan.volume.array_DHW) == 9
        assert "1 × damaged file of other series: left out." in scan.notes
    with pytest.raises(ScanError, match=r"B0005 is a damaged DICOM file"):
        read_scan(tmp_path, series=short)
    with pytest.raises(ScanError, match=r"B0005 is a damaged DICOM file"):
        read_scan(tmp_path / "B0005")
    _shortened(tmp_path / "A0008")
    with pytest.raises(ScanError, match=r"A0008 is a damaged DICOM file"):
        read_scan(tmp_path)


def test_a_damaged_file_of_no_known_series_is_said_to_be_perhaps_a_slice(tmp_path: Path) -> None:
    _, short = _two_series(tmp_path)
    _shortened(tmp_path / "A0000", 200)
    scan = read_scan(tmp_path, series=short)
    assert any("1 × damaged file whose series is not known" in note for note in scan.notes)
    assert any("its first or last slice is missing" in note for note in scan.notes)


def test_a_series_of_damaged_files_alone_is_no_other_one(tmp_path: Path) -> None:
    _, short = _two_series(tmp_path)
    for file in tmp_path.glob("B*"):
        _shortened(file)
    with pytest.raises(ScanError, match=r"B0000 is a damaged DICOM file"):
        read_scan(tmp_path, series=short)


@pytest.mark.parametrize("mode", [0o000, 0o111])
def test_a_study_with_a_folder_that_cannot_be_listed_is_refused(mode: int) -> None:
    """The last slices may lie in it, whose loss leaves no gap."""
    slices = ct_slices()
    with open_folder() as place:
        write_series(place, slices[:5])
        closed = write_series(place / "closed", slices[5:])
        assert len(read_scan(place).volume.array_DHW) == 9
        closed.chmod(mode)
        with as_nobody(), pytest.raises(ScanError, match="closed cannot be listed: check its rights"):
            read_scan(place)
        closed.chmod(0o755)


def test_the_ct_series_of_a_study_come_in_the_order_in_which_they_are_preferred(tmp_path: Path) -> None:
    long, short = _two_series(tmp_path)
    write_series(tmp_path, magnetic_resonance(), prefix="MR")
    found = ct_series(write_zip(tmp_path / "study.zip", tmp_path))
    assert [(each.uid, each.slices, each.number) for each in found] == [(long, 9, 2), (short, 6, 3)]
    with pytest.raises(ScanError, match="holds no CT series"):
        ct_series(write_series(tmp_path / "mr", magnetic_resonance()))


def test_images_that_the_headers_tell_of_and_that_are_not_there_are_said_once(tmp_path: Path) -> None:
    """The last slices leave no gap."""
    slices = ct_slices()
    for each in slices:
        each.ImagesInAcquisition = 9
    folder = write_series(tmp_path / "study", slices[:6])
    (note,) = read_scan(folder).notes
    assert note == f"{folder}: WARNING: its headers tell of 3 more images than are there: is it whole?"
    (found,) = Finder(tmp_path / "results").find([folder]).scans
    assert found.missing == 3 and found.read().notes == (note,)
    assert read_scan(write_series(folder, slices)).notes == ()


def test_headers_alone_tell_whether_a_scan_can_be_read(tmp_path: Path) -> None:
    straight, leaning = ct_slices(), tilted(ct_slices(ct(1)), 15)
    write_series(tmp_path, [*straight, *leaning])
    check_scan(tmp_path, series=straight[0].SeriesInstanceUID)
    check_scan(tmp_path, series=leaning[0].SeriesInstanceUID, straighten=True)
    with pytest.raises(ScanError, match="tilted by 15"):
        check_scan(tmp_path, series=leaning[0].SeriesInstanceUID)
    scan = ct()
    nifti = write_nifti(tmp_path / "ct.nii.gz", scan.image_xyz, scan.affine)
    check_scan(nifti)
    with pytest.raises(ScanError, match="is no DICOM, which alone has series"):
        check_scan(nifti, straighten=True)
