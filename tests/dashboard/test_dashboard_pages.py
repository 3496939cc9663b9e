"""Every page in its states: nothing yet, something to show, work in progress, something broken."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from example_runs import APP, CASE, DONE, GOING, UNTESTED
from streamlit.testing.v1 import AppTest

from autosam_platform.tracking import list_runs, open_run

Page = Callable[..., AppTest]


def _texts(elements: object) -> str:
    return "\n".join(element.value for element in elements)  # type: ignore[attr-defined]


def _errors(app: AppTest) -> str:
    assert not app.exception
    return _texts(app.error).replace("\\", "")  # messages escape Markdown


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("name", ["runs", "run", "viewer"])
def test_an_empty_workspace_names_the_command_that_fills_it(page: Page, name: str) -> None:
    app = page(name)
    assert not app.exception
    assert "yet" in _texts(app.info)
    assert _texts(app.code) == "make demo"


@pytest.mark.usefixtures("unchanged")
def test_runs_are_listed_and_filtered(page: Page) -> None:
    app = page("runs")
    table = app.dataframe[0].value.set_index("run")
    assert set(table.index) == {DONE, GOING, UNTESTED}
    assert table.loc[DONE, "dice"] == 0.75
    assert table.loc[DONE, "hd95_mm"] == 6.0
    assert table.loc[GOING, "state"] == "RUNNING"
    app.multiselect[2].set_value(["student"]).run()
    assert list(app.dataframe[0].value["run"]) == [UNTESTED]
    app.text_input[0].set_value("no such name").run()
    assert "No run matches" in _texts(app.info)


@pytest.mark.usefixtures("unchanged")
def test_a_chosen_row_opens_its_run(page: Page) -> None:
    app = page("runs")
    row = list(app.dataframe[0].value["run"]).index(UNTESTED)
    app.session_state["runs"] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    app.run()
    assert app.title[0].value == "Run"
    assert app.query_params["run"] == UNTESTED


@pytest.mark.usefixtures("unchanged")
def test_a_finished_run_shows_state_curves_and_metrics(page: Page) -> None:
    app = page("run", run=DONE)
    assert not app.exception
    assert not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown | {"Duration": ""} == {
        "State": "FINISHED",
        "Epoch": "5",
        "Mean Dice": "0.750",
        "Mean NSD": "0.500",
        "Mean HD95": "6.0 mm",
        "Duration": "",
    }
    assert len(app.get("plotly_chart")) == 4  # loss, validation Dice; Dice and NSD by organ
    (cases,) = (frame.value for frame in app.dataframe)
    assert cases.loc[0, ["case", "hd95_mm", "worst", "n", "n_hd95"]].tolist() == [CASE, 6.0, "liver", 1, 1]


@pytest.mark.usefixtures("unchanged")
def test_a_run_in_progress_says_that_curves_will_come(page: Page) -> None:
    app = page("run", run=GOING)
    assert not app.exception
    assert app.metric[0].value == "RUNNING"
    assert "first steps" in _texts(app.info)
    app.toggle[0].set_value(False).run()
    assert not app.exception
    assert app.metric[0].value == "RUNNING"


def test_a_run_that_ends_while_it_is_watched_is_drawn_with_its_end(page: Page, workspace: Path) -> None:
    app = page("run", run=GOING)
    assert app.toggle
    open_run(workspace, GOING, tags={}, params={}).finish()
    st.cache_data.clear()
    app.run()
    assert app.metric[0].value == "FINISHED"
    assert not app.toggle
    assert "not evaluated yet" in _texts(app.info)


def test_a_database_that_fails_after_it_was_opened_is_said(page: Page, workspace: Path) -> None:
    list_runs(workspace)
    with closing(sqlite3.connect(workspace / "mlflow.db")) as other:
        other.execute("DROP TABLE runs")
        other.commit()
    assert "record of runs does not answer" in _errors(page("runs"))


@pytest.mark.usefixtures("unchanged")
def test_a_failed_run_says_how_it_goes_on_and_what_evaluates_it(page: Page) -> None:
    app = page("run", run=UNTESTED)
    assert "continues from its last checkpoint" in _errors(app)
    assert f"python jobs/evaluate.py --run {UNTESTED}" in _texts(app.code)


def test_a_run_evaluated_before_there_was_hd95_is_shown_without(page: Page, workspace: Path) -> None:
    folder = workspace / "runs" / DONE / "evaluation"
    pd.read_csv(folder / "metrics.csv").drop(columns="hd95_mm").to_csv(folder / "metrics.csv", index=False)
    record = folder / "cases" / f"{CASE}.json"
    content = json.loads(record.read_text())
    for row in content["rows"]:
        del row["hd95_mm"]
    record.write_text(json.dumps(content))

    app = page("run", run=DONE)
    assert not app.exception and not app.error
    assert app.dataframe[0].value.loc[0, "dice"] == pytest.approx(2 / 3)
    assert np.isnan(app.dataframe[0].value.loc[0, "hd95_mm"])
    app = page("viewer", run=DONE, case=CASE)
    assert not app.exception and not app.error
    assert app.dataframe[0].value["hd95_mm"].isna().all()


@pytest.mark.parametrize("content", ["", "case,dice\nimg,0.5\n", "\x00\x01", None])
def test_a_damaged_table_is_named_with_its_remedy(page: Page, workspace: Path, content: str | None) -> None:
    table = workspace / "runs" / DONE / "evaluation" / "metrics.csv"
    table.write_text(table.read_text().replace("0.5", "half") if content is None else content)
    app = page("run", run=DONE)
    assert "metrics.csv cannot be read" in _errors(app)
    assert "writes it anew" in _errors(app)
    assert len(app.get("plotly_chart")) == 2  # the curves are still there


def test_a_damaged_record_of_runs_leaves_the_files_to_look_at(page: Page, workspace: Path) -> None:
    (workspace / "mlflow.db").write_text("rubbish")
    assert "mlflow.db" in _errors(page("runs"))
    app = page("run", run=DONE)
    assert "move the file away" in _errors(app)
    assert len(app.dataframe) == 1
    assert len(page("viewer", run=DONE).get("bidi_component")) == 1


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", ["run", "viewer"])
def test_an_address_that_is_no_name_is_refused(page: Page, name: str) -> None:
    app = page(name, run="../../etc")
    assert "'../../etc' is not the name of a run" in _errors(app)
    assert not app.get("bidi_component")
    assert not app.get("plotly_chart")


@pytest.mark.usefixtures("unchanged")
def test_unknown_runs_and_cases_are_told_apart_from_bad_names(page: Page) -> None:
    assert "There is no run 'demo-ffffffff'" in _errors(page("run", run="demo-ffffffff"))
    assert "There is no case 'other'" in _errors(page("viewer", run=DONE, case="other"))
    assert "is not the name of a case" in _errors(page("viewer", run=DONE, case="../img"))


def test_a_link_into_the_app_may_be_the_first_thing_a_server_is_asked_for() -> None:
    # With a folder of this name Streamlit starts in its older way of many pages, and app.py is passed over.
    assert not (APP.parent / "pages").exists()


def test_no_page_imports_the_libraries_of_training(example: Path) -> None:
    code = (
        "import sys; from streamlit.testing.v1 import AppTest\n"
        "app = AppTest.from_file(sys.argv[1], default_timeout=60).run()\n"
        "app.query_params['run'] = sys.argv[2]\n"
        "for name in ('run', 'viewer'):\n"
        "    app.switch_page(f'views/{name}.py').run()\n"
        "    assert not app.exception and not app.error, (app.exception, app.error)\n"
        "print([name for name in ('torch', 'ray', 'monai') if name in sys.modules])"
    )
    environment = {"AUTOSAM_WORKSPACE": str(example), "PATH": ""}
    command = [sys.executable, "-c", code, str(APP), DONE]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
