"""Ids and paths, text and charts, on values that can be checked by hand."""

from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from example_runs import CASE, DONE

from autosam_platform.evaluation.table import Row
from autosam_platform.workspace import Workspace
from dashboard.components.base.places import ReadingError, checked_id, inside, run_folder
from dashboard.components.base.text import duration, millimetres, plain, score
from dashboard.components.record import run_files


@pytest.mark.parametrize("name", ["demo-1f0c22aa", "img 01", "Fall_ä.1", "a..b"])
def test_names_of_runs_and_cases_are_accepted(name: str) -> None:
    assert checked_id("run", name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "x\x00y", "x\ny", "a" * 201, "漢" * 85]
)
def test_what_could_lead_elsewhere_is_no_name(name: str) -> None:
    with pytest.raises(ReadingError, match="not the name of a run"):
        checked_id("run", name)


def test_a_link_out_of_the_workspace_is_not_followed(tmp_path: Path) -> None:
    outside, workspace = tmp_path / "outside", tmp_path / "workspace"
    outside.mkdir()
    (workspace / "runs").mkdir(parents=True)
    (workspace / "runs" / "demo").symlink_to(outside)
    with pytest.raises(ReadingError, match="not opened"):
        run_folder(Workspace(workspace), "demo")
    with pytest.raises(ReadingError, match="not opened"):
        inside(workspace / ".." / "outside", [workspace])
    assert inside(workspace / "runs" / "demo", [workspace, outside]) == outside


def test_markup_in_names_stays_text() -> None:
    assert plain("**a** [x](y)\n:red[z] <b>") == r"\*\*a\*\* \[x\]\(y\) \:red\[z\] \<b\>"


def test_times_and_scores() -> None:
    assert (duration(3725.4), duration(None)) == ("1:02:05", "")
    assert (score(0.81249), score(None), score(float("nan"))) == ("81.25 %", "–", "–")
    assert (millimetres(4.25), millimetres(None), millimetres(float("nan"))) == ("4.2 mm", "–", "–")


def test_the_metrics_of_a_run_are_the_evaluation_s(example: Path) -> None:
    table = run_files.read_metrics(Workspace(example).run(DONE))
    assert table is not None
    assert list(table.columns) == [field.name for field in fields(Row)]
    case = run_files.read_case(Workspace(example).run(DONE), CASE)
    pd.testing.assert_frame_equal(case.rows[table.columns], table)


def test_cases_are_ranked_by_their_mean_dice_without_undefined_classes() -> None:
    nan = float("nan")
    rows = [
        ("a", "liver", 0.9, 0.8, 3.0),
        ("a", "spleen", 0.7, 0.6, 5.0),
        ("b", "liver", 0.5, 0.4, nan),
        ("b", "spleen", nan, nan, nan),
        ("c", "liver", nan, nan, nan),
    ]
    table = pd.DataFrame(rows, columns=["case", "class_name", "dice", "nsd", "hd95_mm"])
    ranked = run_files.per_case(table)
    assert ranked["case"].tolist() == ["b", "a", "c"]
    assert ranked["dice"].tolist()[:2] == pytest.approx([0.5, 0.8])
    assert ranked["worst"].tolist() == ["liver", "spleen", ""]
    assert ranked["n"].tolist() == [1, 2, 0]
    assert ranked["hd95_mm"].tolist() == pytest.approx([nan, 4.0, nan], nan_ok=True)
    assert ranked["n_hd95"].tolist() == [0, 2, 0]
