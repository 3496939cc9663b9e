"""The page that shows a dataset: every case with its verdict, pictures of what can be read, nothing drawn twice."""

import json
import re

import pytest
from matplotlib.image import imread
from synthetic_scans import write_btcv

from autosam_platform.data.description import load_description
from autosam_platform.data.preparation import Preparation, prepare
from autosam_platform.data.prepared import PreparedDataset
from autosam_platform.evaluation.contact_sheet import write_contact_sheet
from autosam_platform.workspace import Workspace

GIT_LFS = b"version https://git-lfs.github.com/spec/v1\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, ray_local: str) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("sheet")
    root = write_btcv(folder / "raw", 3)
    (root / "imagesTr" / "img0002.nii.gz").write_bytes(GIT_LFS)
    return prepare(load_description("btcv"), root, Preparation(spacing_xyz=(2.0, 2.0, 2.0)), Workspace(folder))


def test_every_case_is_on_it_with_its_verdict_the_rejected_first(prepared: PreparedDataset) -> None:
    page = write_contact_sheet(prepared).read_text()
    assert re.findall(r"<h3>(\w+) <b[^>]*>(\w+)</b>", page) == [
        ("img0002", "rejected"),
        ("img0001", "ok"),
        ("img0003", "ok"),
    ]
    assert "3 cases: 2 ok, 0 fixed, 1 rejected" in page and "a pointer of Git LFS" in page
    for picture in re.findall(r'src="([^"]+)"', page):
        pixels = imread(prepared.folder / picture)[..., :3]
        assert pixels.shape[1] > 1000
        liver = (abs(pixels - [160 / 255, 0, 0]).max(-1) < 0.05).sum()
        assert liver > 5, "the liver is outlined in its colour"


def test_what_is_drawn_is_kept_and_what_is_rejected_has_no_picture(prepared: PreparedDataset) -> None:
    sheet = write_contact_sheet(prepared)
    before = {case.picture: case.picture.stat().st_mtime_ns for case in prepared.cases("all")}
    assert len(before) == 2
    assert write_contact_sheet(prepared) == sheet
    assert {path: path.stat().st_mtime_ns for path in before} == before
    cases = json.loads(sheet.with_suffix(".json").read_text())["cases"]
    assert [bool(case["picture"]) for case in cases] == [False, True, True]
    assert cases[1]["splits"] == ["train"] and len(cases[1]["organs"]) == 13


def test_the_histogram_is_that_of_the_scan_as_it_was_read(prepared: PreparedDataset) -> None:
    """Air of the synthetic scan is -1000 with a little noise, which the window of -125 to 275 no longer shows."""
    counts = prepared.cases("all")[0].record.histogram
    assert sum(counts) == 23 * 19 * 11
    air = sum(counts[2:7])  # -1050 to -925
    assert air == 23 * 19 * 11 - 21 * 17 * 9
