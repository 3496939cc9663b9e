"""Runs as they are recorded and read back, on a real SQLite store."""

import math
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from patience import HANG_S

from autosam_platform.tracking.keys import metric_key
from autosam_platform.tracking.reading import PARENT, TrackingError, flatten
from autosam_platform.tracking.writing import Run, list_runs, open_run, read_curves, tag_run
from autosam_platform.workspace import Workspace

TAGS = {"name": "demo", "role": "teacher", "model": "autosam_demo", "dataset": "phantom"}


def test_a_workspace_without_runs_has_none_and_gets_no_database(tmp_path: Path) -> None:
    assert list_runs(Workspace(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_continued_under_its_name(tmp_path: Path) -> None:
    run = open_run(Workspace(tmp_path), "demo-0123", tags=TAGS, params={"training.epochs": 3})
    run.log_many([({"train/loss": 2.0}, 1), ({"train/loss": 1.0}, 2)])
    again = open_run(Workspace(tmp_path), "demo-0123", tags={}, params={"training.epochs": 3, "training.seed": 0})
    assert again.mlflow_id == run.mlflow_id
    again.log({"train/loss": 0.9}, 2)  # the step that the interrupted run had done too
    again.log({"train/loss": math.nan}, 3)
    again.log({"test/mean_dice": 0.81, "train/epoch": 3}, 3)
    again.finish()
    (summary,) = list_runs(Workspace(tmp_path))
    assert (summary.run_id, summary.state, summary.mean_dice, summary.epoch) == ("demo-0123", "FINISHED", 0.81, 3)
    assert (summary.role, summary.model, summary.dataset) == ("teacher", "autosam_demo", "phantom")
    assert read_curves(Workspace(tmp_path), "demo-0123")["train/loss"] == [(1, 2.0), (2, 0.9)]


def test_a_step_that_is_done_again_after_a_kill_is_recorded_once(tmp_path: Path) -> None:
    first = open_run(Workspace(tmp_path), "demo-0123", tags=TAGS, params={})
    first.log_curve([{"step": 1, "train/loss": 2.0}, {"step": 2, "train/loss": 1.0, "val/dice/mean": 0.5}])
    first.log_curve([{"step": 2, "train/loss": 1.0}])
    again = open_run(Workspace(tmp_path), "demo-0123", tags={}, params={})
    again.log_curve([{"step": 2, "train/loss": 1.0, "train/epoch": 1.0}, {"step": 3, "train/loss": 0.5}])
    for name, steps in {"train/loss": [1, 2, 3], "val/dice/mean": [2], "train/epoch": [2]}.items():
        assert [each.step for each in again._client.get_metric_history(again.mlflow_id, name)] == steps


def _ended(run: Run) -> tuple[str, int]:
    """How and when MLflow has it that a run ended."""
    info = run._client.get_run(run.mlflow_id).info
    return info.status, info.end_time


ORGANS = ["lesion (benign)", "artery & vein", "T12+L1", "Leber, links", "a//b", "prostate/uterus", "Milzläsion"]


def test_organs_may_be_called_what_mlflow_refuses(tmp_path: Path) -> None:
    curves = {f"val/dice/{organ}": 0.5 for organ in ORGANS}
    for _ in range(2):  # the second time from a checkpoint, as after a kill
        run = open_run(Workspace(tmp_path), "demo-0123", tags=TAGS, params={})
        run.log_curve([{"step": 1} | curves])
    assert read_curves(Workspace(tmp_path), "demo-0123") == {name: [(1, 0.5)] for name in curves}
    for name in curves:
        assert len(run._client.get_metric_history(run.mlflow_id, metric_key(name))) == 1


def test_what_mlflow_refuses_is_not_told_as_a_record_that_is_locked(tmp_path: Path) -> None:
    run = open_run(Workspace(tmp_path), "demo-0123", tags=TAGS, params={})
    with pytest.raises(TrackingError, match=r"refuses a name or a value .*250 characters") as refused:
        run.log({"val/dice/" + 300 * "a": 0.5}, 1)
    assert "locked" not in str(refused.value)


def test_a_run_is_told_its_parent_and_state_without_being_opened(tmp_path: Path) -> None:
    sweep = open_run(Workspace(tmp_path), "sweep-0123", tags=TAGS, params={})
    run = open_run(Workspace(tmp_path), "demo-0123", tags=TAGS, params={})
    tag_run(Workspace(tmp_path), "demo-0123", {PARENT: sweep.mlflow_id})
    assert run.tags()[PARENT] == sweep.mlflow_id
    assert {each.state for each in list_runs(Workspace(tmp_path))} == {"RUNNING"}
    tag_run(Workspace(tmp_path), "demo-0123", {"autosam.stopped": "early"}, "STOPPED")
    ended = _ended(run)
    assert ended[0] == "KILLED"  # MLflow's word
    tag_run(Workspace(tmp_path), "demo-0123", {}, "STOPPED")
    assert _ended(run) == ended
    run.finish("FAILED")  # its own process has noticed only now
    assert _ended(run) == ended
    assert {each.state for each in list_runs(Workspace(tmp_path))} == {"RUNNING", "STOPPED"}
    tag_run(Workspace(tmp_path), "demo-9999", {"a": "b"}, "FAILED")
    assert len(list_runs(Workspace(tmp_path))) == 2


def test_an_unknown_run_is_named(tmp_path: Path) -> None:
    open_run(Workspace(tmp_path), "demo-0123", tags=TAGS, params={})
    with pytest.raises(KeyError, match="demo-9999"):
        read_curves(Workspace(tmp_path), "demo-9999")


def test_a_damaged_database_is_an_error_with_its_path_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("rubbish")
    with pytest.raises(TrackingError, match=r"mlflow\.db.*move the file away"):
        list_runs(Workspace(tmp_path))


def test_a_database_that_fails_while_a_run_writes_is_our_error(tmp_path: Path) -> None:
    run = open_run(Workspace(tmp_path), "demo-0123", tags=TAGS, params={})
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("DROP TABLE metrics")
        other.commit()
    with pytest.raises(TrackingError, match="record of runs does not answer"):
        run.log({"train/loss": 1.0}, 1)


def test_three_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from autosam_platform.tracking.writing import open_run\n"
        "from autosam_platform.workspace import Workspace\n"
        "open_run(Workspace(Path(sys.argv[1])), sys.argv[2], tags={'name': 'x'}, params={}).finish()"
    )
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{root / 'platform'}:{root / 'models'}", "PATH": ""}
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"run-{i}"], env=environment) for i in range(3)
    ]
    assert [process.wait(timeout=HANG_S) for process in started] == [0, 0, 0]
    assert sorted(run.run_id for run in list_runs(Workspace(tmp_path))) == ["run-0", "run-1", "run-2"]


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "a.c": {}, "d": [2]}
