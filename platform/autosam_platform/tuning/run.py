"""A sweep on Ray Tune: decides which runs to make, makes them, and remembers what became of each.

A trial is an ordinary run, found where it is finished and continued where it was interrupted, so a sweep that is
killed and started again loses nothing but the seconds since the last checkpoints.
"""

import math
import os
import shutil
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import filelock
import optuna
import ray
import ray.tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from ray.util.state import list_actors
from ray.util.state.exception import RayStateApiException

from autosam_inference.files import write_json
from autosam_platform.cluster import connect
from autosam_platform.distillation.fit import supervision_of
from autosam_platform.experiment import Experiment
from autosam_platform.locks import LOOK_SECONDS
from autosam_platform.training.size import count_parameters
from autosam_platform.tuning.ledger import Ledger
from autosam_platform.tuning.leftovers import Leftovers
from autosam_platform.tuning.plan import compute_of_each, disk_needed, require_disk, share, size_of
from autosam_platform.tuning.study import as_study
from autosam_platform.tuning.sweep import Sweep, SweepError
from autosam_platform.tuning.trial import run_trial
from autosam_platform.tuning.trials import DICE, ENDED, Point
from autosam_platform.tuning.watcher import Watcher

_REDUCTION = 3  # of the trials that reach a rung of ASHA, the best third goes on

_SETTINGS_OF_TUNE = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the run's own record has the curves
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # an interrupted sweep ends as any job does
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the watcher says them
    "RAY_AIR_NEW_OUTPUT": "0",  # the newer reporter speaks when it is told to be silent
}


def run_sweep(sweep: Sweep, *, concurrent: int | None, disk_gb: float) -> Ledger:
    """Make all trials that have not ended yet; where all have, nothing is done.

    Args:
        concurrent: trials at a time; as many as the cluster holds where not said, but a search has no more than a
            third of its trials under way, since those cannot learn from one another.
        disk_gb: budget for the runs of this sweep.

    Raises:
        SweepError: there are no validation cases to compare by, or another process runs this sweep.
        PlanError: cluster or disk are too small.
    """
    if not sweep.prepared.cases("val"):
        raise SweepError(
            f"{sweep.prepared.name} has no validation cases, and a sweep compares its trials by their Dice: copy the "
            "dataset's description, put some training cases into a split `val`, and name it with --dataset.name FILE"
        )
    folder = sweep.folder
    folder.folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder.lock, timeout=LOOK_SECONDS):
            ledger = Ledger(folder.trials, sweep.space.grid() if sweep.grid else ())
            write_json(folder.about, sweep.as_json())
            if len(ledger.of(*ENDED)) < sweep.trials:
                _run_rest(sweep, ledger, concurrent, disk_gb)
            return ledger
    except filelock.Timeout as error:
        raise SweepError(f"{folder.name} is being run by another process: wait for it, or stop it") from error


def _run_rest(sweep: Sweep, ledger: Ledger, concurrent: int | None, disk_gb: float) -> None:
    connect()
    rest = sweep.trials - len(ledger.of(*ENDED))
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = concurrent or (rest if sweep.grid else math.ceil(sweep.trials / 3))
    plan = share(sweep.base.compute, nodes, min(wanted, rest), most=concurrent is not None)
    models = {count_parameters(each, sweep.prepared.num_classes) for each in _variants(sweep)}
    used = size_of(ledger.trials, sweep.workspace)
    needed = disk_needed(models, rest, plan.at_a_time)
    print(f"{sweep.name}: {rest} of {sweep.trials} trials to run, {plan.said}")
    print(f"Disk: {require_disk(needed, sweep.workspace.folder, disk_gb, used)}", flush=True)
    _store_probabilities(sweep)
    watcher = Watcher(sweep, ledger)
    known = [trial.values for trial in ledger.of("waiting")] if sweep.grid else []
    computes = compute_of_each(sweep.base.compute, plan, known, nodes)
    trial = ray.tune.with_parameters(run_trial, sweep=sweep, computes=computes)
    with watcher.record():
        _tuner(sweep, ledger, watcher, trial, plan.at_a_time).fit()
    Leftovers().give_back_all()
    if len(ledger.of(*ENDED)) < sweep.trials:
        lost = ", ".join(str(trial.number) for trial in ledger.of("waiting") if trial.losses)
        what = f"the processes of trials {lost} were lost" if lost else "Ray Tune ended before all trials had"
        raise SweepError(f"{what}: see the messages above; the same command continues")


def _variants(sweep: Sweep) -> list[Experiment]:
    return [sweep.base, *(experiment for _, _, experiment in sweep.space.examples(sweep.base))]


def _store_probabilities(sweep: Sweep) -> None:
    """Ask the teacher now, once, and not in each of the trials that start together."""
    points = [{name: value} for name, value, _ in sweep.space.examples(sweep.base)]
    distilling = (each for each in map(sweep.experiment, [{}, *points]) if each.distils)
    first = next(distilling, None)
    if first is not None:
        supervision_of(first, sweep.prepared, sweep.workspace)


def _tuner(
    sweep: Sweep, ledger: Ledger, watcher: Watcher, trial: Callable[[Point], None], at_a_time: int
) -> ray.tune.Tuner:
    os.environ.update(_SETTINGS_OF_TUNE)
    shutil.rmtree(sweep.folder.tune, ignore_errors=True)  # scratch: the ledger knows what matters
    return ray.tune.Tuner(
        # A core held by a trial's own process would be missing for its workers: on a small machine, for ever.
        ray.tune.with_resources(trial, {"memory": 64 << 20}),
        tune_config=ray.tune.TuneConfig(
            search_alg=_search(sweep, ledger),
            scheduler=_scheduler(sweep, ledger),
            num_samples=sweep.trials - len(ledger.of(*ENDED)),
            max_concurrent_trials=at_a_time,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=ray.tune.RunConfig(
            name=sweep.folder.tune.name,
            storage_path=str(sweep.folder.folder),
            verbose=0,
            callbacks=[watcher, JsonLoggerCallback()],  # Tune reads the JSON when it ends
        ),
    )


def _search(sweep: Sweep, ledger: Ledger) -> OptunaSearch:
    """Optuna's TPE, which remembers what has ended and first asks for what waits: the whole grid, or what was lost."""
    storage = optuna.storages.InMemoryStorage()
    study = as_study(sweep.space, ledger.trials, storage)
    # Another seed after a restart, else the first random points would come again.
    sampler = optuna.samplers.TPESampler(
        seed=sweep.seed + len(ledger.trials), n_startup_trials=max(2, math.ceil(sweep.trials / 3))
    )
    names: list[str] = list(sweep.space.objectives)
    modes: list[str] = list(sweep.space.objectives.values())
    return OptunaSearch(
        sweep.space.distributions(),
        metric=names if len(names) > 1 else names[0],
        mode=modes if len(modes) > 1 else modes[0],
        sampler=sampler,
        storage=storage,
        study_name=study.study_name,
    )


def _scheduler(sweep: Sweep, ledger: Ledger) -> ASHAScheduler | None:
    """ASHA on Dice, for a search with Dice as its only objective; it has heard what the trials so far reported.

    Every point of a grid is wanted. With two objectives a small model that learns slowly may be on the front, and
    would be the first to go.
    """
    training = sweep.base.training
    if {"training.epochs", "training.validate_every"} & set(sweep.space.parameters):
        return None  # trials have no epochs in common
    if sweep.grid or len(sweep.space.objectives) > 1 or training.validate_every >= training.epochs:
        return None
    if not _state_is_told():
        print("No trial is stopped early: this Ray has no dashboard, without which it keeps what stopped trials held.")
        return None
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric=DICE,
        mode="max",
        grace_period=training.validate_every,
        max_t=training.epochs,
        reduction_factor=_REDUCTION,
    )
    nobody: Any = None  # ASHA does not look at the controller
    for trial in ledger.of(*ENDED):
        known: Any = SimpleNamespace(trial_id=f"before-{trial.number}")  # all that ASHA looks at
        scheduler.on_trial_add(nobody, known)
        for epoch, dice in trial.validations:
            scheduler.on_trial_result(nobody, known, {"epoch": epoch, DICE: dice})
    return scheduler


def _state_is_told() -> bool:
    """Ray Train frees the workers of a trial that was stopped when it hears, from the dashboard, that it is gone."""
    try:
        list_actors(ray.get_runtime_context().gcs_address, limit=1, timeout=10)
    except (RayStateApiException, ConnectionError):
        return False
    return True
