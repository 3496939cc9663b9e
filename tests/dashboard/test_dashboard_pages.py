"""Every page in its states: nothing yet, something to show, work in progress, something broken."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example_cases import volumes, write_prediction, write_volume
from example_runs import APP, CASE, DONE, write_card
from example_studies import STUDY, write_example_study
from example_sweeps import ADAPTER, adapter_trials, write_sweep
from page_texts import errors, texts
from patience import HANG_S
from streamlit.testing.v1 import AppTest

from autosam_platform.tracking.writing import tag_run
from autosam_platform.workspace import Workspace
from dashboard.components.base.terminal import in_terminal

Page = Callable[..., AppTest]


def test_the_command_as_it_was_given_and_versions_are_no_markdown(page: Page, workspace: Path) -> None:
    command = "jobs/x.py --root '/a/*b*/c  d' --note [click](https://example.org) $a$ :red[x]"
    tag_run(Workspace(workspace), DONE, {"autosam.command": command, "autosam.version.torch": "2.13*a*"})
    app = page("run", run=DONE)
    assert not app.exception
    assert command in [each.value for each in app.code]
    assert app.table[0].value.loc[0, "torch"] == r"2\.13\*a\*"


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("name", ["runs", "run", "compare", "viewer"])
def test_an_empty_workspace_names_the_command_that_fills_it(page: Page, name: str) -> None:
    app = page(name)
    assert not app.exception
    assert "yet" in texts(app.info)
    assert texts(app.code) == in_terminal(["make", "demo"])


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
    assert app.dataframe[0].value.loc[0, "dice"] == pytest.approx(200 / 3)
    assert np.isnan(app.dataframe[0].value.loc[0, "hd95_mm"])
    app = page("viewer", run=DONE, case=CASE)
    assert not app.exception and not app.error
    assert app.dataframe[0].value["hd95_mm"].isna().all()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", ["run", "viewer"])
def test_an_address_that_is_no_name_is_refused(page: Page, name: str) -> None:
    app = page(name, run="../../etc")
    assert "'../../etc' is not the name of a run" in errors(app)
    assert not app.get("bidi_component")
    assert not app.get("plotly_chart")


@pytest.mark.usefixtures("unchanged")
def test_unknown_runs_and_cases_are_told_apart_from_bad_names(page: Page) -> None:
    assert "There is no run 'demo-ffffffff'" in errors(page("run", run="demo-ffffffff"))
    assert "There is no case 'other'" in errors(page("viewer", run=DONE, case="other"))
    assert "is not the name of a case" in errors(page("viewer", run=DONE, case="../img"))


def test_a_link_into_the_app_may_be_the_first_thing_a_server_is_asked_for() -> None:
    # With a folder of this name Streamlit starts in its older way of many pages, and app.py is passed over.
    assert not (APP.parent / "pages").exists()


VISIT = """
import json, sys
from streamlit.testing.v1 import AppTest

app, pages, limit = sys.argv[1:]
answers = []
for name, address, shown in json.loads(pages):
    page = AppTest.from_file(app, default_timeout=float(limit)).run()
    page.switch_page(f"views/{name}.py")
    for key, value in address.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception and not page.error, (name, page.exception, page.error)
    assert page.get(shown), f"{name} shows no {shown}"
    answers.append([name, [each for each in ("torch", "ray", "monai", "mlflow", "optuna") if each in sys.modules]])
print(json.dumps(answers))
"""


def test_no_page_imports_the_libraries_of_training(workspace: Path) -> None:
    """Every page in one fresh process, each with something to show; what a page imports is blamed on it."""
    run = Workspace(workspace).run(DONE)
    write_card(run)
    run.weights.write_bytes(b"not read")
    write_sweep(workspace, ADAPTER, adapter_trials(), 4)
    write_example_study(workspace, DONE)
    prediction = write_prediction(workspace, write_volume(workspace / "scan.nii.gz", volumes().scan), volumes().first)
    pages = [
        ("runs", {}, "dataframe"),
        ("run", {"run": DONE}, "vega_lite_chart"),
        ("compare", {"runs": DONE}, "multiselect"),
        ("viewer", {"run": DONE, "case": CASE}, "bidi_component"),
        ("viewer", {"prediction": prediction}, "bidi_component"),
        ("sweeps", {"sweep": ADAPTER}, "plotly_chart"),
        ("studies", {"study": STUDY}, "dataframe"),
        ("predict", {"run": DONE}, "file_uploader"),
        ("launch", {"job": "train_teacher"}, "button"),
        ("launch", {"job": "sweep"}, "button"),
        ("cluster", {}, "code"),
    ]
    environment = {"AUTOSAM_WORKSPACE": str(workspace), "PATH": "", "RAY_ADDRESS": os.environ["RAY_ADDRESS"]}
    command = [sys.executable, "-c", VISIT, str(APP), json.dumps(pages), str(HANG_S)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[name, []] for name, _, _ in pages]
