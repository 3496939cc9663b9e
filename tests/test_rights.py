"""Files that may not be read and folders that may not be written to, as a user who is not root meets them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import ct, ct_slices, write_series
from other_user import as_nobody, open_folder
from synthetic_scans import write_nifti

from autosam_inference import read_scan, require_writable
from autosam_inference.errors import UserError
from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import load_description
from autosam_platform.data.readers import Case
from autosam_platform.workspace import workspace

BTCV = load_description("btcv")


@dataclass(frozen=True)
class Files:
    """A scan with its label, a DICOM series, and a folder that is somebody else's."""

    folder: Path
    case: Case
    series: Path
    closed: Path


@pytest.fixture
def files() -> Iterator[Files]:
    with open_folder() as folder:
        scan = ct()
        image = write_nifti(folder / "img0001.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
        label = write_nifti(folder / "label0001.nii.gz", scan.label_xyz, scan.affine)
        series = write_series(folder / "ct", ct_slices())
        closed = folder / "closed"
        closed.mkdir()
        made = Files(folder, Case("img0001", image, label, ("train",)), series, closed)
        load_checked(made.case, BTCV), read_scan(series)  # imports what nobody could not
        closed.chmod(0o555)
        yield made
        closed.chmod(0o755)


def _forbid(path: Path) -> None:
    path.chmod(0o000)


def test_what_may_be_read_is_read(files: Files) -> None:
    with as_nobody():
        assert load_checked(files.case, BTCV).verdict.status == "ok"
        assert len(read_scan(files.series).volume.array_DHW) == 9


@pytest.mark.parametrize("which", ["image", "label"])
def test_a_file_that_may_not_be_read_is_its_cases_verdict(files: Files, which: str) -> None:
    path = getattr(files.case, which)
    _forbid(path)
    with as_nobody():
        verdict = load_checked(files.case, BTCV).verdict
    assert verdict.status == "rejected"
    assert f"{path.name} cannot be read (Permission denied)" in verdict.reasons[0]


def test_a_folder_that_may_not_be_looked_into_is_its_cases_verdict(files: Files) -> None:
    inner = files.folder / "inner"
    inner.mkdir()
    case = replace(files.case, image=files.case.image.rename(inner / "img0001.nii.gz"))
    _forbid(inner)
    with as_nobody():
        verdict = load_checked(case, BTCV).verdict
    inner.chmod(0o755)
    assert verdict.status == "rejected"
    assert "inner/img0001.nii.gz cannot be read: its folder may not be looked into" in verdict.reasons[0]


def test_a_slice_that_may_not_be_read_is_named(files: Files) -> None:
    _forbid(files.series / "IM0008")  # the last one, whose loss leaves no gap
    with as_nobody(), pytest.raises(UserError, match=r"IM0008 cannot be read \(Permission denied\): check its rights"):
        read_scan(files.series)


@pytest.mark.parametrize("place", [lambda closed: closed / "label.nii.gz", lambda closed: closed / "new" / "l.nii.gz"])
def test_where_nothing_may_be_written_is_said_before_the_work(files: Files, place: Callable[[Path], Path]) -> None:
    scan = read_scan(files.case.image)
    with as_nobody(), pytest.raises(UserError, match=r"closed.*Permission denied"):
        require_writable(scan, place(files.closed))
    assert not list(files.closed.iterdir())


def test_a_workspace_that_cannot_be_made_is_said(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(files.closed / "workspace"))
    with (
        as_nobody(),
        pytest.raises(UserError, match=r"cannot be made one \(Permission denied\): set AUTOSAM"),
    ):
        workspace()
