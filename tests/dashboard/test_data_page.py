"""The page of data: verdicts and pictures of a dataset, and what it says when there are none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from autosam_platform.workspace import Workspace
from dashboard.components.base.places import ReadingError
from dashboard.components.record.sheet_files import read_sheet, sheets

Page = Callable[..., AppTest]
CASES = [
    {"case": "img0002", "status": "rejected", "reasons": ["img0002.nii.gz is <b>empty</b>: copy it."], "picture": ""},
    {"case": "img0001", "status": "ok", "reasons": [], "picture": "cases/img0001-1/img0001.png"},
]


@pytest.fixture
def sheet(empty: Path) -> Path:
    """The record of two cases; gives its file."""
    folder = empty / "prepared" / "btcv-1a2b3c4d"
    folder.mkdir(parents=True)
    cases = [
        case | {"splits": ["train"], "voxels": "4 × 4 × 4", "spacing_mm": "1 × 1 × 1", "organs": []} for case in CASES
    ]
    path = folder / "sheet-01234567.json"
    path.write_text(json.dumps({"name": "btcv", "title": "BTCV", "notes": [], "cases": cases}))
    return path


def test_without_a_dataset_the_command_is_named(page: Page, empty: Path) -> None:
    app = page("data")
    assert not app.exception and app.code[0].value.endswith(" jobs/prepare.py")


def test_verdicts_are_counted_listed_and_can_be_chosen(page: Page, sheet: Path) -> None:
    app = page("data")
    assert not app.exception and not app.error
    assert {each.label: each.value for each in app.metric} == {"Cases": "2", "Rejected": "1", "Fixed": "0", "Ok": "1"}
    assert app.dataframe[0].value["case"].tolist() == ["img0002", "img0001"]
    assert "<b>" not in app.warning[0].value.replace("\\<", "") and "empty" in app.warning[0].value
    app.get("button_group")[0].set_value(["ok"]).run()
    assert app.dataframe[0].value["case"].tolist() == ["img0001"] and not app.warning


def test_a_picture_outside_the_dataset_is_not_shown(sheet: Path, empty: Path) -> None:
    ours = Workspace(empty)
    assert list(sheets(ours)) == ["btcv-1a2b3c4d-01234567"]
    found = read_sheet(sheet, ours)
    assert found.picture("") is None and found.picture("cases/img0001-1/img0001.png") is None
    with pytest.raises(ReadingError):
        found.picture("../../../etc/passwd")


@pytest.mark.parametrize("text", ["{", "[]", '{"cases": [{}]}', '{"name": "x", "title": "x", "cases": 3}'])
def test_a_damaged_record_is_said(page: Page, sheet: Path, text: str) -> None:
    sheet.write_text(text)
    app = page("data")
    assert not app.exception and "jobs/prepare.py writes it anew" in app.error[0].value.replace("\\", "")
