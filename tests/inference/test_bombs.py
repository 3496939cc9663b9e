"""Small files that claim to be huge are refused by what they claim, before memory is taken for it."""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_factory import ct_slices, enhanced, write_series
from small_models import write_model

from autosam_inference.card import ModelFolderError, read_card
from autosam_inference.files import write_sealed
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.nifti import ScanError, open_nifti
from autosam_inference.scans.resampling import resample
from autosam_inference.scans.scan import read_scan
from autosam_platform.data.description import load_description


def _claiming(path: Path, shape: tuple[int, ...], kind: type[np.generic], content: bytes = b"") -> Path:
    """A header that claims ``shape``, and ``content`` in place of the voxels."""
    header = nib.Nifti2Header() if max(shape) > 32767 else nib.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["magic"] = b"n+1" if isinstance(header, nib.Nifti1Header) else header["magic"]
    header["vox_offset"] = 352 if isinstance(header, nib.Nifti1Header) else 544
    raw = header.binaryblock + b"\0" * 4 + content
    path.write_bytes(gzip.compress(raw, mtime=0) if path.name.endswith(".gz") else raw)
    return path


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_header_that_claims_more_than_the_file_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    path = _claiming(tmp_path / name, (1024, 1024, 1000), np.float64)
    assert path.stat().st_size < 1000
    with pytest.raises(ScanError, match=r"its header claims 8,388,608,000 bytes of voxels, which its \d+ bytes cannot"):
        open_nifti(path)


def test_as_many_voxels_as_gzip_can_pack_are_read(tmp_path: Path) -> None:
    """Zeros pack best: about 1,030 bytes in one, just under what is refused."""
    path = tmp_path / "zeros.nii.gz"
    path.write_bytes(gzip.compress(nib.Nifti1Image(np.zeros((256, 256, 256), np.int16), np.eye(4)).to_bytes(), 9))
    assert 1000 * path.stat().st_size < 2 * 256**3
    assert open_nifti(path).shape_xyz == (256, 256, 256)


def test_more_bytes_than_any_scan_has_are_refused_even_where_they_are(tmp_path: Path) -> None:
    path = _claiming(tmp_path / "scan.nii", (2048, 1024, 1024), np.float64)
    with path.open("r+b") as file:
        file.truncate(352 + 8 * 2**31)  # a hole, which takes no disk
    with pytest.raises(ScanError, match=r"claims 17,179,869,184 bytes of voxels, more than 8,589,934,592"):
        open_nifti(path)


@pytest.mark.parametrize(("name", "value"), [("Rows", 60_000), ("Columns", 9000), ("NumberOfFrames", 2**31)])
def test_more_than_any_ct_has_is_refused(tmp_path: Path, name: str, value: int) -> None:
    slices = [enhanced(ct_slices())] if name == "NumberOfFrames" else ct_slices()
    for each in slices:
        setattr(each, name, value)
    folder = write_series(tmp_path / "series", slices)
    with pytest.raises(ScanError, match=rf"is a damaged DICOM file \({name} is {value:,}\): copy or export it again"):
        read_scan(folder)


def test_a_spacing_that_would_need_all_memory_is_refused() -> None:
    volume = Volume(np.broadcast_to(np.int16(0), (400, 512, 512)), (2.0, 0.8, 0.8))
    with pytest.raises(ScanError, match=r"would have 8000 × 4096 × 4096 voxels at a spacing of 0\.1 × 0\.1 × 0\.1 mm"):
        resample(volume, (0.1, 0.1, 0.1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch": [4096, 4096, 4096]}, r"patch must have 134,217,728 voxels at most, not 4096 × 4096 × 4096"),
        ({"model": {"name": "autosam_demo", "options": {"embed_dim": 10**9}}}, "must be at most 16384"),
        ({"model": {"name": "autosam_demo", "options": {"embed_dim": 16384}}}, "size mismatch"),
        ({"model": {"name": "unet_nano", "options": {}}}, "Missing key"),
        ({"num_classes": 250}, "size mismatch"),
    ],
)
def test_a_card_that_is_not_of_its_weights_takes_no_memory(tmp_path: Path, change: dict, message: str) -> None:
    folder = write_model(tmp_path / "model", load_description("btcv"), (1.5, 2.0, 3.0))
    card = json.loads((folder / "model.json").read_text())
    write_sealed(folder / "model.json", {name: value for name, value in (card | change).items() if name != "seal"})
    with pytest.raises(ModelFolderError, match=message):
        TorchRuntime.load(folder, read_card(folder), "cpu")
