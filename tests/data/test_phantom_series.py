"""A phantom as a DICOM series is the phantom: read back by what reads every scan, and checked by dicom3tools."""

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from autosam_inference import read_scan
from autosam_platform.data.phantom import Part, make_phantom
from autosam_platform.data.phantom.series import SeriesPlaceError, write_series

SEED = 3


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "series"
    assert write_series(folder, SEED, Part.PELVIS) == len(list(folder.iterdir()))
    return folder


def test_the_series_is_the_phantom(series: Path) -> None:
    phantom, scan = make_phantom(SEED, part=Part.PELVIS), read_scan(series)
    expected = nib.as_closest_canonical(nib.Nifti1Image(phantom.image_xyz, phantom.affine))
    np.testing.assert_array_equal(scan.volume.array_DHW, np.asarray(expected.dataobj).transpose(2, 1, 0))
    np.testing.assert_allclose(scan.grid.canonical_affine, expected.affine, atol=1e-5)
    assert not scan.notes


def test_it_is_found_when_written_again(series: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in series.iterdir()}
    write_series(series, SEED, Part.PELVIS)
    assert {path: path.stat().st_mtime_ns for path in series.iterdir()} == before


def test_what_lies_there_is_left_alone(series: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SeriesPlaceError, match=f"{tmp_path} is there already"):
        write_series(tmp_path, SEED)
    with pytest.raises(SeriesPlaceError, match="not the pelvis of phantom 4"):
        write_series(series, 4, Part.PELVIS)
    with pytest.raises(SeriesPlaceError, match="not the abdomen of phantom 3"):
        write_series(series, SEED)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dicom3tools_finds_no_fault(series: Path) -> None:
    done = subprocess.run(["dciodvfy", str(series / "slice-0001.dcm")], capture_output=True, text=True, check=False)
    assert "Error" not in done.stderr and "CTImage" in done.stderr
