"""The page that compares runs, in its states."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from example_runs import CASE, DONE, GOING, write_card
from streamlit.testing.v1 import AppTest

from autosam_platform.workspace import Workspace

Page = Callable[..., AppTest]
OTHER = "other-0000000e"


def _said(app: AppTest) -> str:
    assert not app.exception
    shown = [*app.info, *app.warning, *app.error, *app.caption, *app.markdown]
    return "\n".join(element.value for element in shown).replace("\\", "")


@pytest.fixture
def other(workspace: Path) -> Path:
    """A second evaluated run: the liver a tenth better, one case more, another learning rate."""
    folder = workspace / "runs" / OTHER
    shutil.copytree(workspace / "runs" / DONE, folder)
    table = pd.read_csv(folder / "evaluation" / "metrics.csv")
    table["dice"] += 0.1
    more = table.assign(case="img 02")
    pd.concat([table, more]).to_csv(folder / "evaluation" / "metrics.csv", index=False, na_rep="nan")
    folder.joinpath("config.yaml").write_text(yaml.safe_dump({"name": DONE, "training": {"learning_rate": 0.1}}))
    return folder


@pytest.mark.usefixtures("unchanged")
def test_it_asks_for_two_runs(page: Page) -> None:
    assert "Choose two runs or more" in _said(page("compare"))
    assert "Choose two runs or more" in _said(page("compare", runs=DONE))


@pytest.mark.usefixtures("other")
def test_two_runs_are_compared_case_by_case(page: Page) -> None:
    app = page("compare", runs=f"{DONE},{OTHER}")
    means, tests, settings = (frame.value for frame in app.dataframe)
    assert means.set_index("organ").loc["liver"].tolist() == pytest.approx([1, 200 / 3, 200 / 3 + 10])
    assert tests.set_index("organ")["n"].to_dict() == {"gallbladder": 0, "liver": 1, "all organs": 1}
    assert tests.set_index("organ").loc["liver", "difference"] == pytest.approx(10)
    assert settings["setting"].tolist() == ["dataset.root", "training.learning_rate"]
    said = _said(app)
    assert "1 others are the same" in said  # the name
    assert "Test cases: 1 cases in common. Evaluated on: " in said and f"since not all have them: {OTHER} 1." in said
    assert "+10.00 points, n = 1" in said
    assert "fewer than 6 cases p cannot be below 0.05" in said
    assert "Left out here" not in said
    assert len(app.get("plotly_chart")) == 1


def test_what_only_one_run_has_a_score_for_is_left_out_and_counted(page: Page, other: Path) -> None:
    table = other / "evaluation" / "metrics.csv"
    pd.read_csv(table).fillna({"dice": 0.0}).to_csv(table, index=False, na_rep="nan")  # it invents a gallbladder
    app = page("compare", runs=f"{DONE},{OTHER}")
    means = app.dataframe[0].value.set_index("organ")
    assert means.loc["mean over organs", OTHER] == pytest.approx(200 / 3 + 10)
    assert "Left out here and below: 1 findings of an organ" in _said(app) and "(gallbladder 1)" in _said(app)


@pytest.mark.usefixtures("other")
def test_a_case_that_is_clicked_opens_with_both_runs(page: Page) -> None:
    app = page("compare", runs=f"{DONE},{OTHER}")
    point = {"customdata": ["shown", CASE, "liver"], "x": 10.0}
    app.session_state[f"paired-dice-{OTHER}"] = {"selection": {"points": [point], "box": [], "lasso": []}}
    app.run()
    assert app.get("bidi_component")  # the viewer
    shown = {name: app.query_params[name] for name in ("run", "with", "case")}
    assert shown == {"run": OTHER, "with": DONE, "case": CASE}


@pytest.mark.usefixtures("other")
def test_the_address_follows_the_choice(page: Page) -> None:
    app = page("compare", runs=DONE)
    widget = app.multiselect[0].id
    app.multiselect[0].set_value([DONE, OTHER]).run()
    assert app.query_params["runs"] == f"{DONE},{OTHER}"
    assert len(app.dataframe) == 3
    assert app.multiselect[0].id == widget  # else a browser drops what is chosen before the page is drawn anew
    app.multiselect[0].set_value([OTHER]).run()
    assert app.query_params["runs"] == OTHER


def test_models_of_different_splits_are_warned_of(page: Page, workspace: Path, other: Path) -> None:
    for number, folder in enumerate((workspace / "runs" / DONE, other)):
        write_card(Workspace(workspace).run(folder.name), data_fingerprint="a", split={"test": [str(number)]})
    said = _said(page("compare", runs=f"{DONE},{OTHER}"))
    assert "differ in their split into training" in said
    assert "differ in their dataset" not in said


def test_nsd_of_two_tolerances_is_not_compared(page: Page, other: Path) -> None:
    table = other / "evaluation" / "metrics.csv"
    pd.read_csv(table).assign(nsd_tolerance_mm=3.0).to_csv(table, index=False, na_rep="nan")
    assert "tolerances of [2.0, 3.0] mm" in _said(page("compare", runs=f"{DONE},{OTHER}", metric="NSD"))


def test_runs_without_a_case_in_common_are_said_so(page: Page, other: Path) -> None:
    table = other / "evaluation" / "metrics.csv"
    pd.read_csv(table).assign(case="elsewhere").to_csv(table, index=False, na_rep="nan")
    assert "no case in common" in _said(page("compare", runs=f"{DONE},{OTHER}"))


def test_a_damaged_table_is_named_and_the_settings_are_shown(page: Page, other: Path) -> None:
    (other / "evaluation" / "metrics.csv").write_text("rubbish")
    app = page("compare", runs=f"{DONE},{OTHER}")
    assert "metrics.csv cannot be read" in _said(app)
    assert len(app.dataframe) == 1


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize(
    ("runs", "message"),
    [(f"{DONE},{GOING}", "not among the runs"), ("../../etc", "'../../etc' is not the name of a runs")],
)
def test_an_address_with_other_runs_is_refused(page: Page, runs: str, message: str) -> None:
    assert message in _said(page("compare", runs=runs))
