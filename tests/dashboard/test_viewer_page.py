"""The viewer's page: what it sends to the canvas, and what it says where something cannot be shown."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from example_cases import CASE as CORNER
from example_cases import FIRST, SECOND, volumes, write_cases, write_evaluation, write_prediction, write_volume
from example_runs import CASE, DONE
from page_texts import errors, texts
from streamlit.testing.v1 import AppTest

from autosam_platform.evaluation.table import Row, write_rows
from dashboard.components.viewer.encoding import companded

Page = Callable[..., AppTest]


@pytest.fixture
def cases(empty: Path) -> Path:
    """A workspace with two runs that were evaluated on one case."""
    write_cases(empty)
    return empty


def _sent(app: AppTest) -> tuple[dict[str, Any], bytes]:
    """Header and chunks of the one canvas on the page."""
    (canvas,) = app.get("bidi_component")
    content = canvas.proto.bytes
    start = 4 + int.from_bytes(content[:4], "little")
    return json.loads(content[4:start]), content[start:]


@pytest.mark.usefixtures("unchanged")
def test_scan_truth_and_prediction_are_sent_with_the_metrics_beside_them(page: Page) -> None:
    app = page("viewer", run=DONE, case=CASE)
    assert not app.exception and not app.error
    header, chunks = _sent(app)
    assert (header["truth"], header["predictions"], header["title"]) == (True, [DONE], f"{CASE} · {DONE}")
    assert (header["shape"], header["spacing"]) == ([8, 11, 14], [3.0, 2.0, 1.0])
    assert header["organs"][1] == {"id": 6, "name": "liver", "colour": [160, 0, 0]}
    scan = zlib.decompress(chunks[: header["volumes"][0]["chunks"][0]])
    codes = np.frombuffer(scan, np.uint8).cumsum(dtype=np.uint8).reshape(8, 11, 14)
    assert codes[3, 4, 13 - 3] == companded(np.array([60]))[0]  # stored right → left, shown canonical
    organs = app.dataframe[0].value.set_index("class_name")
    assert organs.loc["liver", "dice"] == pytest.approx(200 / 3)
    assert organs.loc["liver", "hd95_mm"] == 6.0
    assert np.isnan(organs.loc["gallbladder", "dice"])


@pytest.mark.usefixtures("cases")
def test_a_second_run_is_shown_beside_the_first(page: Page) -> None:
    app = page("viewer", run=FIRST, case=CORNER)
    alone, _ = _sent(app)
    assert alone["predictions"] == [FIRST]
    app.selectbox[2].select(SECOND).run()
    both, _ = _sent(app)
    assert app.query_params["with"] == SECOND
    assert both["predictions"] == [FIRST, SECOND]
    assert both["key"] != alone["key"] and both["scan"] == alone["scan"]
    app.selectbox[2].select_index(0).run()
    assert "with" not in app.query_params
    assert _sent(app)[0] == alone


@pytest.mark.usefixtures("cases")
def test_a_shared_link_names_both_runs(page: Page) -> None:
    assert _sent(page("viewer", run=SECOND, case=CORNER, **{"with": FIRST}))[0]["predictions"] == [SECOND, FIRST]


@pytest.mark.usefixtures("cases")
def test_a_run_that_does_not_know_the_case_is_not_shown_beside(page: Page) -> None:
    app = page("viewer", run=FIRST, case=CORNER, **{"with": "demo-ffffffff"})
    assert "no other run demo-ffffffff" in texts(app.warning)
    assert _sent(app)[0]["predictions"] == [FIRST]
    assert "'../x' is not the name of a run" in errors(page("viewer", run=FIRST, case=CORNER, **{"with": "../x"}))


def test_two_scans_of_one_name_are_not_shown_as_one(page: Page, cases: Path) -> None:
    other = write_volume(cases / "datasets" / "other.nii.gz", volumes().scan)
    write_evaluation(cases, SECOND, other, cases / "datasets" / "truth.nii.gz", volumes().truth)
    app = page("viewer", run=FIRST, case=CORNER, **{"with": SECOND})
    assert "was evaluated on another scan of this name" in errors(app)
    assert _sent(app)[0]["predictions"] == [FIRST]


def _labels(app: AppTest, number: int) -> np.ndarray:
    """The label map of that number on the canvas, truth first; of so few slices that it is one chunk."""
    header, chunks = _sent(app)
    lengths = [volume["chunks"][0] for volume in header["volumes"]]
    start = sum(lengths[: number + 1])
    voxels = zlib.decompress(chunks[start : start + lengths[number + 1]])
    return np.frombuffer(voxels, np.uint8).reshape(header["shape"])


def test_a_second_run_of_other_ids_is_painted_as_the_organs_that_it_means(page: Page, cases: Path) -> None:
    """Its ids are read by the organs' names, in its truth too; those that it has no name for are background."""
    other_ids = np.zeros(256, np.uint8)
    other_ids[[1, 6]] = 6, 1
    theirs = other_ids[volumes().truth]
    truth = write_volume(cases / "datasets" / "theirs.nii.gz", theirs)
    theirs[0, 0, 0] = 4  # the first run's gallbladder
    write_evaluation(cases, SECOND, cases / "datasets" / "scan.nii.gz", truth, theirs, names={6: "spleen", 1: "liver"})
    app = page("viewer", run=FIRST, case=CORNER, **{"with": SECOND})
    assert not errors(app) and not app.warning
    assert _sent(app)[0]["predictions"] == [FIRST, SECOND]
    assert np.array_equal(_labels(app, 2), volumes().truth)
    assert f"{SECOND} does not have gallbladder" in texts(app.caption)


def test_a_second_run_of_other_organs_is_refused(page: Page, cases: Path) -> None:
    files = cases / "datasets" / "scan.nii.gz", cases / "datasets" / "truth.nii.gz"
    write_evaluation(cases, SECOND, *files, volumes().truth, names={1: "spleen", 2: "aorta", 3: "<b>"})
    app = page("viewer", run=FIRST, case=CORNER, **{"with": SECOND})
    assert f"{SECOND} has organs that {FIRST} does not have (<b>, aorta)" in errors(app)
    assert _sent(app)[0]["predictions"] == [FIRST]


def test_a_second_run_of_fewer_organs_has_the_same_truth(page: Page, cases: Path) -> None:
    files = cases / "datasets" / "scan.nii.gz", cases / "datasets" / "truth.nii.gz"
    write_evaluation(cases, SECOND, *files, volumes().truth, names={1: "spleen"})
    app = page("viewer", run=FIRST, case=CORNER, **{"with": SECOND})
    assert not errors(app) and not app.warning
    assert set(np.unique(_labels(app, 2))) == {0, 1}


def test_a_second_run_of_another_truth_is_said_to_be(page: Page, cases: Path) -> None:
    truth = write_volume(cases / "datasets" / "theirs.nii.gz", volumes().truth)
    write_evaluation(cases, SECOND, cases / "datasets" / "scan.nii.gz", truth, volumes().truth)
    app = page("viewer", run=FIRST, case=CORNER, **{"with": SECOND})
    assert not errors(app) and not app.warning  # another file that says the same
    write_volume(truth, volumes().first)
    app = page("viewer", run=FIRST, case=CORNER, **{"with": SECOND})
    assert f"{SECOND} was evaluated with another truth than {FIRST}" in texts(app.warning)
    assert _sent(app)[0]["predictions"] == [FIRST, SECOND]


@pytest.mark.parametrize("broken", [False, True], ids=["missing", "broken"])
def test_a_second_run_alone_is_not_taken_for_the_first(page: Page, cases: Path, broken: bool) -> None:
    """Where the first one's prediction cannot be shown, title and planes name the second."""
    address = {"run": FIRST, "case": CORNER, "with": SECOND}
    header, _ = _sent(page("viewer", **address))
    assert (header["title"], header["named"]) == (f"{CORNER} · {FIRST}", True)
    file = cases / "runs" / FIRST / "evaluation" / "predictions" / f"{CORNER}.nii.gz"
    if broken:
        file.write_bytes(file.read_bytes()[:-40])
    else:
        file.unlink()
    header, _ = _sent(page("viewer", **address))
    assert (header["title"], header["predictions"]) == (f"{CORNER} · {SECOND}", [SECOND])
    assert header["named"]
    assert not _sent(page("viewer", run=SECOND, case=CORNER))[0]["named"]  # the title does


def test_a_prediction_without_truth_is_shown_over_its_scan(page: Page, cases: Path) -> None:
    name = write_prediction(cases, cases / "datasets" / "scan.nii.gz", volumes().first)
    app = page("viewer", prediction=name)
    header, _ = _sent(app)
    assert (header["truth"], header["predictions"]) == (False, [FIRST])
    assert [organ["name"] for organ in header["organs"]] == ["spleen", "gallbladder", "liver"]
    assert "no truth" in texts(app.caption)


def test_what_is_wrong_with_a_prediction_is_said(page: Page, cases: Path) -> None:
    assert "'../x' is not the name of a prediction" in errors(page("viewer", prediction="../x"))
    assert "holds no prediction" in errors(page("viewer", prediction="other"))
    name = write_prediction(cases, cases / "datasets" / "scan.nii.gz", volumes().first)
    record = cases / "predictions" / name / "scan.scan.json"
    for content, said in (
        ("{", "is no record of a prediction"),
        ("[]", "is no record of a prediction"),
        ("{}", "is no record of a prediction"),
        (json.dumps({"scan": "/etc/passwd", "run": FIRST}), "is not opened"),
        (json.dumps({"scan": str(cases / "gone.nii.gz"), "run": FIRST}), "cannot be opened"),
    ):
        record.write_text(content)
        assert said in errors(page("viewer", prediction=name))


@pytest.mark.parametrize("kept", [False, True], ids=["moved", "copied"])
def test_records_with_the_paths_of_another_place_are_shown(
    page: Page, cases: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Those of earlier versions are absolute; the files of a copy count, though the others may still be there."""
    prediction = write_prediction(cases, cases / "datasets" / "scan.nii.gz", volumes().first)
    here = tmp_path_factory.mktemp("elsewhere") / "renamed"
    if kept:
        shutil.copytree(cases, here)
    else:
        cases.rename(here)
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(here))
    app = page("viewer", run=FIRST, case=CORNER)
    assert not errors(app) and not app.warning
    assert (_sent(app)[0]["truth"], _sent(app)[0]["predictions"]) == (True, [FIRST])
    app = page("viewer", prediction=prediction)
    assert not errors(app)
    assert _sent(app)[0]["predictions"] == [FIRST]


def test_a_missing_prediction_is_said_and_the_rest_is_shown(page: Page, workspace: Path) -> None:
    (workspace / "runs" / DONE / "evaluation" / "predictions" / f"{CASE}.nii.gz").unlink()
    app = page("viewer", run=DONE)
    assert "is missing" in texts(app.warning)
    assert _sent(app)[0]["predictions"] == []


def test_a_truncated_prediction_is_said_and_the_rest_is_shown(page: Page, workspace: Path) -> None:
    file = workspace / "runs" / DONE / "evaluation" / "predictions" / f"{CASE}.nii.gz"
    file.write_bytes(file.read_bytes()[:-40])
    app = page("viewer", run=DONE)
    assert "truncated or damaged" in errors(app)
    header, _ = _sent(app)
    assert (header["truth"], header["predictions"]) == (True, [])


@pytest.mark.parametrize("value", [-1, 300])
def test_a_file_that_is_no_label_map_is_said(page: Page, cases: Path, value: int) -> None:
    write_volume(cases / "datasets" / "truth.nii.gz", np.full((4, 6, 8), value, np.int16))
    app = page("viewer", run=FIRST, case=CORNER)
    assert "is no label map" in errors(app)
    assert not _sent(app)[0]["truth"]


def test_a_prediction_on_another_grid_is_not_painted(page: Page, workspace: Path) -> None:
    file = workspace / "runs" / DONE / "evaluation" / "predictions" / f"{CASE}.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 3, 2), np.uint8), np.eye(4)), file)
    assert "has 2 × 3 × 4 voxels and its scan 8 × 11 × 14" in errors(page("viewer", run=DONE))


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        (np.diag([1.0, 2.0, 3.0, 1.0]) + 50 * np.eye(4, k=3), "a corner lies 50 mm from the scan's"),
        (
            np.diag([1.0, 2.0, 3.5, 1.0]),
            "voxels measure 1 × 2 × 3.5 mm and begin at 0.0, 0.0, 0.0 mm, the scan's 1 × 2 × 3",
        ),
        (np.diag([1.0, 2.0, 3.0, 1.0]) @ np.diag([-1.0, 1, 1, 1]), "is not where its scan is"),
    ],
    ids=["shifted", "another spacing", "mirrored"],
)
def test_a_label_map_of_another_place_is_refused_with_the_numbers(
    page: Page, cases: Path, moved: np.ndarray, said: str
) -> None:
    truth = cases / "datasets" / "truth.nii.gz"
    nib.save(nib.Nifti1Image(volumes().truth.transpose(2, 1, 0), moved), truth)
    app = page("viewer", run=FIRST, case=CORNER)
    assert said in errors(app)
    header, _ = _sent(app)
    assert (header["truth"], header["predictions"]) == (False, [FIRST])


def test_a_label_map_that_is_stored_along_other_axes_is_shown(page: Page, cases: Path) -> None:
    truth = cases / "datasets" / "truth.nii.gz"
    turned = volumes().truth.transpose(2, 1, 0)[::-1]
    affine = np.diag([-1.0, 2.0, 3.0, 1.0])
    affine[0, 3] = 7.0
    nib.save(nib.Nifti1Image(turned, affine), truth)
    app = page("viewer", run=FIRST, case=CORNER)
    assert not errors(app)
    assert _sent(app)[0]["truth"]


@pytest.mark.usefixtures("cases")
def test_cases_are_gone_through_from_the_worst(page: Page, cases: Path) -> None:
    folder = cases / "runs" / FIRST / "evaluation"
    write_evaluation(
        cases, FIRST, cases / "datasets" / "scan.nii.gz", cases / "datasets" / "truth.nii.gz", volumes().truth, "best"
    )
    rows = [Row(case, 1, "spleen", dice, dice, 2.0, 1.0, 1.0, 1.0) for case, dice in (("best", 0.9), (CORNER, 0.4))]
    write_rows(folder / "metrics.csv", rows)
    app = page("viewer", run=FIRST)
    assert app.query_params["case"] == CORNER
    assert [button.disabled for button in app.button[:2]] == [True, False]
    app.button[1].click().run()
    assert app.query_params["case"] == "best"
    assert [button.disabled for button in app.button[:2]] == [False, True]


def test_a_truncated_scan_leaves_the_metrics(page: Page, workspace: Path) -> None:
    file = workspace / "datasets" / "scan.nii.gz"
    file.write_bytes(file.read_bytes()[:-40])
    app = page("viewer", run=DONE)
    assert "scan.nii.gz" in errors(app)
    assert not app.get("bidi_component")
    assert len(app.dataframe) == 1


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"rows": 3}', '{"rows": [{"case": "a"}]}'])
def test_a_damaged_record_of_a_case_is_named(page: Page, workspace: Path, content: str) -> None:
    file = workspace / "runs" / DONE / "evaluation" / "cases" / f"{CASE}.json"
    file.write_text(content)
    assert "is no record of a case" in errors(page("viewer", run=DONE))


def test_a_link_to_a_store_that_is_allowed_is_opened(
    page: Page, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, lake = workspace / "datasets" / "scan.nii.gz", workspace.parent / "lake"
    lake.mkdir()
    scan.rename(lake / "4f2a")  # as DVC keeps it
    scan.symlink_to(lake / "4f2a")
    assert "AUTOSAM_ALLOWED_FOLDERS" in errors(page("viewer", run=DONE))
    monkeypatch.setenv("AUTOSAM_ALLOWED_FOLDERS", str(lake))
    assert len(page("viewer", run=DONE).get("bidi_component")) == 1


def test_scans_outside_the_workspace_and_the_dataset_are_not_opened(page: Page, workspace: Path) -> None:
    run, scan = workspace / "runs" / DONE, workspace / "datasets" / "scan.nii.gz"
    elsewhere = workspace.parent / "elsewhere"
    elsewhere.mkdir()
    scan.rename(elsewhere / scan.name)
    scan.symlink_to(elsewhere / scan.name)
    assert "is not opened" in errors(page("viewer", run=DONE))
    run.joinpath("config.yaml").write_text(f"dataset: {{root: {elsewhere}}}")
    assert len(page("viewer", run=DONE).get("bidi_component")) == 1
