"""DICOM as other people's tools write and read it: OFFIS's dcmtk, and David Clunie's dciodvfy."""

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import centroids_lps, ct, ct_slices, rotation, write_series
from patience import HANG_S
from small_cards import small_card

from autosam_inference import write_dicom_seg
from autosam_inference.prediction import Prediction
from autosam_inference.scans.dicom_seg import Kind
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import read_scan
from autosam_platform.data.description import load_description

CARD = small_card(load_description("btcv").classes)
with_dcmtk = pytest.mark.skipif(
    shutil.which("dcm2xml") is None,
    reason="dcmtk is not installed (apt-get install dcmtk)",
)
with_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (apt-get install dicom3tools)"
)


def _run(*words: str | Path) -> str:
    done = subprocess.run([str(each) for each in words], capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def _written(tmp_path: Path, kind: Kind, codes: str, turn: np.ndarray | None = None) -> Path:
    scan = read_scan(write_series(tmp_path / "ct", ct_slices(codes=codes, turn=turn)))
    label_DHW = ct().label_xyz.transpose(2, 1, 0)
    write_dicom_seg(Prediction(scan, label_DHW, CARD, {}), tmp_path / "seg.dcm", kind)
    return tmp_path / "seg.dcm"


def _text(item: ElementTree.Element, name: str) -> str:
    found = item.find(f".//element[@name='{name}']")
    assert found is not None and found.text, name
    return found.text


def _numbers(item: ElementTree.Element, name: str) -> np.ndarray:
    return np.array(_text(item, name).split("\\"), float)


@with_dcmtk
@pytest.mark.parametrize("kind", ["labelmap", "binary"])
@pytest.mark.parametrize("codes", ["LPS", "LPI", "LAI", "PIR", "oblique"])
def test_dcmtk_finds_every_organ_where_it_was_drawn(tmp_path: Path, kind: Kind, codes: str) -> None:
    turn = rotation(20, 0) @ rotation(-9, 2) if codes == "oblique" else None
    path = _written(tmp_path, kind, "LPS" if codes == "oblique" else codes, turn)
    root = ElementTree.fromstring(_run("dcm2xml", path))
    rows, columns = int(_text(root, "Rows")), int(_text(root, "Columns"))
    (tmp_path / "raw").mkdir()
    _run("dcmdump", "+W", tmp_path / "raw", path)
    content = np.fromfile(next((tmp_path / "raw").iterdir()), np.uint8)
    pixels = np.unpackbits(content, bitorder="little") if kind == "binary" else content
    shared = root.find(".//sequence[@name='SharedFunctionalGroupsSequence']")
    frames = root.findall(".//sequence[@name='PerFrameFunctionalGroupsSequence']/item")
    assert shared is not None and frames
    directions = _numbers(shared, "ImageOrientationPatient").reshape(2, 3)
    between_rows, between_columns = _numbers(shared, "PixelSpacing")
    points: dict[int, list[np.ndarray]] = {}
    for place, frame in enumerate(frames):
        values = pixels[place * rows * columns :][: rows * columns].reshape(rows, columns)
        position = _numbers(frame, "ImagePositionPatient")
        for value in np.unique(values[values > 0]).tolist():
            number = int(_text(frame, "ReferencedSegmentNumber")) if kind == "binary" else value
            down, across = np.nonzero(values == value)
            place_lps = np.outer(across * between_columns, directions[0]) + np.outer(down * between_rows, directions[1])
            points.setdefault(number, []).append(position + place_lps)
    expected = centroids_lps(turn)
    assert points.keys() == expected.keys() and len(expected) == 13
    for number, place_lps in expected.items():
        np.testing.assert_allclose(np.concatenate(points[number]).mean(0), place_lps, atol=1e-4)


CONVERTED = {
    "implicit": ("dcmconv", "+ti"),
    "big endian": ("dcmconv", "+tb"),
    "explicit lengths": ("dcmconv", "+te", "+e"),
    "lossless JPEG": ("dcmcjpeg", "+e1"),
    "lossless JPEG, other predictor": ("dcmcjpeg", "+el", "+sv", "4"),
    "JPEG-LS": ("dcmcjpls", "+el"),
    "RLE": ("dcmcrle",),
}


@with_dcmtk
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("form", CONVERTED)
def test_what_dcmtk_writes_is_read_to_the_voxel(tmp_path: Path, form: str, signed: bool) -> None:
    source = write_series(tmp_path / "ct", ct_slices(signed=signed, intercepts=(0,) if signed else (-1024,)))
    (tmp_path / "other").mkdir()
    for file in source.iterdir():
        _run(*CONVERTED[form], file, tmp_path / "other" / file.name)
    read = read_scan(tmp_path / "other")
    np.testing.assert_array_equal(read.volume.array_DHW, ct().image_xyz.transpose(2, 1, 0))
    np.testing.assert_allclose(read.grid.canonical_affine, ct().affine, atol=1e-5)


@with_dcmtk
def test_deflated_files_are_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    source = write_series(tmp_path / "ct", ct_slices())
    _run("dcmconv", "+td", source / "IM0003", source / "IM0003")
    with pytest.raises(ScanError, match=r"IM0003 is a deflated DICOM file: convert it \(e\.g\. with dcmconv \+te\)"):
        read_scan(source)


@with_dciodvfy
@pytest.mark.parametrize("codes", ["LPS", "PIR"])
def test_a_binary_segmentation_has_no_fault_in_the_eyes_of_a_validator(tmp_path: Path, codes: str) -> None:
    """The Debian's dciodvfy does not know label maps yet."""
    said = _run("dciodvfy", "-new", _written(tmp_path, "binary", codes))
    assert said.split() == ["Segmentation"]
