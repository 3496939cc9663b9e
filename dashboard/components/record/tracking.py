"""Runs and curves from the tracking record, read at most every other second however many pages are open."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st

from autosam_platform.locks import is_locked
from autosam_platform.tracking.reading import (
    RAY_JOB,
    RunSummary,
    database,
    recorded_curves,
    recorded_runs,
)
from autosam_platform.workspace import Workspace
from dashboard.components.base.places import is_name

Points = Sequence[tuple[int, float]]

RUNNING = "RUNNING"
INTERRUPTED = "INTERRUPTED"
"""Of a run that the record calls RUNNING and no process of this machine makes: it was killed."""
EVALUATING = "EVALUATING"
"""Of a run whose model is being evaluated, after it was trained."""
SWEEP = "sweep"
"""The role of a sweep's own record."""

_QUIET = 60  # seconds: an evaluation is recorded without the lock, but not without writing to the folder


def runs(workspace: Workspace) -> list[RunSummary]:
    """The newest runs first; of those that a killed process left RUNNING, the state is INTERRUPTED, and of those that
    a process of this machine evaluates, EVALUATING.

    Raises:
        TrackingError: the record exists and cannot be read.
    """
    return _runs(str(workspace))


def find(workspace: Workspace, run_id: str) -> RunSummary | None:
    """What is on record of a run.

    Raises:
        TrackingError: the record exists and cannot be read.
    """
    return next((run for run in runs(workspace) if run.run_id == run_id), None)


def curves(workspace: Workspace, run_id: str) -> dict[str, Points]:
    """Every curve of a run; none where it is not recorded.

    Raises:
        TrackingError: the record exists and cannot be read.
    """
    return _curves(str(workspace), run_id)


def ray_job(workspace: Workspace, run_id: str) -> str:
    """Id of the submitted Ray job that trained a run last; empty where it was none.

    Raises:
        TrackingError: the record exists and cannot be read.
    """
    run = find(workspace, run_id)
    return run.tags.get(RAY_JOB, "") if run else ""


@st.cache_data(ttl=2, max_entries=4, show_spinner="Reading the record of runs …")
def _runs(workspace: str) -> list[RunSummary]:
    root = Workspace(Path(workspace))
    return [replace(run, state=_state(root, run)) for run in _listed(root)]


def _state(root: Workspace, run: RunSummary) -> str:
    if _is_interrupted(root, run):
        return INTERRUPTED
    if run.role == SWEEP or not is_name(run.run_id):
        return run.state
    lock = root.run(run.run_id).evaluation().lock
    return EVALUATING if lock.exists() and is_locked(lock) else run.state


def _listed(root: Workspace) -> list[RunSummary]:
    file = database(root)
    if file is not None:
        return recorded_runs(file)
    from autosam_platform.tracking.writing import list_runs  # MLflow takes seconds to import: only a server needs it

    return list_runs(root)


def _is_interrupted(root: Workspace, run: RunSummary) -> bool:
    """Nobody holds the run's lock, and its folder is quiet; what runs on other machines cannot be told."""
    if run.state != RUNNING or not is_name(run.run_id):
        return False
    if run.role == SWEEP:
        sweep = root.sweep(run.run_id)
        lock, places = sweep.lock, [sweep.folder]
    else:
        made = root.run(run.run_id)
        lock, places = made.lock, [made.folder, made.evaluation().folder]
    if not lock.exists():
        return False
    written = max(place.stat().st_mtime for place in places if place.exists())
    return time.time() - written > _QUIET and not is_locked(lock)


@st.cache_data(ttl=2, max_entries=16, show_spinner=False)
def _curves(workspace: str, run_id: str) -> dict[str, Points]:
    root = Workspace(Path(workspace))
    file = database(root)
    try:
        if file is not None:
            return dict(recorded_curves(file, run_id))
        from autosam_platform.tracking.writing import read_curves

        return dict(read_curves(root, run_id))
    except KeyError:
        return {}
