"""Runs, their settings, curves, results and files, kept by MLflow: a SQLite file in the workspace, or a team's server.

Each of our runs (``run_id``: name and content hash) is one MLflow run, found again by a tag when it continues. One
process at a time writes a run. ``MLFLOW_TRACKING_URI`` names a server; without it the workspace's ``mlflow.db`` serves,
which MLflow's own pages can open too: ``mlflow ui --backend-store-uri sqlite:///workspace/mlflow.db``.
"""

import functools
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves the machine by default
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from autosam_platform.tracking.database import address, artifact_location, ready
from autosam_platform.tracking.keys import metric_key, metric_name
from autosam_platform.tracking.reading import (
    EXPERIMENT,
    MOST_RUNS,
    RUN_ID,
    STUDIES,
    RunSummary,
    TrackingError,
    database,
    mlflow_state,
    recorded_curves,
    recorded_runs,
)
from autosam_platform.workspace import Workspace

_BATCH = 900  # MLflow takes at most 1,000 metrics a call
_PARAM_LENGTH = 6000
P = ParamSpec("P")
T = TypeVar("T")


def _explained(ask: Callable[P, T]) -> Callable[P, T]:
    """``ask`` the record; a refusal of MLflow or its database becomes a ``TrackingError``."""

    @functools.wraps(ask)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return ask(*args, **kwargs)
        except (MlflowException, SQLAlchemyError) as error:
            if getattr(error, "error_code", None) == "INVALID_PARAMETER_VALUE":
                raise TrackingError(
                    f"the record of runs refuses a name or a value ({_reason(error)}): change it where it "
                    "comes from; an organ has its name from the dataset's description."
                ) from error
            raise TrackingError(
                f"the record of runs does not answer ({_reason(error)}). If it is locked, wait for the "
                "process that writes it, or end it, and try again."
            ) from error

    return asked


class Run:
    """The record of one run, open for writing.

    Args:
        location: of the files of all runs, where the workspace keeps them; otherwise MLflow knows.
    """

    def __init__(self, client: MlflowClient, mlflow_id: str, location: str | None) -> None:
        self._client = client
        self.mlflow_id = mlflow_id
        self._location = location
        self._recorded: dict[str, set[int]] = {}

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record numbers at ``step``; those that are not finite are left out, since a curve has no place for them."""
        self.log_many([(metrics, step)])

    @_explained
    def log_many(self, points: Iterable[tuple[Mapping[str, float], int]]) -> None:
        """Record numbers of many steps in few calls; those that are not finite are left out."""
        now = int(time.time() * 1000)
        rows = [
            Metric(metric_key(name), float(value), now, step)
            for metrics, step in points
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        for start in range(0, len(rows), _BATCH):
            self._client.log_batch(self.mlflow_id, metrics=rows[start : start + _BATCH])

    def log_curve(self, curve: Iterable[Mapping[str, float]]) -> None:
        """Record points, each with its ``step`` beside its values.

        A step that is recorded already stays as it is: a run that was killed goes on from a checkpoint, and does again
        what it had done, and told, since.
        """
        new: list[tuple[dict[str, float], int]] = []
        for point in curve:
            step = int(point["step"])
            values = {name: value for name, value in point.items() if name != "step" and self._is_new(name, step)}
            new.append((values, step))
        self.log_many(new)

    @_explained
    def _is_new(self, name: str, step: int) -> bool:
        """Whether a curve has no such step yet; asked of the record once for each curve, since one process writes."""
        if name not in self._recorded:
            history = self._client.get_metric_history(self.mlflow_id, metric_key(name))
            self._recorded[name] = {each.step for each in history}
        new = step not in self._recorded[name]
        self._recorded[name].add(step)
        return new

    @_explained
    def tag(self, tags: Mapping[str, Any]) -> None:
        """Record facts that may change, as text."""
        self._client.log_batch(self.mlflow_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    @_explained
    def tags(self) -> dict[str, str]:
        """The facts recorded so far."""
        return dict(self._client.get_run(self.mlflow_id).data.tags)

    @_explained
    def add_file(self, path: Path, folder: str = "") -> None:
        """Keep a copy of a file, or of the files in a folder, with the run."""
        if self._location is not None:  # MLflow remembers where a run's files went, and the workspace may be moved
            files = LocalArtifactRepository(f"{self._location}/{self.mlflow_id}/artifacts")
            (files.log_artifacts if path.is_dir() else files.log_artifact)(str(path), folder or None)
        elif path.is_dir():
            self._client.log_artifacts(self.mlflow_id, str(path), folder or None)
        else:
            self._client.log_artifact(self.mlflow_id, str(path), folder or None)

    @_explained
    def finish(self, state: str = "FINISHED") -> None:
        """Close the record as FINISHED, FAILED or STOPPED; one that is closed stays so.

        A sweep that stops a run closes its record, and the run's own process may live long enough to call it failed.
        """
        if self._client.get_run(self.mlflow_id).info.status == "RUNNING":
            self._client.set_terminated(self.mlflow_id, mlflow_state(state))


@_explained
def open_run(workspace: Workspace, run_id: str, *, tags: Mapping[str, Any], params: Mapping[str, Any]) -> Run:
    """Begin the record of ``run_id``, or go on with it where there is one.

    Args:
        tags: ``name``, ``role``, ``model``, ``dataset``: shown in the list of runs.
        params: the resolved settings, flat; what is recorded already stays as it is.

    Raises:
        TrackingError: the database or server cannot be used.
    """
    client = _client(workspace)
    found = _find(client, run_id)
    if found is None:
        names = {f"autosam.{key}": str(value) for key, value in tags.items()} | {RUN_ID: run_id}
        created = client.create_run(_experiment(client, workspace), tags=names, run_name=run_id)
        run = _run(client, created)
    else:
        client.update_run(found.info.run_id, status="RUNNING")
        run = _run(client, found)
    known = found.data.params if found else {}
    new = [Param(key, str(value)[:_PARAM_LENGTH]) for key, value in params.items() if key not in known]
    for start in range(0, len(new), 100):
        client.log_batch(run.mlflow_id, params=new[start : start + 100])
    return run


@_explained
def open_study(workspace: Workspace, name: str, *, tags: Mapping[str, Any]) -> Run:
    """Begin the record of a study, or go on with it: beside those of the runs, so that no list of runs has it.

    Raises:
        TrackingError: the database or server cannot be used.
    """
    client = _client(workspace)
    found = _find(client, name, STUDIES)
    if found is not None:
        client.update_run(found.info.run_id, status="RUNNING")
        return _run(client, found)
    names = {f"autosam.{key}": str(value) for key, value in tags.items()} | {RUN_ID: name}
    return _run(client, client.create_run(_experiment(client, workspace, STUDIES), tags=names, run_name=name))


@_explained
def tag_run(workspace: Workspace, run_id: str, tags: Mapping[str, Any], state: str | None = None) -> None:
    """Record facts about a run without opening it, and close it where a state is given; nothing where it is unknown.

    Args:
        state: FINISHED, FAILED or STOPPED; a run that has it already keeps its time of ending.
    """
    client = _client(workspace)
    found = _find(client, run_id)
    if found is None:
        return
    _run(client, found).tag(tags)
    if state is not None and found.info.status != mlflow_state(state):
        client.set_terminated(found.info.run_id, mlflow_state(state))


@_explained
def list_runs(workspace: Workspace) -> list[RunSummary]:
    """The newest runs first.

    Raises:
        TrackingError: the database or server cannot be read.
    """
    file = database(workspace)
    if file is not None:
        return recorded_runs(file)
    client = _client(workspace)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    newest = ["attributes.start_time DESC"]
    found = client.search_runs([experiment.experiment_id], max_results=MOST_RUNS, order_by=newest)
    return [_summary(run) for run in found if RUN_ID in run.data.tags]


@_explained
def read_curves(workspace: Workspace, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Every curve of a run as (step, value), in order of steps.

    A step done twice, since the run was interrupted and continued, counts with its last value.

    Raises:
        KeyError: there is no such run.
        TrackingError: the database or server cannot be read.
    """
    file = database(workspace)
    if file is not None:
        return recorded_curves(file, run_id)
    client = _client(workspace)
    found = _find(client, run_id)
    if found is None:
        raise KeyError(f"no run '{run_id}' is recorded at {_without_password(os.environ['MLFLOW_TRACKING_URI'])}")
    curves = {}
    for key in sorted(found.data.metrics):
        history = sorted(client.get_metric_history(found.info.run_id, key), key=lambda point: point.timestamp)
        curves[metric_name(key)] = sorted({point.step: point.value for point in history}.items())
    return curves


def _summary(run: MlflowRun) -> RunSummary:
    info = run.info
    return RunSummary.of(info.run_id, info.status, info.start_time, dict(run.data.tags), run.data.metrics)


def _find(client: MlflowClient, run_id: str, kind: str = EXPERIMENT) -> MlflowRun | None:
    experiment = client.get_experiment_by_name(kind)
    if experiment is None or "'" in run_id:  # none of ours has a quote, and a filter cannot hold one
        return None
    found = client.search_runs([experiment.experiment_id], f"tags.`{RUN_ID}` = '{run_id}'", max_results=1)
    return found[0] if found else None


def _run(client: MlflowClient, found: MlflowRun) -> Run:
    place = found.info.artifact_uri or ""
    own = f"/{found.info.run_id}/artifacts"
    local = place.startswith("file:") and place.endswith(own) and client.tracking_uri.startswith("sqlite:")
    return Run(client, found.info.run_id, place.removesuffix(own) if local else None)


def _experiment(client: MlflowClient, workspace: Workspace, kind: str = EXPERIMENT) -> str:
    found = client.get_experiment_by_name(kind)
    if found is not None:
        return found.experiment_id
    # A server keeps artifacts where it was told to; the database in the workspace keeps them beside itself.
    place = None if database(workspace) is None else artifact_location(workspace)
    return client.create_experiment(kind, artifact_location=place)


def _client(workspace: Workspace) -> MlflowClient:
    """The store of the record, made where it is the workspace's own."""
    if database(workspace) is None:
        return _opened(os.environ["MLFLOW_TRACKING_URI"])
    try:
        ready(workspace, _make)
        return _opened(address(workspace.database))
    except OSError as error:
        raise TrackingError(f"the record of runs at {workspace.database} cannot be opened ({error})") from error


def _make(place: str) -> None:
    _connect(place)._tracking_client.store.engine.dispose()


@functools.lru_cache(maxsize=4)
def _opened(place: str) -> MlflowClient:
    """Open a store once per process.

    Several processes that create its tables at once now and then leave a broken file.
    """
    try:
        return _connect(place)
    except (MlflowException, SQLAlchemyError) as error:
        reason, place = _reason(error), _without_password(place)
        older = "out-of-date database schema" in reason  # as MLflow says it
        remedy = f"`mlflow db upgrade {place}`" if older else "move the file away, runs/ keeps the results"
        raise TrackingError(f"the record of runs at {place} cannot be opened ({reason}): {remedy}.") from error


def _reason(error: Exception) -> str:
    return _without_password(str(error).splitlines()[0])


def _without_password(text: str) -> str:
    """The address of a database or server without who asks and with which password: messages are shown to others.

    >>> _without_password("postgresql://mlflow:secret@db/mlflow cannot be reached")
    'postgresql://…@db/mlflow cannot be reached'
    """
    return re.sub(r"(?<=://)[^/\s]*@", "…@", text)


def _connect(place: str) -> MlflowClient:
    client = MlflowClient(tracking_uri=place)
    client.search_experiments(max_results=1)
    return client
