"""A sweep as a person launches it, on a Ray of its own: ``python sweep_on_ray.py CORES ARGUMENT ...``."""

import runpy
import sys
import tempfile
from pathlib import Path

JOBS = Path(__file__).parents[2] / "jobs"


def main() -> None:
    sys.path.insert(0, str(JOBS))
    import _roots  # noqa: F401

    from autosam_platform import cluster

    cluster._runs_here = lambda: False  # never a cluster that somebody works on
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as short:
        cluster.connect(num_cpus=int(sys.argv[1]), _temp_dir=short)
        sys.argv = [str(JOBS / "sweep.py"), *sys.argv[2:]]
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
