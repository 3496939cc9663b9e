"""Every page in its states: nothing yet, something to show, work in progress, something broken."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from example_runs import APP, CASE, DONE
from streamlit.testing.v1 import AppTest

Page = Callable[..., AppTest]


def _texts(elements: object) -> str:
    return "\n".join(element.value for element in elements)  # type: ignore[attr-defined]


def _errors(app: AppTest) -> str:
    assert not app.exception
    return _texts(app.error).replace("\\", "")  # messages escape Markdown


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("name", ["runs", "run", "compare", "viewer"])
def test_an_empty_workspace_names_the_command_that_fills_it(page: Page, name: str) -> None:
    app = page(name)
    assert not app.exception
    assert "yet" in _texts(app.info)
    assert _texts(app.code) == "make demo"


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
    assert "'../../etc' is not the name of a run" in _errors(app)
    assert not app.get("image")
    assert not app.get("plotly_chart")


@pytest.mark.usefixtures("unchanged")
def test_unknown_runs_and_cases_are_told_apart_from_bad_names(page: Page) -> None:
    assert "There is no run 'demo-ffffffff'" in _errors(page("run", run="demo-ffffffff"))
    assert "There is no case 'other'" in _errors(page("viewer", run=DONE, case="other"))
    assert "is not the name of a case" in _errors(page("viewer", run=DONE, case="../img"))


@pytest.mark.usefixtures("unchanged")
def test_the_viewer_shows_three_planes_and_the_metrics_of_the_case(page: Page) -> None:
    app = page("viewer", run=DONE, case=CASE)
    assert not app.exception
    assert not app.error
    assert len(app.get("image")) == 3
    organs = app.dataframe[0].value.set_index("class_name")
    assert organs.loc["liver", "dice"] == pytest.approx(2 / 3)
    assert organs.loc["liver", "hd95_mm"] == 6.0
    assert np.isnan(organs.loc["gallbladder", "dice"])
    app.slider[1].set_value(0).run()
    app.button_group[3].set_value([]).run()  # no organ
    assert len(app.get("image")) == 3
    assert not app.exception


def test_a_missing_prediction_is_said_and_the_rest_is_shown(page: Page, workspace: Path) -> None:
    (workspace / "runs" / DONE / "evaluation" / "predictions" / f"{CASE}.nii.gz").unlink()
    app = page("viewer", run=DONE)
    assert "is missing" in _texts(app.warning)
    assert len(app.get("image")) == 3


def test_a_truncated_prediction_is_said_and_the_rest_is_shown(page: Page, workspace: Path) -> None:
    file = workspace / "runs" / DONE / "evaluation" / "predictions" / f"{CASE}.nii.gz"
    file.write_bytes(file.read_bytes()[:-40])
    app = page("viewer", run=DONE)
    assert "damaged or truncated" in _errors(app)
    assert len(app.get("image")) == 3


def test_a_prediction_on_another_grid_is_not_painted(page: Page, workspace: Path) -> None:
    file = workspace / "runs" / DONE / "evaluation" / "predictions" / f"{CASE}.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 3, 2), np.uint8), np.eye(4)), file)
    assert "has 2 × 3 × 4 voxels and its scan 8 × 11 × 14" in _errors(page("viewer", run=DONE))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"rows": 3}', '{"rows": [{"case": "a"}]}'])
def test_a_damaged_record_of_a_case_is_named(page: Page, workspace: Path, content: str) -> None:
    file = workspace / "runs" / DONE / "evaluation" / "cases" / f"{CASE}.json"
    file.write_text(content)
    assert "is no record of a case" in _errors(page("viewer", run=DONE))


def test_scans_outside_the_workspace_and_the_dataset_are_not_opened(page: Page, workspace: Path) -> None:
    run, scan = workspace / "runs" / DONE, workspace / "datasets" / "scan.nii.gz"
    elsewhere = workspace.parent / "elsewhere"
    elsewhere.mkdir()
    scan.rename(elsewhere / scan.name)
    scan.symlink_to(elsewhere / scan.name)
    assert "is not opened" in _errors(page("viewer", run=DONE))
    run.joinpath("config.yaml").write_text(f"dataset: {{root: {elsewhere}}}")
    assert len(page("viewer", run=DONE).get("image")) == 3


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
    environment = {"AUTOSAM_WORKSPACE": str(example), "PATH": ""}
    command = [sys.executable, "-c", code, str(APP), DONE]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
