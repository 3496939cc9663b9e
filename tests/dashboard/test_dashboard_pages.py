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
from example_runs import APP, CASE, DONE
from page_texts import errors, texts
from streamlit.testing.v1 import AppTest

Page = Callable[..., AppTest]


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("name", ["runs", "run", "compare", "viewer"])
def test_an_empty_workspace_names_the_command_that_fills_it(page: Page, name: str) -> None:
    app = page(name)
    assert not app.exception
    assert "yet" in texts(app.info)
    assert texts(app.code) == "make demo"


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


def test_no_page_imports_the_libraries_of_training(example: Path) -> None:
    code = (
        "import sys; from streamlit.testing.v1 import AppTest\n"
        "app = AppTest.from_file(sys.argv[1], default_timeout=60).run()\n"
        "app.query_params['run'] = sys.argv[2]\n"
        "for name in ('run', 'compare', 'viewer'):\n"
        "    app.switch_page(f'views/{name}.py').run()\n"
        "    assert not app.exception and not app.error, (app.exception, app.error)\n"
        "print([name for name in ('torch', 'ray', 'monai', 'mlflow') if name in sys.modules])"
    )
    environment = {"AUTOSAM_WORKSPACE": str(example), "PATH": "", "RAY_ADDRESS": os.environ["RAY_ADDRESS"]}
    command = [sys.executable, "-c", code, str(APP), DONE]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
