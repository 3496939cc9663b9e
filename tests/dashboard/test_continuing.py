"""Runs and sweeps that stopped and are continued: what their pages say while a job of theirs goes on, in two tabs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
import streamlit as st
from example_runs import DONE, GOING, UNTESTED, write_card
from example_sweeps import LAMBDA, lambda_trials, write_sweep
from fake_cluster import FakeCluster
from page_texts import choose, errors, texts
from streamlit.testing.v1 import AppTest

from autosam_inference.files import write_json
from autosam_platform.locks import LOCK
from autosam_platform.tracking.reading import RAY_JOB
from autosam_platform.tracking.writing import tag_run
from autosam_platform.workspace import Workspace
from dashboard.components.jobs.repeat_command import terminal

Page = Callable[..., AppTest]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    return FakeCluster(monkeypatch)


def _state(app: AppTest) -> str:
    """The first word of the head, of a line or of a bar."""
    bars = [bar.proto.text for bar in app.get("progress")]
    return next(
        text.split("**")[1] for text in [*bars, *(each.value for each in app.markdown)] if text.startswith("**")
    )


def _labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def _continue(app: AppTest) -> None:
    next(button for button in app.button if button.label == "Continue").click().run()


@pytest.mark.usefixtures("unchanged")
def test_what_is_continued_says_so_at_once_and_a_second_tab_sends_nothing(page: Page, cluster: FakeCluster) -> None:
    first, second = page("run", run=UNTESTED), page("run", run=UNTESTED)
    assert (_state(first), _state(second)) == ("FAILED", "FAILED") and errors(first)
    _continue(first)
    _continue(second)
    assert len(cluster.sent) == 1 and f"{UNTESTED}/config.yaml" in cluster.sent[0][-3]
    for app in (first, second):
        assert _state(app) == "STARTING" and not errors(app)
        assert "Stop this job" in _labels(app) and "Continue" not in _labels(app)
        assert "what raysubmit_0 printed" in texts(app.code)
    cluster.jobs = [replace(job, state="FAILED") for job in cluster.jobs]
    assert "Continue" in _labels(page("run", run=UNTESTED))


def test_a_run_says_that_it_is_evaluated(page: Page, workspace: Path, cluster: FakeCluster) -> None:
    """By its job, or by the lock of a process of this machine."""
    run = Workspace(workspace).run(UNTESTED)
    assert "jobs/evaluate.py" not in texts(page("run", run=UNTESTED).code)  # there is no model to evaluate
    write_card(run)
    assert f"jobs/evaluate.py --run {UNTESTED}" in texts(page("run", run=UNTESTED).code)
    st.cache_data.clear()
    with filelock.FileLock(run.evaluation().lock):
        listed = page("runs").dataframe[0].value.set_index("run")
        assert listed.loc[UNTESTED, "state"] == "EVALUATING"
    cluster.add("evaluate", ["--run", UNTESTED])
    app = page("run", run=UNTESTED)
    assert _state(app) == "EVALUATING" and not errors(app)
    assert "being evaluated" in texts(app.info) and "jobs/evaluate.py" not in texts(app.code)


def test_a_run_of_another_machine_goes_on_as_its_job_does(page: Page, workspace: Path, cluster: FakeCluster) -> None:
    job = cluster.add("train_teacher", ["--recipe", "btcv"])
    tag_run(Workspace(workspace), GOING, {RAY_JOB: job.job_id})
    assert _state(page("run", run=GOING)) == "RUNNING"
    assert _state(page("run", run=DONE)) == "FINISHED"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("distill_student", ["--recipe", "distill", "--student", "unetr", "--distillation.teacher", DONE]),
        ("distill_student", ["--recipe", "{config}", "--student", "unetr"]),
        ("train_teacher", ["--recipe", "{config}", "--training.epochs", "5"]),
    ],
)
def test_a_job_that_makes_another_run_of_this_one_is_not_this_runs(
    page: Page, workspace: Path, cluster: FakeCluster, kind: str, told: list[str]
) -> None:
    """A teacher's student, and a copy."""
    run = Workspace(workspace).run(DONE)
    write_card(run)
    run.evaluation().metrics.unlink()
    cluster.add(kind, [word.format(config=run.config) for word in told])
    app = page("run", run=DONE)
    assert _state(app) == "FINISHED" and "Stop this job" not in _labels(app)
    assert "No job of the cluster that runs now has made this run" in texts(app.caption)


@pytest.mark.parametrize("kind", ["study", "sweep", "distill_student"])
def test_a_job_of_many_runs_is_stopped_from_none_of_their_pages(
    page: Page, workspace: Path, cluster: FakeCluster, kind: str
) -> None:
    """What it is at only the record and the locks say; its log is there."""
    write_card(Workspace(workspace).run(DONE))
    job = cluster.add(kind, [])
    for run, state in ((DONE, "FINISHED"), (UNTESTED, "FAILED"), (GOING, "RUNNING")):
        tag_run(Workspace(workspace), run, {RAY_JOB: job.job_id})
        st.cache_data.clear()
        app = page("run", run=run)
        assert _state(app) == state and "Stop this job" not in _labels(app)
        assert ("Continue" in _labels(app)) == (state == "FAILED")
        assert "what raysubmit_0 printed" in texts(app.code)


def test_the_job_that_trains_a_run_is_stopped_there_until_the_run_is_evaluated(
    page: Page, workspace: Path, cluster: FakeCluster
) -> None:
    run = Workspace(workspace).run(DONE)
    job = cluster.add("train_teacher", ["--recipe", "demo"])
    tag_run(Workspace(workspace), DONE, {RAY_JOB: job.job_id})
    write_card(run)
    assert _state(page("run", run=DONE)) == "FINISHED"
    run.evaluation().metrics.unlink()
    app = page("run", run=DONE)
    assert _state(app) == "EVALUATING" and "Stop this job" in _labels(app)


def test_the_job_that_is_looked_at_stays_the_same_when_others_are_sent(
    page: Page, empty: Path, cluster: FakeCluster
) -> None:
    for _ in range(2):
        cluster.add("train_teacher", ["--recipe", "demo"])
    app = choose(page("launch", job="evaluate"), "queue", [1])
    assert app.query_params["submitted"] == "raysubmit_0"
    cluster.add("train_baseline", ["--recipe", "btcv"])
    app.run()
    assert app.query_params["submitted"] == "raysubmit_0" and app.session_state["queue-drawn"][2] == ["raysubmit_0"]
    app.query_params["submitted"] = "raysubmit_2"  # as Send to the cluster does
    app.run()
    assert app.query_params["submitted"] == "raysubmit_2"
    assert "what raysubmit_2 printed" in texts(app.code)


def test_a_job_in_the_queue_names_its_run_and_opens_it(page: Page, workspace: Path, cluster: FakeCluster) -> None:
    config = str(Workspace(workspace).run(DONE).config)
    for words in (["--recipe", "btcv"], ["--recipe", config], ["--recipe", config, "--training.epochs", "5"]):
        cluster.add("train_teacher", words)
    cluster.add("distill_student", ["--recipe", "distill", "--distillation.teacher", DONE])
    cluster.add("evaluate", ["--run", UNTESTED])
    tag_run(Workspace(workspace), GOING, {RAY_JOB: "raysubmit_0"})
    app = page("launch", job="evaluate")
    assert app.dataframe[0].value["run"].fillna("").tolist() == [UNTESTED, "", "", DONE, GOING]  # newest first
    choose(app, "queue", cell=(4, "run"))
    assert texts(app.title) == GOING


def test_a_sweep_that_was_stopped_has_no_running_trials_and_is_continued_once(
    page: Page, empty: Path, cluster: FakeCluster
) -> None:
    trials = lambda_trials()
    trials[2] = trials[2].model_copy(update={"state": "running", "reason": ""})
    folder = write_sweep(empty, LAMBDA, trials, 5)
    arguments = ["--space", "kd_lambda", "--grid"]
    about = {"trials": 5, "arguments": arguments, "model": "tiny", "dataset": "phantom"}
    write_json(folder / "sweep.json", about)
    with filelock.FileLock(folder / LOCK):
        app = page("sweeps")
        assert app.dataframe[0].value["state"].tolist()[2] == "running" and not app.button
    first, second = page("sweeps"), page("sweeps")
    assert first.dataframe[0].value["state"].tolist()[2] == "interrupted"
    assert terminal("sweep", arguments) in texts(first.code)
    _continue(first)
    _continue(second)
    assert cluster.sent == [["sweep", *arguments]]
    assert not first.button and "this page follows them" in texts(second.info)


def test_a_sweep_of_an_earlier_version_says_that_it_does_not_tell_its_command(
    page: Page, empty: Path, cluster: FakeCluster
) -> None:
    write_sweep(empty, LAMBDA, lambda_trials()[:2], 5)
    app = page("sweeps")
    assert not app.exception and not app.button and "does not tell its command" in texts(app.caption)
