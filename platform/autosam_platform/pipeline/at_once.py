"""Several trainings at a time, as many as the cluster holds, each by a task of its own that writes into a log."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import ray

from autosam_platform.cluster import connect, raised_in_task
from autosam_platform.experiment import ComputeSection, Experiment
from autosam_platform.training.progress import read_progress
from autosam_platform.tuning.plan import Plan, share
from autosam_platform.workspace import RunFolder

_SAY_SECONDS = 60.0
_STOP_SECONDS = 20.0  # for trainings that are told to stop, to say so in their records

R = TypeVar("R")


@dataclass(frozen=True)
class Work(Generic[R]):
    """Trainings that are made one after the other, beside those of others.

    Attributes:
        place: what it is, in words.
        make: does it, in a process of its own.
        log: file for what it says.
        runs: that it makes, in order.
    """

    place: str
    make: Callable[[], R]
    log: Path
    runs: tuple[RunFolder, ...]


def shared_cluster(compute: ComputeSection, wanted: int, concurrent: int | None, what: str) -> Plan:
    """How many of ``wanted`` works the cluster takes at a time, and what each computes on.

    Args:
        compute: of the one that needs most.
        concurrent: at most so many; where not said, as many as the cluster holds.
        what: one of them is, in words.

    Raises:
        PlanError: not even one fits.
    """
    connect()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return share(compute, nodes, min(concurrent or wanted, wanted), most=concurrent is not None, what=what)


def computing_on(experiment: Experiment, compute: ComputeSection) -> Experiment:
    """The experiment with the cores, and the GPUs or none, of ``compute``; what decides a result stays."""
    given = {"gpu": compute.gpu, "cpus_per_worker": compute.cpus_per_worker}
    return experiment.model_copy(update={"compute": experiment.compute.model_copy(update=given)})


def at_once(works: Sequence[Work[R]], at_a_time: int) -> Iterator[tuple[int, Callable[[], R]]]:
    """Make all works, and say how far they are; what runs when the job is interrupted is told to stop.

    Yields:
        As each is done, which one it is, and what gives its result or raises what ended it: what ``make`` raised, or a
        ``RayError`` where its process was lost.
    """
    task: Any = ray.remote(num_cpus=0, max_retries=0)(_make_logged)  # its workers have the cores
    waiting = list(enumerate(works))
    running: dict[Any, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                index, work = waiting.pop(0)
                print(f"{work.place} begins; it writes to {work.log}", flush=True)
                running[task.options(name=work.place).remote(work)] = index
            done, _ = ray.wait(list(running), num_returns=1, timeout=_SAY_SECONDS)
            if done:
                yield running.pop(done[0]), _Result(done[0])
            else:
                _say_how_far([works[index] for index in running.values()])
    finally:
        for handle in running:
            ray.cancel(handle, force=False)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=_STOP_SECONDS)


@dataclass(frozen=True)
class _Result:
    handle: Any

    def __call__(self) -> Any:
        try:
            return ray.get(self.handle)
        except ray.exceptions.RayTaskError as error:
            raise raised_in_task(error) from None


def _make_logged(work: Work[R]) -> R:
    work.log.parent.mkdir(parents=True, exist_ok=True)
    with (
        work.log.open("a", encoding="utf-8", buffering=1) as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        return work.make()


def _say_how_far(running: Iterable[Work[Any]]) -> None:
    """A line with where the trainings stand that are made now."""
    told = []
    for work in running:
        begun = [progress for run in work.runs if (progress := read_progress(run.progress)) is not None]
        where = f"step {begun[-1].done}/{begun[-1].total} {begun[-1]}" if begun else "not training yet"
        number = f"training {len(begun)} of {len(work.runs)}, " if begun and len(work.runs) > 1 else ""
        told.append(f"{work.place}: {number}{where}")
    print(" | ".join(told), flush=True)
