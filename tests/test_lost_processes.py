"""A job whose processes Ray loses: what it says last, and that Ray's own C++ does not hide it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from patience import HANG_S
from ray import exceptions

import autosam_platform
from autosam_platform.pipeline import ending

_JOB = """
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
    assert "the same command continues; " in last
    assert "Traceback" not in job.stderr
    said = job.stdout + job.stderr
    assert "about to abort" in said  # what workers print is repeated
    assert "SIGABRT" not in said and "@ 0x" not in re.sub(" +", " ", said)
    logs = Path(last.partition("Ray's logs of this machine: ")[2].rstrip("."))
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
        "ray::IDLE(_PyEval_EvalFrameDefault+0x21) [0x56031fc6c081] _PyEval_EvalFrameDefault",
        "ray::IDLE() [0x56031fc6c081]",
        "E0000 00:00:1795876414.123456   21231 chttp2_transport.cc:1182] ipv4:127.0.0.1:1: Got goaway",
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
        "[2026-11-28 14:53:34,678 E 1 1] (raylet) node_manager.cc:3245: 1 Workers killed due to memory pressure (OOM)",
        "[2026-11-28 14:53:34,678 E 1 1] (raylet) file_system_monitor.cc:116: /tmp/ray is over 95% full",
        "[2026-11-28 14:53:34,678 E 1 1] core_worker.cc:609: :info_message: Attempting to recover 2 lost objects",
        "*** 3 cases were left out ***",
        "model.weight @ 0.5",
        "The node with node id: ae09f2 and address: 192.0.2.2 has been marked dead",
        "Fatal Python error: Segmentation fault",
    ],
)
def test_what_else_is_said_is_repeated(line: str) -> None:
    assert not _SKIPPED.search(line)


def test_what_ray_lost_is_told_with_its_reason_also_where_a_task_met_it() -> None:
    died = exceptions.NodeDiedError("its machine is gone:\n the network, maybe.")
    wanted = "Ray lost a process that this job needs (NodeDiedError: its machine is gone: the network, maybe). "
    met = exceptions.RayTaskError("work", "a traceback", died)
    assert [str(ending._lost(each)).startswith(wanted) for each in (died, met)] == [True, True]
    full = str(ending._lost(exceptions.OutOfMemoryError("a task of 3 GB")))
    assert full.startswith("A machine ran out of memory, and Ray ended a task for it (a task of 3 GB). Close")


def test_what_some_code_did_keeps_its_traceback() -> None:
    unread = exceptions.RaySystemError("System error: No module named 'of_another'", traceback_str="Traceback …")
    unmade = exceptions.ActorDiedError(exceptions.RayTaskError("work", "a traceback", ValueError("of its own")))
    own = exceptions.RayTaskError("work", "a traceback", ValueError("of a task"))
    for error in (unread, unmade, own, exceptions.GetTimeoutError("late"), ValueError("ours")):
        assert ending._lost(error) is None
