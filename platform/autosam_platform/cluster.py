"""Ray, found or started, and functions run over cases as Ray tasks."""

import itertools
import json
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

import autosam_inference
import autosam_models
import autosam_platform
from autosam_inference.errors import UserError
from autosam_inference.files import write_text
from autosam_platform.workspace import workspace

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)


MOST_CORES = 8
"""A worker or task computes with no more: beyond, cores bring one patch or scan little."""
MOST_IN_QUEUE = 512
"""Tasks that Ray knows of at a time: enough for the autoscaler to see the need, while the work for each that ends stays
the same however many cases there are."""


_ANSWER_SECONDS = 5.0
_LONGEST_FOLDER = 36  # what Ray's names of a session and its sockets leave


class ClusterError(UserError):
    """A cluster that is there and cannot be joined; the message says what to set."""


_SUBMISSION = "AUTOSAM_RAY_JOB"
_started_here = False


def connect(**own_ray: Any) -> None:
    """Join the cluster this job was submitted to, else the one running on this machine, else start one here.

    All packages travel with the connection (``py_modules``), so that workers of other nodes have the driver's
    very code whether or not it is installed there.

    Args:
        own_ray: arguments of ``ray.init`` for a Ray that is started here, such as ``num_cpus``.

    Raises:
        ClusterError: a cluster is there but does not let this process in, or ``RAY_ADDRESS`` names one that is not.
    """
    import ray

    global _started_here
    if ray.is_initialized():
        return
    joins = bool(os.environ.get("RAY_ADDRESS")) or _runs_here()
    if joins:
        _require_answer()
    else:
        _use_own_token()
        own_ray = _short_folder() | own_ray
        # No node of it is taken away, and what looks for that costs each fit a process, which complains of itself.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    settings = {name: os.environ[name] for name in autosam_platform.SETTINGS_OF_RAY}
    # A job may have been submitted with variables of its own, which Ray refuses to see named twice. Ours are read from
    # the environment, so they have the job's values.
    os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
    known: AbstractContextManager[dict[str, str]] = nullcontext(_joined_address()) if joins else _known_address()
    try:
        with known as address, _own_end_signal():
            ray.init(
                address=None if joins else "local",  # "local" passes by what a crashed cluster left behind
                runtime_env={
                    "py_modules": [_folder(autosam_platform), _folder(autosam_inference), _folder(autosam_models)],
                    "env_vars": settings
                    | {"AUTOSAM_WORKSPACE": str(workspace()), _SUBMISSION: submission_id()}
                    | address,
                },
                logging_level=logging.WARNING,
                **({} if joins else own_ray),
            )
        _started_here = not joins
    except ConnectionError as error:
        raise ClusterError(
            f"The Ray cluster at {os.environ.get('RAY_ADDRESS', 'this machine')} cannot be joined ({error}). If it "
            "uses token authentication, set RAY_AUTH_MODE=token and run the same command again; if it is gone, "
            "`ray stop` removes its traces."
        ) from error


def may_grow() -> bool:
    """Can further nodes join the Ray that this process is connected to? Not one that ``connect`` started here."""
    return not _started_here


def submission_id() -> str:
    """Ray's id of the submitted job that this process, or the driver of this worker, is; empty where it is none."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))  # from `ray job submit`, for drivers only
    return job.get("metadata", {}).get("job_submission_id", os.environ.get(_SUBMISSION, ""))


def map_tasks(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    label: str,
    memory: Callable[[T], int] | None = None,
    cpus: float = 1,
    gpu: bool = False,
) -> list[R]:
    """Run ``function`` over ``items`` as Ray tasks and show a progress bar called ``label``.

    Args:
        memory: bytes that one item needs, so that Ray runs no more at a time than fit; what one item needs
            beyond the largest node is cut to that node, where it then runs alone.
        cpus: cores of one task.
        gpu: give each task a GPU, where the cluster has any.

    Returns:
        the results, in the order of ``items``.

    Raises:
        Exception: the first failure of ``function``, as it was raised there; tasks not yet started do nothing then.
    """
    if not items:
        return []
    import ray
    from ray.experimental import internal_kv

    connect()
    largest = int(max((node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"]), default=0))
    gpus = 1 if gpu and ray.cluster_resources().get("GPU", 0) else 0
    remote: Any = ray.remote(_run_item)
    failure = f"autosam-failed-{uuid.uuid4().hex}".encode()
    left = iter(enumerate(items))
    given: dict[Any, int] = {}
    results: list[Any] = [None] * len(items)
    pause = 0.1 if sys.stdout.isatty() else 15.0  # seconds between updates: in a log file each one is a line
    with tqdm(total=len(items), desc=label, file=sys.stdout, ascii=" =", mininterval=pause) as bar:
        while True:
            for index, item in itertools.islice(left, MOST_IN_QUEUE - len(given)):
                need = {"memory": min(memory(item), largest)} if memory else {}
                asked = remote.options(num_cpus=cpus, num_gpus=gpus, name=label, **need)
                given[asked.remote(function, item, failure)] = index
            if not given:
                return results
            done = ray.wait(list(given), num_returns=1)[0][0]
            try:
                results[given.pop(done)] = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                # Not ``ray.cancel``: what meets a task as it starts ends this process, message and all (docs/log.md,
                # 2026-11-28, "A failure that took the driver with it").
                internal_kv._internal_kv_put(failure, b"")
                raise raised_in_task(error) from None
            bar.update()


def raised_in_task(error: Any) -> Exception:
    """What a task raised, of a ``RayTaskError``: a person's own mistake as it was said there; of all else, with the
    traceback of its process.
    """
    return error.cause if isinstance(error.cause, UserError) else error.as_instanceof_cause()


def cores_per_task(tasks: int) -> int:
    """Cores that each of so many tasks may compute with, so that they share the largest node: 1 to ``MOST_CORES``."""
    import ray

    connect()
    cores = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=1)
    return int(max(1, min(MOST_CORES, cores // max(tasks, 1))))


def _run_item(function: Callable[[T], R], item: T, failure: bytes) -> R | None:
    """What ``function`` makes of the item; nothing where the cluster knows by now that another item has failed."""
    from ray.experimental import internal_kv

    return None if internal_kv._internal_kv_exists(failure) else function(item)


def _runs_here() -> bool:
    """Has `ray start` made this machine part of a cluster that is alive?

    Ray notes the cluster's address in a file, which a crash leaves behind; `ray.init` then waits for minutes. That
    the port is open proves nothing, since another program may have it by now: a raylet of that cluster must run here
    (docs/log.md, 2026-11-23).
    """
    from ray._private import services
    from ray._private.utils import read_ray_address

    address = read_ray_address()
    if address is None or address in services.find_gcs_addresses():
        return address is not None
    log.warning("the Ray cluster at %s is gone (`ray stop` removes its traces); starting one for this job", address)
    return False


def _require_answer() -> None:
    """Ask at the address that the environment names: Ray itself would wait for minutes for a cluster that is gone.

    Raises:
        ClusterError: nobody answers there.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    if not named or named == "local" or (named == "auto" and _runs_here()):
        return
    remedy = "start it (`ray start --head`), name another, or unset RAY_ADDRESS to run on this machine alone"
    if named.startswith("http"):
        raise ClusterError(f"RAY_ADDRESS is {named}, which is where jobs are submitted to: {remedy}.")
    host, _, port = named.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS):
            pass
    except (OSError, ValueError) as error:
        raise ClusterError(f"no Ray cluster answers at RAY_ADDRESS={named} ({error}): {remedy}.") from error


def _short_folder() -> dict[str, str]:
    """Where Ray's sockets go, if the folder for temporary files is too deep for them: Linux takes 107 characters."""
    chosen = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or ""
    return {} if len(os.fsencode(chosen)) <= _LONGEST_FOLDER else {"_temp_dir": "/tmp/ray"}  # noqa: S108  # Ray's own


def _joined_address() -> dict[str, str]:
    """The address of the cluster that is joined, for its processes; see ``_known_address``."""
    from ray._private import services

    by_client = "://" in os.environ.get("RAY_ADDRESS", "")  # then it is not this process that joins
    address = None if by_client else services.canonicalize_bootstrap_address("auto")
    return {"RAY_ADDRESS": address} if address else {}


@contextmanager
def _known_address() -> Iterator[dict[str, str]]:
    """Start Ray at an address that its processes can be told before it runs.

    Ray Train's cleaner asks for the state of the cluster by that; where two of them run on one machine and neither was
    named, it fails, and the cores of a stopped trial stay taken.
    """
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = str(probe.getsockname()[1])
    os.environ["RAY_GCS_SERVER_PORT"] = port
    try:
        yield {"RAY_ADDRESS": f"127.0.0.1:{port}"}
    finally:
        del os.environ["RAY_GCS_SERVER_PORT"]


@contextmanager
def _own_end_signal() -> Iterator[None]:
    """Keep what this process does when it is told to end: Ray would end it at once, with nothing recorded."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _use_own_token() -> None:
    """Let the Ray started here authenticate with a token of its own, in the workspace.

    A plain local ``ray.init()`` would write ``~/.ray/auth_token`` (readable by others), and a later
    ``ray start --head`` would then ask every ``ray job submit`` for it. With the token kept here, a local run
    stays protected and leaves nothing behind that changes what the documented commands do. Ray reads the mode
    when it is imported but the path later, and turns authentication on by itself.
    """
    if "RAY_AUTH_MODE" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    token = workspace().ray_token
    if not token.exists():
        previous = os.umask(0o077)
        try:
            write_text(token, secrets.token_hex(32))
        finally:
            os.umask(previous)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)


def _folder(package: Any) -> str:
    return str(Path(package.__file__).parent)
