"""How a job ends: with a place to look at, with a reason, or interrupted."""

import errno
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosam_inference.errors import UserError
from autosam_platform.command_line import CommandLine
from autosam_platform.workspace import workspace


@dataclass(frozen=True)
class Outcome:
    """What a job leaves.

    Attributes:
        place: to look at.
        numbers: of its last line.
        whole: false where something that was asked for is missing, as was said; the job ends with status 3 then.
    """

    place: Path
    numbers: dict[str, Any]
    whole: bool = True


class Terminated(KeyboardInterrupt):
    """The process was told to end: by `ray job stop`, by a queue of a cluster, or as the machine goes down."""


def run_job(work: Callable[[], Outcome], job: CommandLine) -> None:
    """Do the work of a job; its last line says where the result is, or is the result as one JSON object.

    Args:
        job: its command line.

    Raises:
        SystemExit: status 1 after a message, where the job could not be done for a reason that can be put right;
            status 3 where its result is there, but not all of it.
    """
    try:
        with _told_to_end():
            outcome = work()
    except UserError as error:
        print(f"\n{error}", file=sys.stderr)
        raise SystemExit(1) from error
    except OSError as error:
        cause = getattr(error, "cause", error)  # what a Ray task raised comes wrapped
        if cause.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = cause.filename or workspace()
        print(f"\nThe disk is full ({place}): make room, and the same command continues.", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt as error:
        place = f" {error}" if str(error) else ""
        print(f"\nInterrupted{place}: stopped here, and the same command continues.", file=sys.stderr, flush=True)
        _end_ray()
        raise SystemExit(143 if isinstance(error, Terminated) else 130) from None
    except Exception as error:
        lost = _lost(error)
        if lost is None:
            raise
        _end_ray()  # which prints what workers said last
        print(f"\n{lost}", file=sys.stderr)
        raise SystemExit(1) from error
    if job.as_json:
        print(json.dumps(outcome.numbers | {"place": str(outcome.place)}, allow_nan=False))
    else:
        print(f"Result: {outcome.place}")
    if not outcome.whole:
        raise SystemExit(3)


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Inside the block SIGTERM interrupts, as Ctrl-C does, in place of ending the process with nothing said."""

    def interrupt(number: int, frame: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _lost(error: Exception) -> str | None:
    """An error of Ray's own in words: a process, a machine or an object was lost; ``None`` for any other."""
    ray = sys.modules.get("ray")
    if ray is None:
        return None
    kinds = ray.exceptions
    why = (str(error).splitlines() or [""])[0]
    if isinstance(error, kinds.OutOfMemoryError):
        return (
            f"A machine ran out of memory, and Ray ended a task for it ({why}): give the job fewer cores "
            "(--compute.workers, ray start --num-cpus) or the machine more memory, and the same command continues."
        )
    lost = (
        *(kinds.LocalRayletDiedError, kinds.NodeDiedError, kinds.WorkerCrashedError, kinds.RayActorError),
        *(kinds.ObjectLostError, kinds.RaySystemError, kinds.RpcError),
    )
    if not isinstance(error, lost):
        return None
    node = getattr(ray._private.worker, "_global_node", None)
    logs = f" Ray's logs: {node.get_logs_dir_path()}." if node else ""
    return (
        f"Ray lost a process that this job needs ({type(error).__name__}: {why}). What was done until then is kept, "
        f"and the same command continues.{logs}"
    )


def _end_ray() -> None:
    """End the workers that this process started: they would train on until they notice."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        ray.shutdown()
