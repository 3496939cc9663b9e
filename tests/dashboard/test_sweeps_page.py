"""The page of sweeps in its states, and what its figures show."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest
from example_sweeps import ADAPTER, KERNEL, LAMBDA, RATIO, adapter_trials, lambda_trials, write_sweep
from streamlit.testing.v1 import AppTest

from autosam_platform.evaluation.paper import dice_by_lambda
from autosam_platform.locks import LOCK
from autosam_platform.tuning.trials import Trial
from autosam_platform.workspace import SweepFolder
from dashboard.components.base.places import ReadingError
from dashboard.components.charts import sweep_charts
from dashboard.components.jobs.repeat_command import terminal
from dashboard.components.record.sweep_files import SweepRecord, read_sweep

Page = Callable[..., AppTest]


def _record(folder: Path) -> SweepRecord:
    return read_sweep(SweepFolder(folder))


def _said(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(each.value for each in [*app.info, *app.warning, *app.error, *app.caption]).replace("\\", "")


@pytest.mark.usefixtures("empty")
def test_without_a_sweep_the_page_names_the_command(page: Page) -> None:
    app = page("sweeps")
    assert "no sweep in this workspace yet" in _said(app)
    assert app.code[0].value.endswith(" jobs/sweep.py --space kd_lambda --grid")


def test_a_finished_grid_shows_its_curve_its_best_trial_and_why_one_failed(page: Page, empty: Path) -> None:
    folder = write_sweep(empty, LAMBDA, lambda_trials(), 3)
    (folder / "best.yaml").write_text("distillation: {teacher: demo-1}\n")
    app = page("sweeps", sweep=LAMBDA)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {
        "Best Dice": "75.00 %",
        "Best trial": "2",
        "Trials ended": "3 of 3",
        "Stopped early": "0",
        "Failed": "1",
    }
    assert app.dataframe[0].value["reason"].tolist()[2] == "the loss is not <b>finite</b>"
    assert "what can be compared is where each curve has its top" in _said(app).lower()
    assert app.code[0].value == terminal("distill_student", ["--recipe", str(folder / "best.yaml")])


def test_a_sweep_under_way_says_how_far_it_is(page: Page, empty: Path) -> None:
    trials = lambda_trials()
    trials[2] = trials[2].model_copy(update={"state": "running", "reason": ""})
    folder = write_sweep(empty, LAMBDA, trials, 5)
    with filelock.FileLock(folder / LOCK):
        assert "3 of 5 trials have not ended yet; this page follows them" in _said(page("sweeps"))
    assert "neither a process of this machine nor a job of the cluster" in _said(page("sweeps"))


def test_a_sweep_that_was_just_begun_has_no_pictures_yet(page: Page, empty: Path) -> None:
    write_sweep(empty, LAMBDA, [], 5)
    assert "No trial has been validated yet" in _said(page("sweeps"))


@pytest.mark.parametrize("content", ["[{", '[{"number": 1}]', '{"a": 1}', "[3]"])
def test_a_damaged_sweep_is_named_with_the_remedy(page: Page, empty: Path, content: str) -> None:
    folder = write_sweep(empty, LAMBDA, lambda_trials(), 3)
    (folder / "trials.json").write_text(content)
    said = _said(page("sweeps"))
    assert str(folder) in said and "writes it anew" in said


@pytest.mark.parametrize("name", ["../runs", "no-such-sweep"])
def test_an_address_that_names_no_sweep_is_refused(page: Page, empty: Path, name: str) -> None:
    write_sweep(empty, LAMBDA, lambda_trials(), 3)
    app = page("sweeps", sweep=name)
    assert "choose one from the list" in _said(app)
    assert not app.metric


def test_the_sweep_written_last_is_the_first(page: Page, empty: Path) -> None:
    for age, name in enumerate((ADAPTER, LAMBDA)):
        folder = write_sweep(empty, name, [], 1)
        os.utime(folder / "trials.json", (age, age))
    assert page("sweeps").selectbox[0].options == [LAMBDA, ADAPTER]


def test_a_row_opens_the_run_of_its_trial(page: Page, empty: Path) -> None:
    write_sweep(empty, LAMBDA, lambda_trials(), 3)
    app = page("sweeps", sweep=LAMBDA)
    app.session_state[f"trials-{LAMBDA}"] = {"selection": {"rows": [1], "columns": [], "cells": []}}
    app.run()
    assert app.query_params["run"] == "distill-00000002"


def test_several_settings_have_parallel_axes_a_scatter_and_a_front(page: Page, empty: Path) -> None:
    write_sweep(empty, ADAPTER, adapter_trials(), 4)
    app = page("sweeps", sweep=ADAPTER)
    said = _said(app)
    assert "No importances: they are computed when the sweep has ended" in said
    assert app.selectbox[1].options == [RATIO, KERNEL, "model.options.adapter_blocks"]
    assert {each.value for each in app.subheader} >= {"Trials across all settings", "Accuracy against size"}


def test_settings_of_one_last_name_have_a_column_each(page: Page, empty: Path) -> None:
    """They have all of their names as titles; another one may be called as a column of the trials' own."""
    names = ("training.batch", "inference.batch", "model.options.state")
    trials = [
        Trial(number=number, values=dict(zip(names, (number, 2 * number, "a"), strict=True)), state="finished", run="r")
        for number in (1, 2)
    ]
    write_sweep(empty, ADAPTER, trials, 2)
    app = page("sweeps", sweep=ADAPTER)
    assert not app.exception and not app.error
    table = app.dataframe[0]
    assert [table.value[name].tolist() for name in names] == [[1, 2], [2, 4], ["a", "a"]]
    assert table.value["state"].tolist() == ["finished", "finished"]
    shown = json.loads(table.proto.columns)
    assert [shown[name]["label"] for name in names] == ["training.batch", "inference.batch", "state"]


def test_the_front_is_the_sweeps_with_the_smallest_first(empty: Path) -> None:
    record = _record(write_sweep(empty, ADAPTER, adapter_trials()[::-1], 4))
    assert record.front["trial"].tolist() == [1, 3]
    points = sweep_charts.front(record).data[1]
    assert (list(points.x), list(points.y)) == ([1.0, 4.0], pytest.approx([50.0, 70.0]))


def test_a_sweep_of_an_earlier_version_is_read(empty: Path) -> None:
    folder = write_sweep(empty, LAMBDA, lambda_trials(), 3)
    trials = json.loads((folder / "trials.json").read_text())
    for trial in trials:
        trial["heard"] = [[1, 0.25]]
        del trial["validations"]
    (folder / "trials.json").write_text(json.dumps(trials))
    assert _record(folder).trials[0].validations == [(1, 0.25)]


def test_trials_of_two_sweeps_in_one_file_are_refused(empty: Path) -> None:
    folder = write_sweep(empty, LAMBDA, [lambda_trials()[0], adapter_trials()[1]], 3)
    with pytest.raises(ReadingError, match="different settings"):
        _record(folder)


def test_the_curve_has_the_papers_beside_it_in_percent(empty: Path) -> None:
    record = _record(write_sweep(empty, LAMBDA, lambda_trials(), 3))
    ours, papers = sweep_charts.curve(record, record.parameters[0], dice_by_lambda()).data
    assert (list(ours.x), list(ours.y)) == ([0.0, 0.5], [10.0, 75.0])
    assert dict(zip(papers.x, papers.y, strict=True)) == dice_by_lambda()
    assert record.parameters[0].label == "kd_lambda (weight of the labels)"


def test_parallel_axes_name_choices_and_are_in_percent(empty: Path) -> None:
    record = _record(write_sweep(empty, ADAPTER, adapter_trials(), 4))
    (lines,) = sweep_charts.parallel(record).data
    blocks = next(axis for axis in lines.dimensions if axis.label == "adapter_blocks")
    assert (list(blocks.ticktext), list(blocks["values"])) == (["all", "even", "none"], [0, 2, 1, 0])
    assert list(lines.dimensions[-1]["values"]) == pytest.approx([50, 40, 70, 5])
    assert list(lines.dimensions[-2]["values"]) == [1, 2, 4, 1]


def test_a_stopped_trial_ends_in_a_cross(empty: Path) -> None:
    record = _record(write_sweep(empty, ADAPTER, adapter_trials(), 4))
    first, *_, stopped = sweep_charts.courses(record).data
    assert list(first.marker.symbol) == ["circle", "circle"] and list(first.y) == [25.0, 50.0]
    assert list(stopped.marker.symbol) == ["x"]


def test_importances_are_largest_on_top(empty: Path) -> None:
    folder = write_sweep(empty, ADAPTER, adapter_trials(), 4)
    (folder / "importances.json").write_text(json.dumps({"importances": {RATIO: 0.7, KERNEL: 0.3}, "note": ""}))
    (bars,) = sweep_charts.importances(_record(folder)).data
    assert (list(bars.y), list(bars.x)) == (["adapter_kernel", "adapter_ratio"], [0.3, 0.7])


def test_a_file_that_cannot_be_decoded_is_explained(empty: Path) -> None:
    folder = write_sweep(empty, LAMBDA, lambda_trials(), 3)
    (folder / "sweep.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ReadingError, match=r"sweep\.json cannot be read"):
        _record(folder)
