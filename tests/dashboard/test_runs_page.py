"""The pages of runs and of one run, in their states."""

import json
import math
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import filelock
import pytest
import streamlit as st
from example_runs import APP, CASE, DONE, GOING, UNTESTED
from page_texts import choose, errors, texts
from patience import HANG_S
from streamlit.testing.v1 import AppTest

from autosam_platform.locks import LOCK
from autosam_platform.tracking.reading import PARENT
from autosam_platform.tracking.writing import open_run, tag_run
from autosam_platform.workspace import Workspace

Page = Callable[..., AppTest]


def _said(app: AppTest) -> str:
    assert not app.exception
    return texts([*app.info, *app.caption, *app.markdown, *app.warning]).replace("\\", "")


def _linked(**address: str | list[str]) -> AppTest:
    """The app's first page, opened by a link: filters are taken from the address when their widgets are made."""
    app = AppTest.from_file(str(APP), default_timeout=HANG_S)
    for key, value in address.items():
        app.query_params[key] = value
    return app.run()


@pytest.mark.usefixtures("unchanged")
def test_runs_are_listed_and_filtered(page: Page) -> None:
    app = page("runs")
    table = app.dataframe[0].value.set_index("run")
    assert set(table.index) == {DONE, GOING, UNTESTED}
    assert table.loc[DONE, "dice"] == 75.0
    assert table.loc[DONE, "hd95_mm"] == 6.0
    assert table.loc[GOING, "state"] == "RUNNING"
    assert table["minutes"].to_dict() == pytest.approx({DONE: 7.5, GOING: math.nan, UNTESTED: math.nan}, nan_ok=True)
    app.multiselect(key="role").set_value(["student"]).run()
    assert list(app.dataframe[0].value["run"]) == [UNTESTED]
    app.text_input(key="search").set_value("no such name").run()
    assert "No run matches" in texts(app.info)


@pytest.mark.usefixtures("unchanged")
def test_a_link_brings_its_filters() -> None:
    app = _linked(dataset="btcv")
    assert app.multiselect(key="dataset").value == ["btcv"]
    assert list(app.dataframe[0].value["run"]) == [GOING]
    assert list(_linked(search="TINY").dataframe[0].value["run"]) == [UNTESTED]


def test_a_filter_stays_when_no_run_matches_it_any_more(workspace: Path) -> None:
    app = _linked(state="RUNNING")
    assert list(app.dataframe[0].value["run"]) == [GOING]
    tag_run(Workspace(workspace), GOING, {}, "FINISHED")
    st.cache_data.clear()
    for each in (app.run(), _linked(state="RUNNING")):
        assert each.multiselect(key="state").value == ["RUNNING"] and not each.dataframe
        assert "No run matches the filters" in _said(each)


@pytest.mark.usefixtures("unchanged")
def test_one_filter_takes_no_choice_of_another_away() -> None:
    app = _linked(role="student")
    app.multiselect(key="dataset").set_value(["btcv"]).run()
    assert app.multiselect(key="role").value == ["student"] and not app.dataframe
    app.multiselect(key="role").set_value([]).run()
    assert list(app.dataframe[0].value["run"]) == [GOING]
    several = _linked(state=["RUNNING", "KILLED"])
    assert several.multiselect(key="state").value == ["RUNNING", "KILLED"]
    assert list(several.dataframe[0].value["run"]) == [GOING]


def test_trials_name_their_sweep_and_fold_away(page: Page, workspace: Path) -> None:
    sweep = open_run(Workspace(workspace), "lambda-0000000d", tags={"name": "lambda", "role": "sweep"}, params={})
    tag_run(Workspace(workspace), DONE, {PARENT: sweep.mlflow_id})
    app = page("runs")
    assert app.dataframe[0].value.set_index("run").loc[DONE, "sweep"] == "lambda-0000000d"
    app.toggle(key="trials").set_value(False).run()
    assert set(app.dataframe[0].value["run"]) == {GOING, UNTESTED, "lambda-0000000d"}
    assert "part of the sweep" in _said(page("run", run=DONE))
    assert not page("run", run="lambda-0000000d").exception


@pytest.mark.usefixtures("unchanged")
def test_a_click_on_a_name_opens_its_run(page: Page) -> None:
    app = page("runs")
    row = list(app.dataframe[0].value["run"]).index(UNTESTED)
    choose(app, "runs", cell=(row, "run"))
    assert texts(app.title) == UNTESTED
    assert app.query_params["run"] == UNTESTED


@pytest.mark.usefixtures("unchanged")
def test_ticked_runs_go_to_compare_with_their_curves_in_one_chart(page: Page) -> None:
    app = page("runs")
    rows = [list(app.dataframe[0].value["run"]).index(name) for name in (UNTESTED, DONE)]
    choose(app, "runs", rows)
    assert len(app.get("vega_lite_chart")) == 1 and not app.exception
    app.button[0].click().run()
    assert texts(app.title) == "Compare" and app.query_params["runs"] == f"{UNTESTED},{DONE}"


def test_ticked_runs_stay_ticked_when_another_comes_and_go_when_a_search_hides_them(
    page: Page, workspace: Path
) -> None:
    app = page("runs")
    listed = list(app.dataframe[0].value["run"])
    choose(app, "runs", [listed.index(UNTESTED), listed.index(DONE)])
    open_run(Workspace(workspace), "newer-0000000d", tags={"name": "newer"}, params={})
    st.cache_data.clear()
    app.run()
    assert list(app.dataframe[0].value["run"]) == ["newer-0000000d", *listed]
    assert app.session_state["runs-drawn"][2] == [UNTESTED, DONE]
    app.text_input(key="search").set_value("demo").run()
    assert not app.exception and app.session_state["runs-drawn"][2] == [DONE]
    assert app.button[0].label == "Compare 1 runs"
    app.text_input(key="search").set_value("newer").run()
    assert not app.exception and not app.button


@pytest.mark.usefixtures("unchanged")
def test_rows_beyond_the_table_are_none(page: Page) -> None:
    app = choose(page("runs"), "runs", [1, 99, -1], cell=(99, "run"))
    assert not app.exception and len(app.session_state["runs-drawn"][2]) == 1


@pytest.mark.usefixtures("unchanged")
def test_a_link_brings_its_order_and_columns() -> None:
    app = _linked(sort="dice", columns="dice")
    table = app.dataframe[0]
    assert table.value["run"].iloc[0] == DONE
    assert list(table.proto.column_order) == ["run", "dice"]


def test_the_leaderboard_keeps_the_papers_results_apart(workspace: Path) -> None:
    open_run(Workspace(workspace), GOING, tags={}, params={}).log({"test/mean_dice": 0.9, "test/mean_nsd": 0.8}, 0)
    app = _linked(show="Leaderboard", on="btcv")
    ours, paper = (frame.value for frame in app.dataframe)
    assert ours[["run", "dice", "nsd"]].values.tolist() == [[GOING, 90.0, 80.0]]
    assert paper.iloc[0].tolist() == ["AutoSAM Adapter", 87.15, 78.83, 1]
    assert [heading.value for heading in app.subheader] == ["Ours on btcv", "The paper's"]
    assert "split of 24 / – / 6 cases" in _said(app)


@pytest.mark.usefixtures("unchanged")
def test_a_dataset_that_is_not_in_the_paper_is_said_to_be_none() -> None:
    app = _linked(show="Leaderboard")
    assert "The paper has no results on phantom" in _said(app)
    assert len(app.dataframe) == 1


def test_a_leaderboard_names_the_file_that_is_broken(workspace: Path) -> None:
    (workspace / "runs" / DONE / "evaluation" / "summary.json").write_text("[")
    app = _linked(show="Leaderboard")
    assert "summary.json cannot be read" in errors(app)
    assert app.dataframe[0].value["dice"].tolist() == [75.0]


@pytest.mark.usefixtures("unchanged")
def test_a_finished_run_shows_state_curves_and_metrics(page: Page) -> None:
    app = page("run", run=DONE)
    assert not app.exception
    assert not app.error
    assert texts(app.title) == DONE and [tab.label for tab in app.tabs] == ["Results", "Training", "Log", "Settings"]
    started = "teacher · autosam_demo · phantom · started "
    assert f"**FINISHED** · epoch 5 · 0:07:30 spent training · {started}" in _said(app)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {"Mean Dice": "75.00 %", "Mean NSD": "50.00 %", "Mean HD95": "6.0 mm"}
    assert "Test cases, n = 1, evaluated on 20" in _said(app)
    assert len(app.get("vega_lite_chart")) == 2  # loss, validation Dice
    assert len(app.get("plotly_chart")) == 2  # Dice and NSD by organ
    (cases,) = (frame.value for frame in app.dataframe)
    assert cases.loc[0, ["case", "hd95_mm", "worst", "n", "n_hd95"]].tolist() == [CASE, 6.0, "liver", 1, 1]


@pytest.mark.usefixtures("unchanged")
def test_a_case_that_is_clicked_opens_in_the_viewer(page: Page) -> None:
    app = page("run", run=DONE)
    point = {"customdata": ["shown", CASE, "liver"], "x": 50}
    app.session_state[f"{DONE}-dice-by-organ"] = {"selection": {"points": [point], "box": [], "lasso": []}}
    app.run()
    assert app.get("bidi_component")  # the viewer
    assert [app.query_params[name] for name in ("run", "case", "organ")] == [DONE, CASE, "liver"]


@pytest.mark.usefixtures("unchanged")
def test_a_run_says_what_it_was_made_with_and_how_it_is_repeated(page: Page) -> None:
    app = page("run", run=DONE)
    commands = texts(app.code)
    assert f"jobs/train_teacher.py --recipe {os.environ['AUTOSAM_WORKSPACE']}/runs/{DONE}/config.yaml" in commands
    assert "The run has no model yet" in _said(app)


def test_a_run_in_progress_says_how_far_it_is(page: Page, workspace: Path) -> None:
    told = {"done": 30, "total": 60, "epoch": 3, "epochs": 6, "loss": 1.0, "learning_rate": 1e-3, "seconds_left": 250.2}
    Workspace(workspace).run(GOING).progress.write_text(json.dumps({"said": 0, "messages": [], "progress": told}))
    (bar,) = page("run", run=GOING).get("progress")
    assert bar.proto.value == 50
    assert bar.proto.text.replace("\\", "").startswith("**RUNNING** · epoch 3 of 6 · 0:04:10 left · teacher")


@pytest.mark.usefixtures("unchanged")
def test_a_run_is_copied_compared_and_named_in_the_browsers_tab(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(st, "set_page_config", lambda **told: names.append(told["page_title"]))
    app = page("run", run=DONE)
    assert names[-1] == f"{DONE} · Run"
    buttons = {button.label: button for button in app.button}
    assert buttons["Predict"].disabled  # it has no model
    buttons["Compare"].click().run()
    assert texts(app.title) == "Compare" and app.query_params["runs"] == DONE


def test_a_copy_of_a_run_is_a_form_with_its_settings(page: Page, workspace: Path) -> None:
    settings = {"name": "copied", "model": {"name": "unetr"}, "training": {"epochs": 17}}
    config = workspace / "runs" / UNTESTED / "config.yaml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    app = page("run", run=UNTESTED)
    next(button for button in app.button if button.label == "Launch a copy").click().run()
    assert texts(app.title) == "Launch" and not app.exception and not app.error
    assert f"Filled in from the settings of {UNTESTED}" in _said(app)
    assert {box.label: box.value for box in app.number_input}["Epochs"] == 17
    next(button for button in app.button if button.label == "Check these settings").click().run()
    assert f"jobs/train_baseline.py --recipe {config} --model unetr" in texts(app.code)


@pytest.mark.usefixtures("unchanged")
def test_a_run_in_progress_says_that_curves_will_come(page: Page) -> None:
    app = page("run", run=GOING)
    assert "**RUNNING**" in _said(app) and "first steps" in _said(app)


def _left_behind(folder: Path) -> None:
    """As a killed process leaves a run: its lock file there, nothing written for an hour."""
    (folder / LOCK).touch()
    long_ago = time.time() - 3600
    os.utime(folder, (long_ago, long_ago))


def test_a_killed_run_is_said_to_be_interrupted(page: Page, workspace: Path) -> None:
    _left_behind(workspace / "runs" / GOING)
    assert page("runs").dataframe[0].value.set_index("run").loc[GOING, "state"] == "INTERRUPTED"
    app = page("run", run=GOING)
    assert "**INTERRUPTED**" in _said(app)
    assert "no process of this machine makes it" in errors(app)
    assert "jobs/train_teacher.py" in texts(app.code)


def test_a_run_that_was_stopped_is_said_to_be(page: Page, workspace: Path) -> None:
    tag_run(Workspace(workspace), GOING, {}, "STOPPED")
    app = page("runs")
    assert app.dataframe[0].value.set_index("run").loc[GOING, "state"] == "STOPPED"
    assert "STOPPED" in app.multiselect(key="state").options
    app = page("run", run=GOING)
    assert "**STOPPED** · teacher" in _said(app) and not app.metric
    assert "stopped before its end" in errors(app)


def test_a_run_whose_lock_is_held_or_that_was_just_written_goes_on(page: Page, workspace: Path) -> None:
    folder = workspace / "runs" / GOING
    _left_behind(folder)
    with filelock.FileLock(folder / LOCK):
        assert "**RUNNING**" in _said(page("run", run=GOING))
    os.utime(folder)
    st.cache_data.clear()
    assert "**RUNNING**" in _said(page("run", run=GOING))


def test_a_run_that_ends_while_it_is_watched_is_drawn_with_its_end(page: Page, workspace: Path) -> None:
    app = page("run", run=GOING)
    assert "**RUNNING**" in _said(app)
    open_run(Workspace(workspace), GOING, tags={}, params={}).finish()
    st.cache_data.clear()
    app.run()
    assert "**FINISHED**" in _said(app)
    assert "Results come after the training" in _said(app)


def test_a_database_of_other_tables_is_said(page: Page, workspace: Path) -> None:
    with closing(sqlite3.connect(workspace / "mlflow.db")) as other:
        other.execute("DROP TABLE runs")
        other.commit()
    assert "record of runs does not answer" in errors(page("runs"))


@pytest.mark.usefixtures("unchanged")
def test_a_failed_run_says_how_it_goes_on(page: Page) -> None:
    app = page("run", run=UNTESTED)
    assert "Continue goes on from its last checkpoint" in errors(app)
    assert "Results come after the training" in _said(app)


@pytest.mark.parametrize("content", ["", "case,dice\nimg,0.5\n", "\x00\x01", None])
def test_a_damaged_table_is_named_with_its_remedy(page: Page, workspace: Path, content: str | None) -> None:
    table = workspace / "runs" / DONE / "evaluation" / "metrics.csv"
    table.write_text(table.read_text().replace("0.5", "half") if content is None else content)
    app = page("run", run=DONE)
    assert "metrics.csv cannot be read" in errors(app)
    assert "writes it anew" in errors(app)
    assert len(app.get("vega_lite_chart")) == 2  # the curves are still there


def _with_second_case(workspace: Path) -> Path:
    """The table of an evaluation of two cases, whose records are there."""
    evaluation = Workspace(workspace).run(DONE).evaluation()
    (record,) = evaluation.records.glob("*.json")
    (evaluation.records / "second.json").write_text(record.read_text().replace(CASE, "second"))
    first = evaluation.metrics.read_text()
    evaluation.metrics.write_text(first + "".join(f"second{line[len(CASE) :]}\n" for line in first.splitlines()[1:]))
    return evaluation.metrics


@pytest.mark.parametrize(
    ("left_out", "message"),
    [(0, ""), (1, "2 of the 2 cases that were evaluated, and of second not all organs"), (70, "1 of the 2 cases")],
)
def test_half_of_a_table_is_said_to_be_half(page: Page, workspace: Path, left_out: int, message: str) -> None:
    table = _with_second_case(workspace)
    table.write_bytes(table.read_bytes()[: -left_out or None])  # two lines of organs have 100 characters
    app = page("run", run=DONE)
    assert not app.exception and not app.error
    assert ("it was cut short" in _said(app)) == bool(message)
    assert message in _said(app) and (f"evaluate.py --run {DONE}" in texts(app.code)) == bool(message)


def test_a_damaged_card_or_report_leaves_the_rest(page: Page, workspace: Path) -> None:
    run = workspace / "runs" / DONE
    for name in ("model/model.json", "report/report.csv"):
        (run / name).parent.mkdir()
        (run / name).write_text("{")
    app = page("run", run=DONE)
    assert "model.json is damaged" in errors(app)
    assert "report.csv cannot be read" in errors(app)
    assert len(app.dataframe) == 1


def test_a_damaged_record_of_runs_leaves_the_files_to_look_at(page: Page, workspace: Path) -> None:
    (workspace / "mlflow.db").write_text("rubbish")
    assert "mlflow.db" in errors(page("runs"))
    app = page("run", run=DONE)
    assert "move the file away" in errors(app)
    assert len(app.dataframe) == 1


def test_a_run_without_a_record_shows_its_files(page: Page, workspace: Path) -> None:
    shutil.copytree(workspace / "runs" / DONE, workspace / "runs" / "copied-0000000e")
    app = page("run", run="copied-0000000e")
    assert "no entry in the tracking record" in _said(app)
    assert len(app.dataframe) == 1
