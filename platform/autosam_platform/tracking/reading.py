"""What the workspace's database says of runs, read without MLflow, which takes seconds to import and to ask.

``writing.py`` writes the record, through MLflow, and reads it there where a server keeps it. The tables are MLflow's
own; a test holds that both ways give the same.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autosam_inference.errors import UserError
from autosam_platform.tracking.keys import metric_name
from autosam_platform.workspace import Workspace

EXPERIMENT = "autosam"
STUDIES = "autosam studies"
"""Where MLflow keeps runs, and studies."""
RUN_ID = "autosam.run_id"
"""Tag with the name of a run; runs without it are not ours."""
PARENT = "mlflow.parentRunId"
"""Tag of a run that belongs to another one; MLflow's own pages show it below that."""
RAY_JOB = "autosam.ray_job"
"""Tag with the id of the submitted Ray job that trained a run last; empty where it was none."""
MOST_RUNS = 10_000
"""The newest so many are listed."""
TRAINED_SECONDS = "train/seconds"
"""Metric: seconds spent training so far, over all starts of a run."""
STOPPED = "STOPPED"
"""State of a run that was ended on purpose: by Ctrl-C, or by its sweep, since others were better."""

_IN_OUR_WORDS = {"KILLED": STOPPED}

_PATIENCE = 5.0  # seconds to wait for a process that writes
_RUNS = """
    SELECT run_uuid, status, start_time FROM runs JOIN experiments USING (experiment_id)
    WHERE experiments.name = ? AND runs.lifecycle_stage = 'active' ORDER BY start_time DESC, run_uuid LIMIT ?"""
_TAGS = "SELECT run_uuid, key, value FROM tags"
_METRICS = """
    SELECT run_uuid, key, value FROM latest_metrics
    WHERE key IN ('train/epoch', 'train/seconds', 'test/mean_dice', 'test/mean_nsd', 'test/mean_hd95_mm')"""
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'experiments'"
_ANY_EXPERIMENT = "SELECT 1 FROM experiments LIMIT 1"
_ONE = """
    SELECT run_uuid FROM runs JOIN experiments USING (experiment_id) JOIN tags USING (run_uuid)
    WHERE experiments.name = ? AND runs.lifecycle_stage = 'active' AND tags.key = ? AND tags.value = ?"""
_HISTORY = "SELECT key, step, value FROM metrics WHERE run_uuid = ? ORDER BY timestamp"

Texts = Mapping[str, str]


class TrackingError(UserError):
    """The record of the runs cannot be read or written; the message says where it is and what to do."""


@dataclass(frozen=True)
class RunSummary:
    """One row of the list of runs.

    Attributes:
        state: RUNNING, FINISHED, FAILED or STOPPED (which MLflow calls KILLED).
        training_seconds: spent training, over all continuations; ``None`` before there are any, for a sweep, and for
            runs of versions that did not count them.
        tags: everything the record says of the run, by MLflow's names (``autosam.command``).
    """

    run_id: str
    mlflow_id: str
    name: str
    role: str
    model: str
    dataset: str
    state: str
    started: datetime
    training_seconds: float | None
    mean_dice: float | None
    mean_nsd: float | None
    mean_hd95_mm: float | None
    epoch: int | None
    tags: Texts

    @classmethod
    def of(cls, mlflow_id: str, state: str, start_ms: int, tags: Texts, metrics: Mapping[str, float]) -> "RunSummary":
        """The row of what MLflow keeps of a run: its start in milliseconds since 1970, tags, latest metrics."""
        epoch = metrics.get("train/epoch")
        return cls(
            run_id=tags[RUN_ID],
            mlflow_id=mlflow_id,
            name=tags.get("autosam.name", ""),
            role=tags.get("autosam.role", ""),
            model=tags.get("autosam.model", ""),
            dataset=tags.get("autosam.dataset", ""),
            state=_IN_OUR_WORDS.get(state, state),
            started=datetime.fromtimestamp(start_ms / 1000, UTC),
            training_seconds=metrics.get(TRAINED_SECONDS),
            mean_dice=metrics.get("test/mean_dice"),
            mean_nsd=metrics.get("test/mean_nsd"),
            mean_hd95_mm=metrics.get("test/mean_hd95_mm"),
            epoch=int(epoch) if epoch is not None else None,
            tags=tags,
        )


def mlflow_state(state: str) -> str:
    """MLflow's name of a state that is in our words."""
    return next((theirs for theirs, ours in _IN_OUR_WORDS.items() if ours == state), state)


def database(workspace: Workspace) -> Path | None:
    """The file that holds the record of runs, made or not; ``None`` where a server keeps it."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else workspace.database


def is_whole(file: Path) -> bool:
    """Was the database made to its end, by us or by MLflow? One without any experiment was not, and holds nothing.

    Raises:
        TrackingError: it is none, or does not answer.
    """
    with _opened(file) as connection:
        return _has_experiments(connection)


def _has_experiments(connection: sqlite3.Connection) -> bool:
    """MLflow makes tables, upgrades them version by version, and in the end adds an experiment of its own."""
    return bool(connection.execute(_TABLES).fetchone()) and bool(connection.execute(_ANY_EXPERIMENT).fetchone())


def recorded_runs(file: Path) -> list[RunSummary]:
    """The newest runs first; none where there is no ``file``, or where it was left half made.

    Raises:
        TrackingError: the database cannot be read.
    """
    if not file.exists():
        return []
    with _opened(file) as connection:
        if not _has_experiments(connection):
            return []
        runs = connection.execute(_RUNS, (EXPERIMENT, MOST_RUNS)).fetchall()
        tags = _by_run(connection.execute(_TAGS))
        metrics = _by_run(connection.execute(_METRICS))
    return [
        RunSummary.of(uuid, state, start, tags[uuid], metrics.get(uuid, {}))
        for uuid, state, start in runs
        if RUN_ID in tags.get(uuid, {})
    ]


def recorded_curves(file: Path, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Every curve of a run as (step, value), in order of steps.

    A step done twice, since the run was interrupted and continued, counts with its last value.

    Raises:
        KeyError: there is no such run.
        TrackingError: the database cannot be read.
    """
    if not file.exists():
        raise KeyError(f"no run '{run_id}' is recorded: there is no {file}")
    curves: dict[str, dict[int, float]] = {}
    with _opened(file) as connection:
        whole = _has_experiments(connection)
        found = connection.execute(_ONE, (EXPERIMENT, RUN_ID, run_id)).fetchone() if whole else None
        if found is None:
            raise KeyError(f"no run '{run_id}' is recorded in {file}")
        for key, step, value in connection.execute(_HISTORY, found):
            curves.setdefault(metric_name(key), {})[step] = value
    return {name: sorted(points.items()) for name, points in sorted(curves.items())}


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``{"training.epochs": 200}``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _by_run(rows: Iterator[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for uuid, key, value in rows:
        found.setdefault(uuid, {})[key] = value
    return found


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """The database at one moment, changing nothing.

    Not opened as read-only: SQLite could then not undo what a killed process left half written.
    """
    try:
        with closing(
            sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=_PATIENCE, isolation_level=None)
        ) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            yield connection
    except sqlite3.OperationalError as error:
        older = "no such" in str(error)  # table or column: MLflow adds some with its versions
        remedy = (
            f"it may be of another MLflow version: `mlflow db upgrade sqlite:///{file}`"
            if older
            else "if it is locked, wait for the process that writes it, or end it, and try again"
        )
        raise TrackingError(f"the record of runs does not answer ({file}: {error}): {remedy}.") from error
    except sqlite3.DatabaseError as error:
        raise TrackingError(
            f"the record of runs at {file} cannot be opened ({error}): move the file away, runs/ keeps the results."
        ) from error
