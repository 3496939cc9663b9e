"""The workspace's database of runs: whole or not there, whatever kills its maker; at home after a move."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from autosam_platform.tracking.writing import list_runs, open_run, read_curves
from autosam_platform.workspace import Workspace

KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from autosam_platform.tracking.writing import open_run
from autosam_platform.workspace import Workspace

left = int(sys.argv[2])

@event.listens_for(Engine, "before_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

open_run(Workspace(Path(sys.argv[1])), "demo-1", tags={}, params={})
"""


def _killed(folder: Path, statement: int) -> Workspace:
    """Where a process was killed before it sent so many statements to the database it was making."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(folder), str(statement)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    return Workspace(folder)


@pytest.mark.parametrize("statement", [20, 150])
def test_a_kill_while_the_database_is_made_leaves_none_and_the_next_process_makes_it(
    tmp_path: Path, statement: int
) -> None:
    ours = _killed(tmp_path, statement)
    assert not ours.database.exists() and list_runs(ours) == []
    open_run(ours, "demo-1", tags={}, params={}).finish()
    assert [run.run_id for run in list_runs(ours)] == ["demo-1"]
    assert [path.name for path in tmp_path.iterdir() if "tmp" in path.name] == [], "what was half made is gone"


def test_one_that_an_earlier_version_left_half_made_is_made_anew(tmp_path: Path) -> None:
    """Those versions made it under its own name."""
    ours = _killed(tmp_path, 60)
    (half,) = (path for path in tmp_path.iterdir() if path.name.endswith(".db") and "tmp" in path.name)
    assert half.stat().st_size > 0
    half.rename(ours.database)
    assert list_runs(ours) == []
    open_run(ours, "demo-1", tags={}, params={}).finish()
    assert [run.run_id for run in list_runs(ours)] == ["demo-1"]


def test_what_is_added_to_a_run_in_a_moved_workspace_goes_there(tmp_path: Path) -> None:
    old, there = Workspace(tmp_path / "old"), Workspace(tmp_path / "there")
    old.folder.mkdir()
    first, second = (tmp_path / name for name in ("first.txt", "second.txt"))
    for file in (first, second):
        file.write_text(file.name)
    run = open_run(old, "demo-1", tags={"name": "demo"}, params={})
    run.log({"train/loss": 0.5}, 1)
    run.add_file(first)
    run.finish()
    shutil.move(old.folder, there.folder)
    again = open_run(there, "demo-1", tags={"name": "demo"}, params={})
    again.log({"train/loss": 0.25}, 2)
    again.add_file(second)
    again.finish()
    assert not old.folder.exists()
    client = MlflowClient(f"sqlite:///{there.database}")
    assert [file.path for file in client.list_artifacts(again.mlflow_id)] == ["first.txt", "second.txt"]
    assert read_curves(there, "demo-1")["train/loss"] == [(1, 0.5), (2, 0.25)]
    assert old.folder.as_posix().encode() not in there.database.read_bytes()
