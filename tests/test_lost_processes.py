"""A job whose processes Ray loses: what it says last, and that Ray's own C++ does not hide it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from patience import HANG_S

import autosam_platform

_JOB = """
import os
from pathlib import Path

from lost_processes import abort
from autosam_platform.cluster import map_tasks
from autosam_platform.command_line import CommandLine
from autosam_platform.pipeline.ending import Outcome, run_job

run_job(lambda: Outcome(Path("never"), {"results": map_tasks(abort, [1], label="aborting")}), CommandLine())
"""
_SKIPPED = re.compile(autosam_platform.SETTINGS_OF_RAY["RAY_DEDUP_LOGS_SKIP_REGEX"])


def test_a_process_that_aborts_again_and_again_is_told_of_in_one_sentence(ray_local: str, tmp_path: Path) -> None:
    """``abort`` is what Ray's "Mutex corrupt" ends with: its page of C++ is in Ray's logs and not in the job's."""
    paths = os.pathsep.join(sys.path)
    environment = {**os.environ, "RAY_ADDRESS": ray_local, "PYTHONPATH": paths, "AUTOSAM_WORKSPACE": str(tmp_path)}
    command = [sys.executable, "-c", _JOB]
    job = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG_S)
    last = job.stderr.strip().splitlines()[-1]
    assert job.returncode == 1, job.stderr
    assert last.startswith("Ray lost a process that this job needs (WorkerCrashedError: "), job.stderr
    assert "the same command continues. Ray's logs: " in last
    assert "Traceback" not in job.stderr
    said = job.stdout + job.stderr
    assert "about to abort" in said  # what workers print is repeated
    assert "SIGABRT" not in said and "@ 0x" not in re.sub(" +", " ", said)
    logs = Path(last.partition("Ray's logs: ")[2].rstrip("."))
    assert any("*** SIGABRT received" in log.read_text(errors="replace") for log in logs.glob("worker-*.err"))


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-28 14:53:34,678 C 21231 21231] core_worker.cc:3345:  An unexpected system state has occurred.",
        "[2026-11-28 14:53:39,970 E 18708 18708] (gcs_server) gcs_placement_group_scheduler.cc:273: Failed to remove",
        "[mutex.cc : 2102] RAW: Mutex corrupt: both reader and writer lock held: 0x7f",
        "*** StackTrace Information ***",
        "*** SIGABRT received at time=1 on cpu 0 ***",
        "PC: @     0x7f1b27412b9a  (unknown)  raise",
        "    @     0x7f1b27412b9a  3456  ray::core::CoreWorker::ExecuteTask()",
        "/venv/ray/_raylet.so(+0x1812b9a) [0x7f1b27412b9a] ray::operator<<()",
        "/lib/x86_64-linux-gnu/libc.so.6(__libc_start_main+0x85) [0x7f1b28445305] __libc_start_main",
        "Extension modules: numpy._core._multiarray_umath (total: 1)",
        "ray::TrainController(_start+0x21) [0x56031fc6c081] _start",
        "Raylet is terminated. Termination is unexpected. Possible reasons include: (1) SIGKILL\n    [state-dump]",
    ],
)
def test_rays_cpp_is_not_repeated(line: str) -> None:
    assert _SKIPPED.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "trial 2/2 tiny-4963b92b epoch 2: Dice 0.0000",
        "[rank 0] the loss is not finite",
        "Traceback (most recent call last):",
        '  File "/venv/ray/train/v2/_internal/worker_group.py", line 388, in _start_impl',
        "RuntimeError: CUDA error: an illegal memory access was encountered",
        "*** 3 cases were left out ***",
        "model.weight @ 0.5",
        "The node with node id: ae09f2 and address: 192.0.2.2 has been marked dead",
        "Fatal Python error: Segmentation fault",
    ],
)
def test_what_else_is_said_is_repeated(line: str) -> None:
    assert not _SKIPPED.search(line)
