"""Ids and paths, text and charts, on values that can be checked by hand."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example_runs import CASE, DONE

from autosam_platform.evaluation.table import Row
from dashboard.components import charts, records
from dashboard.components.places import ReadingError, checked_id, inside, run_folder
from dashboard.components.text import duration, millimetres, plain, score


@pytest.mark.parametrize("name", ["demo-1f0c22aa", "img 01", "Fall_ä.1", "a..b"])
def test_names_of_runs_and_cases_are_accepted(name: str) -> None:
    assert checked_id("run", name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "x\x00y", "x\ny", "a" * 201]
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
        run_folder(workspace, "demo")
    with pytest.raises(ReadingError, match="not opened"):
        inside(workspace / ".." / "outside", [workspace])
    assert inside(workspace / "runs" / "demo", [workspace, outside]) == outside


def test_markup_in_names_stays_text() -> None:
    assert plain("**a** [x](y)\n:red[z] <b>") == r"\*\*a\*\* \[x\]\(y\) \:red\[z\] \<b\>"


def test_times_and_scores() -> None:
    assert (duration(3725.4), duration(None)) == ("1:02:05", "")
    assert (score(0.81249), score(None), score(float("nan"))) == ("0.812", "–", "–")
    assert (millimetres(4.25), millimetres(None), millimetres(float("nan"))) == ("4.2 mm", "–", "–")


def test_the_metrics_of_a_run_are_the_evaluation_s(example: Path) -> None:
    table = records.read_metrics(example / "runs" / DONE)
    assert table is not None
    assert list(table.columns) == [field.name for field in fields(Row)]
    case = records.read_case(example, example / "runs" / DONE, CASE)
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
    ranked = records.per_case(table)
    assert ranked["case"].tolist() == ["b", "a", "c"]
    assert ranked["dice"].tolist()[:2] == pytest.approx([0.5, 0.8])
    assert ranked["worst"].tolist() == ["liver", "spleen", ""]
    assert ranked["n"].tolist() == [1, 2, 0]
    assert ranked["hd95_mm"].tolist() == pytest.approx([nan, 4.0, nan], nan_ok=True)
    assert ranked["n_hd95"].tolist() == [0, 2, 0]


def test_curves_are_grouped_and_results_of_evaluations_left_out() -> None:
    point = [(1, 0.5)]
    curves = {
        "train/learning_rate": point,
        "train/loss": point,
        "train/dice_loss": point,
        "train/epoch": point,
        "val/dice/liver": [(0, 0.9), (10, 0.7)],
        "val/dice/mean": point,
        "test/mean_dice": [(0, 0.8)],
    }
    loss, dice, rate = charts.grouped(curves)
    assert (loss.title, list(loss.curves)) == ("Loss", ["Dice loss", "Loss"])
    assert (dice.title, list(dice.curves), dice.kind) == ("Val Dice", ["liver", "mean"], "organs")
    assert dice.curves["liver"] == [(10, 0.7)]
    assert (rate.title, list(rate.curves), rate.kind) == ("Learning rate", ["Learning rate"], "planned")


def test_a_noisy_curve_is_shown_with_its_running_mean() -> None:
    points = [(step, float(step % 2)) for step in range(1, 101)]
    faint, mean = charts.curve(charts.Chart("Loss", {"Loss": points}, "measured"), lambda _: (0, 0, 0)).data
    assert list(faint.y) == [value for _, value in points]
    assert list(mean.y)[:3] == pytest.approx([2 / 3, 1 / 2, 3 / 5])  # of 3, 4, 5 values around the point
    assert mean.y[-1] == pytest.approx(1 / 3)
    (planned,) = charts.curve(charts.Chart("Rate", {"Rate": points}, "planned"), lambda _: (0, 0, 0)).data
    assert list(planned.y) == list(faint.y)


def test_long_curves_are_thinned_evenly_and_keep_their_end() -> None:
    table = pd.DataFrame({"step": range(4001)})
    steps = charts.thinned(table)["step"].tolist()
    assert len(steps) <= 2000
    assert steps[-1] == 4000
    assert set(np.diff(steps)) == {3}
    assert len(charts.thinned(table[:2000])) == 2000


def test_organs_have_their_colours_and_names_stay_text() -> None:
    chart = charts.Chart("Val Dice", {"<b>liver</b>": [(1, 0.5), (2, 0.6)]}, "organs")
    figure = charts.curve(chart, lambda name: (1, 2, 3))
    assert figure.data[0].name == "&lt;b&gt;liver&lt;/b&gt;"
    assert figure.data[0].line.color == "rgb(1, 2, 3)"


def test_the_spread_has_a_box_per_class_and_counts_defined_values() -> None:
    rows = [("a", 6, "liver", 0.9), ("b", 6, "liver", float("nan")), ("a", 4, "gallbladder", float("nan"))]
    table = pd.DataFrame(rows, columns=["case", "class_id", "class_name", "dice"])
    figure = charts.spread(table, "dice", "Dice", lambda name: (0, 0, 0))
    assert [box.y[0] for box in figure.data] == ["gallbladder (0)", "liver (1)"]
    assert list(figure.data[1].x) == [0.9]
