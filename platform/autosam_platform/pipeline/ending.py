"""How a job ends: with a place to look at, with a reason, or interrupted."""

import errno
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosam_inference.errors import UserError
from autosam_platform.command_line import CommandLine
from autosam_platform.workspace import workspace

_LAST_WORDS_SECONDS = 0.5  # that what workers said last needs to get here, as Ray itself waits at the end of a process
_LONGEST_REASON = 500  # characters


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
        try:
            time.sleep(_LAST_WORDS_SECONDS)
            _end_ray()
        finally:
            print(f"\n{lost}", file=sys.stderr, flush=True)
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
    """An error of Ray's own in words: a process, a machine or an object was lost; ``None`` for any other.

    What Ray raises as one of these and is of some code (a result that cannot be read, an actor that cannot be made) is
    none of them: its traceback tells more than a sentence.
    """
    ray = sys.modules.get("ray")
    if ray is None:
        return None
    kinds = ray.exceptions
    if isinstance(error, kinds.RayTaskError) and isinstance(error.cause, kinds.RayError):
        error = error.cause  # of a task that met it itself
    if getattr(error, "traceback_str", None) or getattr(error, "actor_init_failed", False):
        return None
    lost = (
        *(kinds.LocalRayletDiedError, kinds.NodeDiedError, kinds.WorkerCrashedError, kinds.RayActorError),
        *(kinds.ObjectLostError, kinds.RpcError, kinds.OutOfMemoryError),
    )
    bugs = (kinds.ObjectFreedError, kinds.ReferenceCountingAssertionError)
    if not isinstance(error, lost) or isinstance(error, bugs):
        return None
    node = getattr(ray._private.worker, "_global_node", None)
    logs = f" Ray's logs of this machine: {node.get_logs_dir_path()}." if node else ""
    why = " ".join(str(error).split()).rstrip(".")
    kept = "What was done until then is kept, and the same command continues"
    if isinstance(error, kinds.OutOfMemoryError):
        return (
            f"A machine ran out of memory, and Ray ended a task for it ({_shortened(why)}). Close what else runs "
            f"there, or give the machine more memory. {kept}.{logs}"
        )
    return (
        f"Ray lost a process that this job needs ({type(error).__name__}: {_shortened(why)}). "
        f"{kept}; if it comes again at the same place, the reason is in the logs.{logs}"
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


def _end_ray() -> None:
    """End the workers that this process started: they would train on until they notice."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        ray.shutdown()
