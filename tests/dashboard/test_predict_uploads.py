"""Uploaded scans: what is taken, and what is refused before anything opens it."""

import errno
import gzip
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_factory import ct_slices, magnetic_resonance, write_series, write_zip
from pydicom.dataset import Dataset

from autosam_inference.scans.scan import read_scan
from dashboard.components.base.places import ReadingError
from dashboard.components.jobs import uploads
from dashboard.components.jobs.uploads import store_upload

SHAPE = (5, 4, 3)


@pytest.fixture(autouse=True)
def _own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(tmp_path))


def _scan(shape: tuple[int, ...] = SHAPE, kind: type = nib.Nifti1Image) -> bytes:
    return kind(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), np.diag([1.5, 1.5, 2.0, 1.0])).to_bytes()


def _changed(field: str, value: object) -> bytes:
    """The scan with another value in its header."""
    header = nib.Nifti1Header(_scan()[:348], check=False)
    header[field] = value
    return header.binaryblock + _scan()[348:]


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["scan.nii.gz", "Fall ä 1.nii"])
def test_a_scan_is_kept_as_it_is_by_its_content(tmp_path: Path, name: str, kind: type) -> None:
    content = gzip.compress(_scan(kind=kind)) if name.endswith(".gz") else _scan(kind=kind)
    kept = store_upload(name, io.BytesIO(content))
    assert kept.read_bytes() == content
    assert kept.name == name and kept.parent.parent == tmp_path / "uploads"
    assert re.fullmatch("[0-9a-f]{16}", kept.parent.name)
    assert store_upload(name, io.BytesIO(content)) == kept
    assert nib.load(kept).shape == SHAPE


@pytest.mark.parametrize("name", ["CT.NII.GZ", "CT.Nii.gz"])
def test_an_ending_may_be_in_capitals(name: str) -> None:
    kept = store_upload(name, io.BytesIO(gzip.compress(_scan())))
    assert kept.name == "CT.nii.gz" and nib.load(kept).shape == SHAPE


@pytest.mark.parametrize("letter", ["a", "é", "肝", "🫀"])
def test_a_name_that_is_too_long_for_a_file_keeps_a_piece_and_a_hash(letter: str) -> None:
    """A name may have 255 bytes, of which a letter takes up to four; a prediction's name is longer than its scan's."""
    names = [letter * 240 + end for end in ("1.nii", "2.nii")]
    kept = [store_upload(name, io.BytesIO(_scan())) for name in names]
    assert kept[0] != kept[1] and kept[0].name.startswith(letter * 30)
    assert all(len(path.name.encode()) <= 154 and nib.load(path).shape == SHAPE for path in kept)


def test_a_gzip_file_in_several_parts_is_one_scan() -> None:
    content = _scan()
    parts = gzip.compress(content[:400]) + gzip.compress(content[400:])
    assert nib.load(store_upload("scan.nii.gz", io.BytesIO(parts))).shape == SHAPE


@pytest.mark.parametrize("name", ["../scan.nii.gz", "a/b.nii", ".nii.gz", "", "x\x00.nii"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReadingError, match="not the name of a scan"):
        store_upload(name, io.BytesIO(_scan()))
    assert not list(tmp_path.iterdir())


class _Counted(io.BytesIO):
    """Counts what is read of it."""

    bytes_read = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.bytes_read += len(piece)
        return piece


def test_a_gzip_bomb_is_dropped_after_what_its_header_says(tmp_path: Path) -> None:
    bomb = _Counted(gzip.compress(_scan()) + 16 * gzip.compress(bytes(64 << 20), 1))  # a GiB of zeros
    packed = len(bomb.getvalue())
    assert packed > 4 << 20
    with pytest.raises(ReadingError, match="holds more than the 472 bytes that its header says"):
        store_upload("bomb.nii.gz", bomb)
    assert bomb.bytes_read < packed / 2
    assert not (tmp_path / "uploads").exists()


BROKEN: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "no scan": ("scan.nii", lambda: b"MZ" + bytes(5000), "does not begin as a NIfTI"),
    "too short": ("scan.nii", lambda: _scan()[:200], "does not begin as a NIfTI"),
    "empty": ("scan.nii.gz", lambda: b"", "does not begin as a NIfTI"),
    "no gzip": ("scan.nii.gz", _scan, "no whole gzip file"),
    "other suffix": ("scan.mha", _scan, "not named .nii or .nii.gz"),
    "cut short": ("scan.nii", lambda: _scan()[:-7], "cut short"),
    "cut short, packed": ("scan.nii.gz", lambda: gzip.compress(_scan()[:-7]), "cut short"),
    "four axes": ("scan.nii", lambda: _scan((*SHAPE, 2)), "not one 3D volume"),
    "two axes": ("scan.nii", lambda: _scan(SHAPE[:2]), "not one 3D volume"),
    "no voxels": ("scan.nii", lambda: _changed("dim", [3, 5, 0, 3, 1, 1, 1, 1]), "not one 3D volume"),
    "huge": ("scan.nii", lambda: _changed("dim", [3, 30000, 30000, 30000, 1, 1, 1, 1]), "at most"),
    "odd bits": ("scan.nii", lambda: _changed("bitpix", 12), "plain numbers"),
    "no spacing": ("scan.nii", lambda: _changed("pixdim", [1, 0, 1, 1, 0, 0, 0, 0]), "voxel size of 0"),
    "no affine": ("scan.nii", lambda: _changed("srow_x", [np.nan] * 4), "NaN"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_scan_is_refused_and_not_kept(tmp_path: Path, case: str) -> None:
    name, content, message = BROKEN[case]
    with pytest.raises(ReadingError, match=message):
        store_upload(name, io.BytesIO(content()))
    assert not list(tmp_path.rglob("*.nii*"))


def test_a_refused_upload_leaves_what_others_sent(tmp_path: Path) -> None:
    """The same bytes are a scan under one name, and no study under another."""
    content = gzip.compress(_scan())
    kept = store_upload("keep.nii.gz", io.BytesIO(content))
    with pytest.raises(ReadingError):
        store_upload("keep.zip", io.BytesIO(content))
    assert kept.read_bytes() == content and list(kept.parent.iterdir()) == [kept]


def _study(folder: Path, slices: list[Dataset]) -> io.BytesIO:
    return io.BytesIO(write_zip(folder / "in.zip", write_series(folder / "in", slices)).read_bytes())


def test_a_zip_of_a_dicom_series_is_kept(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    study = _study(tmp_path_factory.mktemp("study"), ct_slices())
    kept = store_upload("study.zip", study)
    assert kept.read_bytes() == study.getvalue() and kept.parent.parent == tmp_path / "uploads"
    assert read_scan(kept).volume.array_DHW.shape == (9, 34, 37)


@pytest.mark.parametrize(
    ("slices", "message"),
    [(magnetic_resonance, "holds no CT series"), (list, "no DICOM")],
)
def test_a_zip_without_a_ct_is_refused_and_not_kept(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, slices: Callable[[], list[Dataset]], message: str
) -> None:
    study = _study(tmp_path_factory.mktemp("study"), slices())
    with pytest.raises(ReadingError, match=message):
        store_upload("study.zip", study)
    assert not list(tmp_path.rglob("*.zip"))


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(uploads.shutil, "copyfileobj", full)
    with pytest.raises(ReadingError, match=r"is full: make room and upload scan\.nii again"):
        store_upload("scan.nii", io.BytesIO(_scan()))
