"""Fixtures that several rooms share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_head import ray_head

from autosam_platform import cluster

TESTS = Path(__file__).parent
REAL_CT = TESTS.parent / ".." / "shared" / "data" / "real-ct"


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """Folder of one real abdominal CT with labels, which is not part of the repository."""
    if not (REAL_CT / "image.nii.gz").exists():
        pytest.skip(f"the real CT is not at {REAL_CT}")
    return REAL_CT.resolve()


@pytest.fixture(scope="session")
def ray_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Ray of two cores for the whole session, with a workspace and a temporary folder of its own."""
    import ray

    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # Ray's sockets need a short path
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("RAY_ADDRESS", raising=False)
        environment.setenv("AUTOSAM_WORKSPACE", str(tmp_path_factory.mktemp("workspace")))
        # Workers import what the tests define; the packages themselves travel as they do for a job.
        environment.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *(str(each) for each in TESTS.glob("*/"))]))
        environment.setattr(cluster, "_runs_here", lambda: False)  # never a cluster that somebody works on
        cluster.connect(num_cpus=2, include_dashboard=False, _temp_dir=str(folder))
        yield
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ray_dashboard() -> Iterator[str]:
    """Address of the dashboard of a cluster made by `ray start --head`, which jobs can be sent to."""
    with ray_head(RAY_AUTH_MODE="disabled") as address:
        yield address
