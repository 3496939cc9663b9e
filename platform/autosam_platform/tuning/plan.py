"""What a sweep may take: trials at a time and cores for each, and the disk that it will need."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autosam_models.sizes import bytes_text
from autosam_platform.cluster import MOST_CORES, may_grow
from autosam_platform.experiment import ComputeSection, ConfigError
from autosam_platform.tuning.trials import Point, Trial
from autosam_platform.workspace import Workspace

_FLOAT = 4
_CHECKPOINTS = 3  # Ray keeps the best and the newest, and a new one is whole before an old one goes
_MODELS = 2  # in the run's folder, and in its record

Nodes = Sequence[Mapping[str, float]]
"""Resources of each node of the cluster, as Ray names them."""


class PlanError(ConfigError):
    """A sweep that cannot be run on this cluster or disk; the message says what is missing and what to change."""


@dataclass(frozen=True)
class Plan:
    """How the cluster is shared.

    Attributes:
        at_a_time: trials.
        compute: of each trial, with its cores and whether it has GPUs filled in.
        said: the same in words.
    """

    at_a_time: int
    compute: ComputeSection
    said: str


def share(compute: ComputeSection, nodes: Nodes, wanted: int, *, most: bool, what: str = "trial") -> Plan:
    """Share the cluster so that every trial that is started has its cores and GPUs: no two can wait for each other.

    A trial's own process asks for no core, since it only waits for its workers, which have all of them. Where not all
    workers of one fit, but those do with which it may begin, there is one trial at a time.

    Args:
        wanted: trials at a time; fewer where they do not fit.
        most: a person asked for just so many, so say where it is fewer.
        what: a trial is, in words, where it is no sweep's.

    Raises:
        PlanError: not even one trial fits.
    """
    gpu = any(node.get("GPU", 0) for node in nodes) if compute.gpu is None else compute.gpu
    held, least = _workers(nodes, compute.cpus_per_worker or 1, gpu), compute.min_workers or compute.workers
    fit = min(wanted, max(held // compute.workers, int(held >= least)))
    if fit < 1 and not (compute.wait_for_nodes and may_grow()):
        raise PlanError(
            f"a {what} of {least} worker(s) with {compute.cpus_per_worker or 1} core(s)"
            f"{' and a GPU' if gpu else ''} each does not fit on {_said(nodes, gpu)}: lower --compute.workers (or "
            "--compute.min-workers, where fewer may begin) or --compute.cpus-per-worker, give --compute.gpu False, or "
            "--compute.wait-for-nodes where the cluster grows"
        )
    at_a_time = max(fit, 1)
    workers = min(compute.workers, max(held, least))  # Ray Train starts as many as there are cores for
    cores = compute.cpus_per_worker or _cores(nodes, at_a_time * workers, gpu)
    each = f"{workers * cores} core{'s' if workers * cores > 1 else ''}"
    each += f" and {workers} GPU{'s' if workers > 1 else ''}" if gpu else ""
    said = f"{at_a_time} {what}{'s' if at_a_time > 1 else ''} at a time, {each} each, on {_said(nodes, gpu)}"
    if most and at_a_time < wanted:
        said += f"; {wanted} do not fit"
    return Plan(at_a_time, compute.model_copy(update={"gpu": gpu, "cpus_per_worker": cores}), said)


Computes = list[tuple[Point | None, ComputeSection]]
"""What the trials compute on: all of them, unless a later entry names the point."""


def compute_of_each(compute: ComputeSection, plan: Plan, points: Sequence[Point], nodes: Nodes) -> Computes:
    """The plan's for all, but the last of the known points share the cores that nobody is left to take.

    Args:
        points: that are certain to be tried, in order: those of a grid.
    """
    computes: Computes = [(None, plan.compute)]
    last = len(points) % plan.at_a_time
    if last:
        wider = share(compute, nodes, last, most=False).compute
        computes += [(point, wider) for point in points[-last:]]
    return computes


def _workers(nodes: Nodes, cores: int, gpu: bool) -> int:
    """How many workers of so many cores the nodes hold; one does not span two of them."""
    counts = [(int(node.get("CPU", 0)) // cores, int(node.get("GPU", 0))) for node in nodes]
    return sum(min(by_cores, gpus) if gpu else by_cores for by_cores, gpus in counts)


def _cores(nodes: Nodes, workers: int, gpu: bool) -> int:
    """The most cores that each of so many workers can have."""
    return next((cores for cores in range(MOST_CORES, 1, -1) if _workers(nodes, cores, gpu) >= workers), 1)


def _said(nodes: Nodes, gpu: bool) -> str:
    cores, gpus = (int(sum(node.get(name, 0) for node in nodes)) for name in ("CPU", "GPU"))
    return f"{cores} core{'s' if cores != 1 else ''}" + (f" and {gpus} GPU{'s' if gpus != 1 else ''}" if gpu else "")


def disk_needed(parameters: Iterable[tuple[int, int]], trials: int, at_a_time: int) -> int:
    """Bytes on disk that a sweep needs at most.

    A checkpoint has the weights and AdamW's two moments of what is trained. Trials that run, and the best one, have
    checkpoints; every finished one has its model.

    Args:
        parameters: all and trained ones of the models that may come up; the largest counts.
        trials: still to be run.
    """
    weights, trained = (_FLOAT * max(counts) for counts in zip(*parameters, strict=True))
    checkpoint = weights + 2 * trained
    return (at_a_time + 1) * _CHECKPOINTS * checkpoint + trials * _MODELS * weights


def require_disk(needed: int, folder: Path, budget_gb: float, used: int) -> str:
    """Refuse what is above the budget or the free disk; say what is needed.

    Args:
        needed: bytes for the trials to come.
        used: bytes that this sweep's runs have taken so far.

    Raises:
        PlanError: names what is needed, the budget and what is free.
    """
    free = shutil.disk_usage(folder).free
    said = (
        f"{bytes_text(needed)} of disk at most{f' beside {bytes_text(used)} taken so far' if used else ''}; "
        f"the budget is {budget_gb:g} GB (--disk-gb), {bytes_text(free)} are free"
    )
    if needed + used > budget_gb * 1e9 or needed > free:
        remedy = "have fewer trials at a time (--concurrent), raise --disk-gb, or make room"
        raise PlanError(f"The sweep needs {said}: {remedy}.")
    return said


def require_room(needed: int, folder: Path) -> None:
    """Refuse what the disk cannot hold.

    Raises:
        PlanError: names what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PlanError(f"{bytes_text(needed)} of disk may be needed and {bytes_text(free)} are free: make room")


def prune(trials: Sequence[Trial], best: Trial | None, workspace: Workspace) -> None:
    """Remove the checkpoints of this sweep's runs that have ended and are not the best; their models stay."""
    kept = {trial.run for trial in trials if trial.state in ("waiting", "running")} | {best.run if best else ""}
    for trial in trials:
        if trial.made and trial.run not in kept:
            # A stopped trial's workers may still be writing; whatever they leave goes when the sweep ends.
            shutil.rmtree(workspace.run(trial.run).checkpoints, ignore_errors=True)


def size_of(trials: Sequence[Trial], workspace: Workspace) -> int:
    """Bytes of the runs that this sweep made."""
    files = (file for trial in trials if trial.made for file in workspace.run(trial.run).folder.rglob("*"))
    return sum(file.stat().st_size for file in files if file.is_file())
