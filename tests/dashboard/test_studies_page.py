"""The page of studies in its states."""

from collections.abc import Callable
from pathlib import Path

import filelock
import pytest
from example_runs import DONE
from example_studies import STUDY, write_example_study
from streamlit.testing.v1 import AppTest

Page = Callable[..., AppTest]


def _said(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(each.value for each in [*app.info, *app.warning, *app.error, *app.caption]).replace("\\", "")


@pytest.mark.usefixtures("empty")
def test_without_a_study_the_page_names_the_command(page: Page) -> None:
    app = page("studies")
    assert "no study in this workspace yet" in _said(app)
    assert app.code[0].value.endswith(" jobs/study.py table4")


def test_a_study_shows_ours_beside_the_papers_and_the_runs_it_is_made_of(page: Page, empty: Path) -> None:
    write_example_study(empty, DONE, whole=True)
    app = page("studies", study=STUDY)
    table, runs = (frame.value for frame in app.dataframe)
    assert table["BTCV (synthetic) Dice"].tolist() == ["70.81 (87.15, -16.34)", "70.81 (85.23, -14.42)"]
    assert table["trained, M"].tolist() == ["2.14", "–"]
    assert runs["Run"].tolist() == [DONE, DONE]
    assert runs["Dice %"].tolist() == pytest.approx([70.81, 70.81])
    assert "This is the demo's size" in _said(app)
    assert "96 / 2 / 6 cases to train, validate and test" in _said(app)
    assert [each.value.replace("\\", "") for each in app.subheader] == ["Table 3 <b>of</b> the paper", "Runs"]
    assert not app.warning
    assert [button.label for button in app.get("download_button")] == ["MD", "CSV", "TEX", "HTML", "PNG", "SVG", "JSON"]


def test_a_study_under_way_says_how_far_it_is_and_one_that_was_left_how_it_goes_on(page: Page, empty: Path) -> None:
    folder = write_example_study(empty, DONE)
    with filelock.FileLock(folder.lock):
        (bar,) = page("studies").get("progress")
        assert bar.text == "1 of 2 cells are made; this page follows them."
    said = _said(page("studies"))
    assert "1 of 2 cells are made, and no process of this machine makes the others" in said
    assert "– without APG, BTCV (synthetic): not made yet: the same command makes it." in said


@pytest.mark.parametrize("content", ["[{", '{"name": 1}'])
def test_a_damaged_study_is_said_to_be_damaged(page: Page, empty: Path, content: str) -> None:
    folder = write_example_study(empty, DONE)
    folder.results.write_text(content, encoding="utf-8")
    assert "is no study of ours" in _said(page("studies"))


@pytest.mark.usefixtures("empty")
def test_an_address_that_leads_out_of_the_workspace_opens_nothing(page: Page, empty: Path) -> None:
    write_example_study(empty, DONE)
    assert "is not the name of a study" in _said(page("studies", study="../studies"))
