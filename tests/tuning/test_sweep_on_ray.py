"""A real sweep of tiny fits: killed on one core, the same again on two; one trial is stopped early, one fails."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from patience import HANG_S
from tiny_sweep import write_half_bodies

from autosam_platform.command_line import load_recipe, parse_job
from autosam_platform.data.description import load_description
from autosam_platform.data.preparation import Preparation, prepare
from autosam_platform.experiment import Experiment
from autosam_platform.tracking.writing import list_runs
from autosam_platform.tuning.ledger import Ledger
from autosam_platform.tuning.space import load_space
from autosam_platform.tuning.sweep import Sweep
from autosam_platform.workspace import Workspace

ROOT = Path(__file__).parents[2]
LEARNS, STILL = 3e-3, 1e-9
BLOWS_UP = 1e30  # AdamW multiplies each weight by 1 - rate · decay
POINTS = [(LEARNS, 0.0), (STILL, 0.0), (LEARNS, BLOWS_UP)]
SPACE = """
parameters:
  training.learning_rate: {type: float, low: 1.0e-9, high: 1.0e-2, log: true}
  training.weight_decay: {type: choice, choices: [0.0, 1.0e+30]}
"""


class Launcher:
    """Launches the sweep of ``space.yaml`` in a workspace of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workspace = folder, folder / "workspace"
        write_half_bodies(folder, 4)
        (folder / "space.yaml").write_text(SPACE)
        self.base = Experiment.model_validate(load_recipe(str(folder / "recipe.json"), folder))

    def suggest(self, points: list[tuple[float, float]]) -> None:
        """Leave the sweep as if these points had been suggested before it was interrupted."""
        prepared = prepare(
            load_description(self.folder / "tiny.yaml"), self.folder, Preparation(), Workspace(self.workspace)
        )
        space = load_space(str(self.folder / "space.yaml"), self.folder)
        sweep = Sweep("space", space, self.base, prepared, Workspace(self.workspace), trials=len(points))
        ledger = Ledger(sweep.folder.trials, [dict(zip(space.parameters, each, strict=True)) for each in points])
        ledger.save()

    def start(self, cores: int, *arguments: object) -> subprocess.Popen[str]:
        script = [sys.executable, str(Path(__file__).with_name("sweep_on_ray.py")), str(cores)]
        chosen = ["--space", self.folder / "space.yaml", "--recipe", self.folder / "recipe.json", *arguments]
        environment = {**os.environ, "AUTOSAM_WORKSPACE": str(self.workspace)}
        environment.pop("RAY_ADDRESS", None)
        return subprocess.Popen(
            [*script, *map(str, chosen)],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ledger(self) -> list[dict[str, Any]]:
        (path,) = self.workspace.glob("sweeps/*/trials.json")
        return json.loads(path.read_text())


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Launcher:
    return Launcher(tmp_path_factory.mktemp("sweep"))


def _lines_until(process: subprocess.Popen[str], text: str) -> str:
    """What was printed until a line with ``text``."""
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if text in line:
            return told
    pytest.fail(f"'{text}' was never said:\n{told}")


@pytest.fixture(scope="module")
def killed(launcher: Launcher) -> dict[str, Any]:
    """On one core the first trial has ended, the second has begun, and then SIGKILL."""
    launcher.suggest(POINTS)
    process = launcher.start(1, "--trials", 3)
    said = _lines_until(process, "trial 2/3")
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = launcher.ledger()[0]
    model = launcher.workspace / "runs" / first["run"] / "model" / "model.json"
    return {"said": said, "model": model, "time": model.stat().st_mtime_ns}


@pytest.fixture(scope="module")
def done(launcher: Launcher, killed: dict[str, Any]) -> tuple[subprocess.Popen[str], str]:
    """The same command again, on two cores, to its end."""
    process = launcher.start(2, "--trials", 3, "--concurrent", 2, "--json")
    told, _ = process.communicate(timeout=HANG_S)
    return process, told


def _result(told: str) -> dict[str, Any]:
    """The result's line, after which Ray's processes may have complained into the same pipe about being stopped."""
    return json.loads([line for line in told.splitlines() if line.startswith("{")][-1])


def test_one_core_is_enough_and_the_plan_is_said(killed: dict[str, Any]) -> None:
    assert "3 of 3 trials to run, 1 trial at a time, 1 core each, on 1 core" in killed["said"]
    assert "trial 1/3" in killed["said"] and "epoch 1: Dice 0." in killed["said"]


def test_after_a_kill_the_same_command_ends_the_sweep(
    launcher: Launcher, killed: dict[str, Any], done: tuple[subprocess.Popen[str], str]
) -> None:
    process, told = done
    assert process.returncode == 0, told
    assert "2 of 3 trials to run, 2 trials at a time, 1 core each, on 2 cores" in told
    assert killed["model"].stat().st_mtime_ns == killed["time"], "a finished trial was done again"
    trials = launcher.ledger()
    assert [(trial["values"]["training.learning_rate"], trial["number"]) for trial in trials] == [
        (rate, number) for number, (rate, _) in enumerate(POINTS, 1)
    ]
    assert all(trial["state"] in ("finished", "stopped", "failed") for trial in trials)


def test_a_hopeless_trial_is_stopped_and_frees_its_cores(launcher: Launcher, done: object) -> None:
    """The first trial's validations are still known after the kill; the evaluation at the end takes both cores."""
    first, still, _ = launcher.ledger()
    assert first["state"] == "finished" and first["dice"] > 0.5
    assert still["state"] == "stopped" and [epoch for epoch, _ in still["validations"]] == [1] and still["dice"] < 0.1
    runs = launcher.workspace / "runs"
    assert (runs / first["run"] / "evaluation" / "summary.json").exists()
    assert not (runs / still["run"] / "model").exists() and not (runs / still["run"] / "ray").exists()


def test_a_trial_that_blows_up_failed_with_its_reason_and_is_not_the_best(
    launcher: Launcher, done: tuple[subprocess.Popen[str], str]
) -> None:
    failed = launcher.ledger()[2]
    assert failed["state"] == "failed" and "is not finite" in failed["reason"]
    assert f"trial 3 failed: {failed['reason']}" in done[1]
    result = _result(done[1])
    assert result["best"]["number"] == 1 and result["best"]["state"] == "finished"
    assert result["mean_dice"] > 0.3 and result["n_cases"] == 1


def test_checkpoints_are_kept_of_the_best_alone(launcher: Launcher, done: tuple[subprocess.Popen[str], str]) -> None:
    best = _result(done[1])["best"]["run"]
    assert [path.parent.name for path in (launcher.workspace / "runs").glob("*/ray")] == [best]


def test_the_best_recipe_names_the_best_run(launcher: Launcher, done: tuple[subprocess.Popen[str], str]) -> None:
    result = _result(done[1])
    recipe = Path(result["place"]) / "best.yaml"
    experiment = parse_job(["--recipe", str(recipe)], ROOT / "jobs" / "recipes", description="").experiment()
    card = json.loads((launcher.workspace / "runs" / result["best"]["run"] / "model" / "model.json").read_text())
    assert experiment.run_id(card["data_fingerprint"]) == result["best"]["run"]
    assert experiment.compute == launcher.base.compute


def test_files_and_table_name_every_trial(launcher: Launcher, done: tuple[subprocess.Popen[str], str]) -> None:
    place = Path(_result(done[1])["place"])
    with (place / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["training.learning_rate"] for row in rows] == ["0.003", "1e-09", "0.003"]
    assert [row["state"] for row in rows] == [trial["state"] for trial in launcher.ledger()]
    assert json.loads((place / "importances.json").read_text())["note"]
    assert all(row["run"] in done[1] for row in rows)


def test_trials_are_recorded_as_children_of_the_sweep(launcher: Launcher, done: object) -> None:
    summaries = {summary.run_id: summary for summary in list_runs(Workspace(launcher.workspace))}
    parent = next(summary for summary in summaries.values() if summary.role == "sweep")
    assert parent.state == "FINISHED" and len(summaries) == 4
    client = MlflowClient(f"sqlite:///{launcher.workspace / 'mlflow.db'}")
    expected = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}  # in MLflow's words
    for trial in launcher.ledger():
        run = client.get_run(summaries[trial["run"]].mlflow_id)
        assert run.data.tags["mlflow.parentRunId"] == parent.mlflow_id
        assert float(run.data.tags["autosam.sweep.training.learning_rate"]) == trial["values"]["training.learning_rate"]
        assert run.info.status == expected[trial["state"]]
        assert ("autosam.stopped" in run.data.tags) == (trial["state"] == "stopped")
    tags = client.get_run(parent.mlflow_id).data.tags
    assert tags["autosam.sweep.failed"] == "1" and tags["autosam.sweep.best_trial"] == "1"
    assert {file.path for file in client.list_artifacts(parent.mlflow_id)} >= {"trials.csv", "best.yaml"}
