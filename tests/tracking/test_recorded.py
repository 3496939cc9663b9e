"""The record of runs as it is read from the database: the same as MLflow reads it, and never changed."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from autosam_platform.tracking.reading import TrackingError, database, recorded_curves, recorded_runs
from autosam_platform.tracking.writing import list_runs, open_run, read_curves
from autosam_platform.workspace import Workspace

TAGS = {"name": "demo", "role": "teacher", "model": "autosam_demo", "dataset": "phantom"}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that did one step twice, one in progress, and one that MLflow's own page deleted."""
    root = tmp_path_factory.mktemp("record")
    done = open_run(Workspace(root), "demo-0000000a", tags=TAGS, params={})
    done.log_many([({"train/loss": 2.0, "train/epoch": 1}, 1), ({"train/loss": 1.0, "val/dice/liver": 0.5}, 2)])
    done.log({"val/dice/lesion (benign)": 0.25}, 2)
    done.log_many([({"train/seconds": 20.25}, 1), ({"train/seconds": 40.5}, 2)])
    done.log({"train/loss": 0.9, "test/mean_dice": 0.75, "test/mean_nsd": 0.5, "test/mean_hd95_mm": 6.0}, 2)
    done.finish()
    open_run(Workspace(root), "demo-0000000b", tags=TAGS | {"dataset": "btcv"}, params={})
    deleted = open_run(Workspace(root), "demo-0000000c", tags=TAGS, params={})
    deleted._client.delete_run(deleted.mlflow_id)
    return root


def test_the_database_says_what_mlflow_says(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = list_runs(Workspace(record)), read_curves(Workspace(record), "demo-0000000a")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{record / 'mlflow.db'}")
    assert database(Workspace(record)) is None  # so that MLflow is asked
    assert ours == (list_runs(Workspace(record)), read_curves(Workspace(record), "demo-0000000a"))
    assert {run.run_id: run.training_seconds for run in ours[0]} == {"demo-0000000a": 40.5, "demo-0000000b": None}
    assert sorted(run.run_id for run in ours[0]) == ["demo-0000000a", "demo-0000000b"]
    assert ours[1]["train/loss"] == [(1, 2.0), (2, 0.9)]
    assert ours[1]["val/dice/lesion (benign)"] == [(2, 0.25)]


def test_a_workspace_without_a_database_gets_none(tmp_path: Path) -> None:
    assert recorded_runs(tmp_path / "mlflow.db") == []
    with pytest.raises(KeyError, match="demo"):
        recorded_curves(tmp_path / "mlflow.db", "demo")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_half_written_is_undone(record: Path, tmp_path: Path) -> None:
    """A database that is copied in the middle of a change has a journal, which the next reader must apply."""
    file = tmp_path / "mlflow.db"
    shutil.copy(record / "mlflow.db", file)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")  # so that changed pages go to the file before the end
        writer.execute("BEGIN")
        writer.execute("UPDATE runs SET status = 'KILLED'")
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n LIMIT 5000)"
        writer.execute(f"CREATE TABLE filler AS {numbers} SELECT * FROM n")
        left = tmp_path / "left"
        left.mkdir()
        for path in tmp_path.glob("mlflow.db*"):
            shutil.copy(path, left)
        writer.execute("ROLLBACK")
    assert (left / "mlflow.db-journal").stat().st_size > 0
    assert {run.state for run in recorded_runs(left / "mlflow.db")} == {"FINISHED", "RUNNING"}


def test_a_database_that_somebody_holds_is_said_to_be_locked(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(record / "mlflow.db", tmp_path)
    monkeypatch.setattr("autosam_platform.tracking.reading._PATIENCE", 0.05)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="locked, wait for the process"):
            recorded_runs(tmp_path / "mlflow.db")


def test_tables_of_another_version_are_an_error_with_the_command_that_mends_them(record: Path, tmp_path: Path) -> None:
    shutil.copy(record / "mlflow.db", tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as other:
        other.execute("ALTER TABLE latest_metrics RENAME COLUMN value TO worth")
        other.commit()
    with pytest.raises(TrackingError, match="mlflow db upgrade sqlite:///"):
        recorded_runs(tmp_path / "mlflow.db")
