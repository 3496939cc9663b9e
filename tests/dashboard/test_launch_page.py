"""Launch, with a real cluster and without one; the job of a run."""

import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from example_runs import DONE, GOING, UNTESTED
from page_texts import texts
from patience import HANG_S
from streamlit.testing.v1 import AppTest

from autosam_platform.tracking.reading import RAY_JOB
from autosam_platform.tracking.writing import tag_run
from autosam_platform.workspace import Workspace
from dashboard.components.base.places import PROJECT
from dashboard.components.base.terminal import in_terminal
from dashboard.components.jobs import ray_jobs
from dashboard.components.jobs.repeat_command import terminal

Page = Callable[..., AppTest]
NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens
PANEL = """
from autosam_platform.workspace import workspace
from dashboard.components.base.messages import explained
from dashboard.components.jobs.job_panel import job_panel, run_button
with explained():
    run_button(workspace().run("{run}"))
job_panel(workspace().run("{run}"))
"""


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", NOBODY)


@pytest.fixture
def on_cluster(ray_dashboard: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The cluster's address; the jobs that a test sent are ended with it."""
    monkeypatch.setenv("RAY_ADDRESS", ray_dashboard)
    yield ray_dashboard
    for job in ray_jobs.submitted(ray_dashboard):
        if job.active:
            ray_jobs.stop(ray_dashboard, job.job_id)


def _panel(run: str) -> AppTest:
    app = AppTest.from_string(PANEL.format(run=run), default_timeout=HANG_S).run()
    assert not app.exception
    return app


def _wait(address: str, job_id: str, state: str) -> ray_jobs.Submitted:
    for _ in range(200):
        ray_jobs.submitted.clear()
        job = ray_jobs.find_job(address, job_id)
        assert job is not None
        if job.state == state:
            return job
        assert job.active, job
        time.sleep(0.2)
    raise AssertionError(f"{job_id} is not {state} after 40 seconds")


@pytest.mark.usefixtures("empty", "no_cluster")
def test_without_a_cluster_the_command_is_made_for_a_terminal(page: Page) -> None:
    app = page("launch", job="prepare", recipe="demo")
    assert not app.exception and not app.error
    assert "No Ray cluster runs (nobody answers at 127.0.0.1:9" in texts(app.info)
    assert app.code[0].value == in_terminal(ray_jobs.START)
    app.number_input[0].set_value(7)  # the phantoms' seed
    app.button[0].click().run()
    assert not app.exception and not app.error
    assert app.code[1].value.endswith(" jobs/prepare.py --recipe demo --dataset.phantom-seed 7")
    assert "phantom_seed: 7" in app.code[2].value
    assert [button.label for button in app.button] == ["Check these settings"]


@pytest.mark.usefixtures("empty", "no_cluster")
def test_what_the_job_refuses_is_said_with_its_reason(page: Page) -> None:
    app = page("launch", job="prepare", recipe="btcv")
    app.button[0].click().run()
    assert not app.exception
    assert "dataset 'btcv' needs the folder of its scans: add --dataset.root FOLDER" in texts(app.error)
    app.text_input[1].set_value("/etc")
    app.button[0].click().run()
    assert "/etc is outside the folders" in texts(app.error)
    assert not [code for code in app.code if "jobs/prepare.py" in code.value]


@pytest.mark.usefixtures("empty", "no_cluster")
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"job": "rm -rf"}, "There is no job 'rm -rf'"),
        ({"job": "../x"}, "not the name of a job"),
        ({"job": "prepare", "recipe": "none"}, "There is no recipe 'none'"),
    ],
)
def test_only_our_own_jobs_and_recipes_can_be_named(page: Page, address: dict[str, str], message: str) -> None:
    app = page("launch", **address)
    assert message in texts(app.error)
    assert not app.button


@pytest.mark.usefixtures("empty", "no_cluster")
def test_a_recipe_outside_the_allowed_folders_is_not_read(page: Page, tmp_path: Path) -> None:
    app = page("launch", job="prepare")
    app.text_input[0].set_value("/etc/hosts").run()
    assert "/etc/hosts is outside the folders" in texts(app.error)
    recipe = tmp_path / "own.yaml"
    recipe.write_text("dataset: {phantom_seed: many}")
    app.text_input[0].set_value(str(recipe)).run()
    assert "phantom_seed: must be a whole number (given: 'many')" in texts(app.error)


@pytest.mark.usefixtures("empty", "no_cluster")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("secrets.toml", "key = 'hunter2'", "a recipe's name ends with .yaml or .yml"),
        ("own.yaml", "key: [hunter2\nother: hunter2: hunter2", "is not YAML: see line 2, column"),
        ("own.yaml", "hunter2", "holds no settings"),
        ("own.yaml", "dataset: hunter2", "dataset is a section, not a value"),
        ("own.yaml", "key: hunter2", "there is no setting 'key'"),
        ("own.yaml", "training: {batch: 1000000}", "batch: must be at most 4096 (given: 1000000)"),
        ("x" * 5000, None, "has 5,"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_without_a_word_of_what_it_holds(
    page: Page, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    app = page("launch", job="prepare")
    app.text_input[0].set_value(str(tmp_path / name)).run()
    said = texts(app.error)
    assert not app.exception and message in said and "hunter2" not in said and len(said) < 1000


@pytest.mark.usefixtures("empty", "no_cluster")
def test_evaluate_needs_a_finished_run(page: Page) -> None:
    assert "no finished run to evaluate yet" in texts(page("launch", job="evaluate").info)


@pytest.mark.usefixtures("empty")
def test_a_cluster_without_jobs_and_a_job_that_it_does_not_know(page: Page, on_cluster: str) -> None:
    app = page("launch", job="prepare", submitted="raysubmit_0")
    assert not app.exception and not app.error
    assert "The cluster knows no job raysubmit_0" in texts(app.info)


@pytest.mark.usefixtures("unchanged")
def test_a_job_is_listed_with_its_log_and_stopped(page: Page, on_cluster: str) -> None:
    job_id = ray_jobs.submit(on_cluster, "prepare", ["--recipe", "demo", "--dataset.phantom-seed", "3"])
    _wait(on_cluster, job_id, "RUNNING")
    app = page("launch", job="prepare", submitted=job_id)
    assert not app.exception and not app.error
    row = app.dataframe[0].value.set_index("id").loc[job_id]
    assert (row["job"], row["state"]) == ("prepare", "RUNNING")
    assert "Running entrypoint" in app.code[-1].value
    next(button for button in app.button if button.label == "Stop this job").click().run()
    assert not app.exception
    _wait(on_cluster, job_id, "STOPPED")
    st.cache_data.clear()
    assert "Stop this job" not in [button.label for button in page("launch", submitted=job_id).button]


@pytest.mark.parametrize(
    ("entrypoint", "name"),
    [
        ("python jobs/study.py table4 --seeds 3", "study"),
        ("/a/.venv/bin/python '/a b/jobs/predict.py' --input x.nii.gz", "predict"),
        ("python jobs/_roots.py", ""),
        ("python other/study.py", ""),
        ("python jobs/theirs.py", ""),
        ("python 'jobs/study.py", ""),
    ],
)
def test_a_job_from_a_terminal_has_the_name_of_its_script(entrypoint: str, name: str) -> None:
    assert ray_jobs._kind(entrypoint) == name


@pytest.mark.usefixtures("empty")
def test_a_command_is_quoted_for_the_clusters_shell_and_others_jobs_are_let_be(page: Page, on_cluster: str) -> None:
    text = "a; exit 3 #$(id)"
    ours = ray_jobs.submit(on_cluster, "prepare", ["--dataset.name", text, "--check"])
    theirs = ray_jobs._jobs(on_cluster).submit_job(entrypoint="sleep 60; python jobs/study.py")
    _wait(on_cluster, theirs, "RUNNING")
    app = page("launch", submitted=theirs)
    assert app.dataframe[0].value.set_index("id").loc[theirs, "job"] == "study"
    assert "Stop this job" not in [button.label for button in app.button]
    command = shlex.split(next(job for job in ray_jobs.submitted(on_cluster) if job.job_id == ours).command)
    assert command[1:] == [str(PROJECT / "jobs" / "prepare.py"), "--dataset.name", text, "--check"]
    ray_jobs.stop(on_cluster, theirs)
    ended = [job for job in ray_jobs.submitted(on_cluster) if job.job_id == ours]
    while ended[0].active:
        time.sleep(0.2)
        ray_jobs.submitted.clear()
        ended = [job for job in ray_jobs.submitted(on_cluster) if job.job_id == ours]
    assert ended[0].state == "FAILED" and "exit code 2" in ended[0].message  # the job's own refusal, not exit 3


@pytest.mark.usefixtures("no_cluster")
def test_without_a_cluster_a_run_says_what_continues_it(workspace: Path) -> None:
    config = workspace / "runs" / UNTESTED / "config.yaml"
    config.write_text("model: {name: swin_unetr_tiny}")
    app = _panel(UNTESTED)
    command = terminal("train_baseline", ["--recipe", str(config), "--model", "swin_unetr_tiny"])
    assert "No Ray cluster runs" in texts(app.info) and app.code[0].value == command
    config.write_text("model: {name: unetr}\ndistillation: {teacher: demo, kd_lambda: 0.5}")
    assert " jobs/distill_student.py --recipe " in _panel(UNTESTED).code[0].value
    config.unlink()
    assert "cannot be continued here" in texts(_panel(UNTESTED).error)


def test_a_run_finds_its_job_and_continues_where_it_stopped(workspace: Path, on_cluster: str) -> None:
    job_id = ray_jobs.submit(on_cluster, "evaluate", ["--check"])
    _wait(on_cluster, job_id, "SUCCEEDED")
    tag_run(Workspace(workspace), GOING, {RAY_JOB: job_id})
    (workspace / "runs" / GOING / "config.yaml").write_text("model: {name: autosam_demo}\ntraining: {epochs: 0}")
    app = _panel(GOING)
    assert "SUCCEEDED" in texts(app.markdown) and "split: test" in app.code[0].value
    next(each for each in app.button if each.label == "Continue").click().run()
    assert "training.epochs: must be more than 0" in texts(app.error)  # checked before it is sent
    (workspace / "runs" / DONE / "config.yaml").write_text("model: {name: autosam_demo}")
    assert "No job of the cluster that runs now has made this run" in texts(_panel(DONE).caption)
