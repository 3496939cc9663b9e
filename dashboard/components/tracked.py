"""Runs and curves from the tracking record, read at most every other second however many pages are open."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from dashboard.components.places import ReadingError

if TYPE_CHECKING:
    from autosam_platform.tracking import RunSummary

T = TypeVar("T")
Points = Sequence[tuple[int, float]]

RUNNING = "RUNNING"


def runs(workspace: Path) -> list["RunSummary"]:
    """The newest runs first.

    Raises:
        ReadingError: the record exists and cannot be read.
    """
    return _asked(lambda: _runs(str(workspace)))


def curves(workspace: Path, run_id: str) -> dict[str, Points]:
    """Every curve of a run; none where it is not recorded.

    Raises:
        ReadingError: the record exists and cannot be read.
    """
    return _asked(lambda: _curves(str(workspace), run_id))


def ray_job(workspace: Path, run_id: str) -> str:
    """Id of the submitted Ray job that trained a run last; empty where it was none.

    Raises:
        ReadingError: the record exists and cannot be read.
    """
    return _asked(lambda: _ray_job(str(workspace), run_id))


def seconds(run: "RunSummary") -> float | None:
    """How long a run took, or has been going on."""
    if run.state == RUNNING:
        return (datetime.now(UTC) - run.started).total_seconds()
    return run.seconds


@st.cache_data(ttl=2, max_entries=4, show_spinner="Opening the record of runs …")
def _runs(workspace: str) -> list["RunSummary"]:
    from autosam_platform.tracking import (
        list_runs,  # MLflow takes seconds to import: only pages that ask it wait
    )

    return list_runs(Path(workspace))


@st.cache_data(ttl=2, max_entries=16, show_spinner=False)
def _curves(workspace: str, run_id: str) -> dict[str, Points]:
    from autosam_platform.tracking import read_curves

    try:
        return dict(read_curves(Path(workspace), run_id))
    except KeyError:
        return {}


@st.cache_data(ttl=2, max_entries=16, show_spinner=False)
def _ray_job(workspace: str, run_id: str) -> str:
    from autosam_platform.tracking import RAY_JOB, read_tags

    return read_tags(Path(workspace), run_id).get(RAY_JOB, "")


def _asked(question: Callable[[], T]) -> T:
    from autosam_platform.tracking import TrackingError

    try:
        return question()
    except TrackingError as error:
        raise ReadingError(str(error)) from error
