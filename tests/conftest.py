"""Fixtures that several rooms share; which tests run beside which is in ``kinds``."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kinds import GroupScheduling, begins, group_of, is_slow, uses_ray
from ray_head import Head, ray_head

TESTS = Path(__file__).parent
REAL_CT = TESTS.parent / ".." / "shared" / "data" / "real-ct"
_JOINED = pytest.StashKey[bool]()

if "PYTEST_XDIST_WORKER" in os.environ:
    # One of several processes: threads of one would wait for those of the others.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A process less for each fit: it looks whether a node is to be taken away, and here none is.
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow; what takes longest begins first."""
    for item in items:
        if is_slow(item):
            item.add_marker(pytest.mark.slow)
        if uses_ray(item) and group_of(item.path) != "ray":
            raise pytest.UsageError(f"{item.nodeid} takes a fixture that takes Ray's: let its file name that, too")
    items.sort(key=lambda item: begins(item.path))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    """How `pytest -n` shares the tests out."""
    return GroupScheduling(config, log)


@pytest.fixture(autouse=True)
def _no_ray_unasked(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that starts Ray says so with a fixture: else it would run beside the one of the session."""
    yield
    if not uses_ray(request.node) and not request.session.stash.get(_JOINED, False):
        ray = sys.modules.get("ray")
        assert ray is None or not ray.is_initialized(), "this test started Ray: let it take the fixture ray_local"


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """Folder of one real abdominal CT with labels, which is not part of the repository."""
    if not (REAL_CT / "image.nii.gz").exists():
        pytest.skip(f"the real CT is not at {REAL_CT}")
    return REAL_CT.resolve()


@pytest.fixture(scope="session")
def _head() -> Iterator[Head]:
    """The one Ray of the session, of two cores, as `ray start --head` makes it."""
    # Workers import what the tests define; the packages themselves travel as they do for a job.
    paths = os.pathsep.join([str(TESTS), *(str(each) for each in TESTS.glob("*/"))])
    with ray_head(RAY_AUTH_MODE="disabled", PYTHONPATH=paths) as head:
        yield head


@pytest.fixture(scope="session")
def ray_dashboard(_head: Head) -> str:
    """Address of the dashboard of the session's Ray, which jobs can be sent to."""
    return _head.dashboard


@pytest.fixture(scope="session")
def ray_local(_head: Head, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """This process has joined the session's Ray, with a workspace for what is told no other; gives its address."""
    import ray

    from autosam_platform import cluster

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AUTOSAM_WORKSPACE", str(tmp_path_factory.mktemp("workspace")))
        with pytest.MonkeyPatch.context() as joining:
            joining.setenv("RAY_ADDRESS", _head.address)
            cluster.connect()
        request.session.stash[_JOINED] = True
        yield _head.address
        ray.shutdown()


@pytest.fixture(scope="session")
def ray_of_its_own() -> None:
    """For a test that starts a Ray in processes of its own: it stays with the tests that use the session's."""
