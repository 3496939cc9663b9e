"""The Ray cluster as pages see it: where it is, its jobs, their logs; jobs sent to it and stopped."""

import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import streamlit as st

from autosam_platform.workspace import workspace
from dashboard.components.base.places import PROJECT, ReadingError
from dashboard.components.jobs.job_kinds import KINDS, scripts_of_jobs

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

    from dashboard.components.jobs.ray_clients import Jobs

START = ("ray", "start", "--head")
_LOCAL = "http://127.0.0.1:8265"  # where `ray start --head` serves its dashboard
_JOB = "autosam.job"  # our jobs carry their name under this
_PREDICT = "predict"  # sent by the page Predict
_ACTIVE = ("PENDING", "RUNNING")
_ASK = "import sys; from ray.dashboard.utils import ray_address_to_api_server_url as ask; print(ask(sys.argv[1]))"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\n]*\r(?!\n)")  # colours; lines that were written over


class NoClusterError(Exception):
    """No cluster answers; the message says where one was looked for."""


@dataclass(frozen=True)
class Submitted:
    """A job that was sent to the cluster.

    Attributes:
        kind: name of a job's script; empty for what is none of these.
        state: Ray's: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        message: Ray's word on that state.
        driver: Ray's number of the job among all drivers, which actors and tasks carry; empty before it starts.
    """

    job_id: str
    driver: str
    kind: str
    state: str
    command: str
    started: datetime | None
    ended: datetime | None
    message: str

    @property
    def active(self) -> bool:
        """Is it going on, or waiting to?"""
        return self.state in _ACTIVE

    @property
    def ours(self) -> bool:
        """Can a page have sent it? Other jobs of these names may be anybody's."""
        return self.kind in (*KINDS, _PREDICT)

    @property
    def words(self) -> list[str]:
        """Its command; none where that cannot be read as one."""
        return _words(self.command)

    @property
    def seconds(self) -> float | None:
        """How long it took, or has been going on."""
        return ((self.ended or datetime.now(UTC)) - self.started).total_seconds() if self.started else None


def cluster() -> str:
    """Address of the dashboard of the cluster that jobs go to, as ``ray job submit`` would find it.

    Raises:
        NoClusterError: none answers.
        ReadingError: one is named in a way that cannot be used, or does not let the app in.
    """
    named = os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS", "auto")
    address, problem, refused = _found(named)
    if refused:
        raise ReadingError(problem)
    if problem:
        raise NoClusterError(problem)
    return address


@st.cache_data(ttl=3, max_entries=4, show_spinner=False)  # pages that look again would flicker
def _found(named: str) -> tuple[str, str, bool]:
    """Address, what is wrong with it, and whether it refuses us: kept for a moment, bad news too."""
    try:
        address = _address(named)
        _knock(address)
        with answers(address):
            _jobs(address)._check_connection_and_version()
    except NoClusterError as error:
        return "", str(error), False
    except ReadingError as error:
        return "", str(error), True
    return address, "", False


def _address(named: str) -> str:
    if named.startswith(("http://", "https://")):
        return named.rstrip("/")
    if "://" in named:
        raise ReadingError(
            f"The cluster {named} is not asked: set RAY_ADDRESS=http://HEAD:8265 and start the app again."
        )
    noted = named if named not in ("auto", "local") else _noted()
    return _dashboard_of(noted) if noted else _LOCAL


def _noted() -> str | None:
    """What the last `ray start` on this machine noted; a crash leaves it behind."""
    system = "/tmp" if sys.platform == "darwin" else tempfile.gettempdir()  # noqa: S108  # as Ray has it
    file = Path(os.environ.get("RAY_TMPDIR") or system) / "ray" / "ray_current_cluster"
    return file.read_text().strip() if file.exists() else None


def _dashboard_of(head: str) -> str:
    """The dashboard of the cluster whose head listens at HOST:PORT."""
    _knock(f"//{head}")
    if address := _told(head):
        return address
    raise NoClusterError(f"what listens at {head} does not answer as Ray does; `ray stop` removes traces of a crash")


def _knock(address: str) -> None:
    """See that anybody listens there, before Ray is imported to ask."""
    parts = urlsplit(address)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        socket.create_connection((parts.hostname or "", port), timeout=2).close()
    except (OSError, ValueError) as error:
        raise NoClusterError(f"nobody answers at {parts.netloc}: {error}") from error


@st.cache_data(ttl=60, max_entries=4, show_spinner=False)
def _told(head: str) -> str:
    """Empty where the head does not know; in a process of its own, since Ray ends one that gets no sense out of it."""
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run([sys.executable, "-c", _ASK, head], capture_output=True, text=True, timeout=15)
        if done.returncode == 0:
            return done.stdout.splitlines()[-1]
    return ""


def _jobs(address: str) -> "Jobs":
    from dashboard.components.jobs.ray_clients import Jobs

    return Jobs(address)


@contextmanager
def answers(address: str) -> Iterator[None]:
    """What goes wrong with a cluster, said.

    Raises:
        NoClusterError: it does not answer.
        ReadingError: it refuses the token, or what is asked.
    """
    from ray.exceptions import AuthenticationError
    from ray.util.state.exception import RayStateApiException

    try:
        yield
    except AuthenticationError as error:
        raise ReadingError(
            f"The Ray cluster at {address} does not let the app in: it uses token authentication. Start the app with "
            "RAY_AUTH_MODE=token, and the token in ~/.ray/auth_token or in the file RAY_AUTH_TOKEN_PATH names."
        ) from error
    except OSError as error:  # of requests, too
        raise NoClusterError(f"{address} does not answer") from error
    except (RuntimeError, RayStateApiException) as error:
        raise ReadingError(f"The Ray cluster at {address} refuses: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


@st.cache_data(ttl=2, max_entries=4, show_spinner=False)
def submitted(address: str) -> list[Submitted]:
    """The jobs sent to a cluster, newest first.

    Raises:
        NoClusterError, ReadingError: see ``cluster``.
    """
    with answers(address):
        jobs = [_job(each) for each in _jobs(address).list_jobs() if each.submission_id]
    return sorted(jobs, key=lambda job: job.started or datetime.now(UTC), reverse=True)


def find_job(address: str, job_id: str) -> Submitted | None:
    """One job; ``None`` where the cluster does not know it, as after a restart."""
    return next((job for job in submitted(address) if job.job_id == job_id), None)


def last_of(jobs: Sequence[Submitted], kind: str, run_id: str) -> Submitted | None:
    """The newest job of a kind whose command names a run, whoever sent it, and from where.

    Args:
        jobs: newest first.
    """
    return next((job for job in jobs if job.kind == kind and run_id in job.words), None)


def _job(told: "JobDetails") -> Submitted:
    started, ended = (
        datetime.fromtimestamp(each / 1000, UTC) if each else None for each in (told.start_time, told.end_time)
    )
    kind = (told.metadata or {}).get(_JOB) or _kind(told.entrypoint)
    return Submitted(
        told.submission_id or "",
        told.job_id or "",
        kind,
        str(told.status.value),
        told.entrypoint,
        started,
        ended,
        told.message or "",
    )


def _kind(entrypoint: str) -> str:
    """Our job's name, where somebody sent it from a terminal: `python jobs/train_teacher.py …`."""
    scripts = [PurePath(word) for word in _words(entrypoint)]
    return next((path.stem for path in scripts if path.parent.name == "jobs" and path.stem in scripts_of_jobs()), "")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # no closing quotation
        return []


@st.cache_data(ttl=2, max_entries=8, show_spinner=False)
def log_of(address: str, job_id: str, lines: int = 300) -> str:
    """The last lines that a job printed, without colours.

    Raises:
        NoClusterError, ReadingError: see ``cluster``.
    """
    with answers(address):
        return tail(_jobs(address).get_job_logs(job_id), lines)


def tail(text: str, lines: int) -> str:
    """The last lines of a log, without colours and without lines that were written over."""
    return "\n".join(_CONTROL.sub("", text).splitlines()[-lines:])


def stop(address: str, job_id: str) -> None:
    """Ask a job to end; Ray kills it where it does not.

    Raises:
        NoClusterError, ReadingError: see ``cluster``.
    """
    with answers(address):
        _jobs(address).stop_job(job_id)
    submitted.clear()


def submit(address: str, kind: str, arguments: Sequence[str]) -> str:
    """Send one of our jobs to the cluster; gives Ray's id of it.

    On this machine it runs the project's own files with this Python; a cluster elsewhere gets a copy of the project.

    Args:
        kind: name of the script in jobs/.

    Raises:
        NoClusterError, ReadingError: see ``cluster``.
    """
    here = _is_here(address)
    words = [sys.executable, str(PROJECT / "jobs" / f"{kind}.py")] if here else ["python", f"jobs/{kind}.py"]
    names = ("MLFLOW_TRACKING_URI",)
    variables = {name: os.environ[name] for name in names if name in os.environ}
    environment = {"env_vars": variables | {"AUTOSAM_WORKSPACE": str(workspace())}}
    with answers(address):
        job_id = _jobs(address).submit_job(
            entrypoint=shlex.join([*words, *arguments]),
            runtime_env=environment if here else environment | {"working_dir": str(PROJECT)},
            metadata={_JOB: kind},
        )
    submitted.clear()
    return job_id


def _is_here(address: str) -> bool:
    """Is the cluster's head this machine? Its address may be the end of a tunnel, so the head's own is asked for."""
    from ray.util import get_node_ip_address

    from dashboard.components.jobs.ray_clients import States

    with answers(address):
        heads = States(address).listed("nodes", ("is_head_node", "=", True))
    return any(head.node_ip in ("127.0.0.1", get_node_ip_address()) for head in heads)
