"""A sweep from its description to its report: the teachers it needs, its trials, the best one evaluated."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autosam_platform.experiment import Experiment
from autosam_platform.pipeline.distilling import with_teacher, with_unlabelled
from autosam_platform.pipeline.ending import Outcome
from autosam_platform.pipeline.steps import evaluated, prepared_dataset
from autosam_platform.tuning.report import write_report
from autosam_platform.tuning.run import run_sweep
from autosam_platform.tuning.space import Space
from autosam_platform.tuning.sweep import Sweep, require_buildable
from autosam_platform.workspace import workspace

_TEACHER = "distillation.teacher"


def sweep(
    title: str,
    space: Space,
    base: Experiment,
    recipes: Path,
    *,
    trials: int,
    grid: bool,
    seed: int,
    concurrent: int | None,
    disk_gb: float,
    arguments: Sequence[str] = (),
) -> Outcome:
    """Make all trials of a sweep, write its report, and evaluate the best run on the test cases, if there are any.

    Args:
        title: first part of the sweep's name.
        base: the experiment that the trials vary.
        recipes: folder in which a teacher may be named by the recipe that trains it.
        trials, grid, seed: see ``tuning.sweep.Sweep``.
        concurrent, disk_gb: see ``tuning.run.run_sweep``.
        arguments: of the command line, which continue the sweep from any folder.

    Raises:
        SpaceError: a model cannot be built with a value of the space; said before anything is made for it.
    """
    require_buildable(space, base)
    if _TEACHER in space.parameters:  # the recipe's own is not asked
        base = space.experiment(base, {_TEACHER: space.parameters[_TEACHER].examples()[0]})
    dataset = prepared_dataset(base.dataset)
    dataset.require_complete(allow_rejected=base.dataset.allow_rejected)
    base, teachers = with_unlabelled(base), _teachers(base, space, recipes)
    plan = Sweep(title, space, base, dataset, workspace(), trials, grid, seed, teachers, arguments)
    ledger = run_sweep(plan, concurrent=concurrent, disk_gb=disk_gb)
    best = write_report(plan, ledger)
    numbers: dict[str, Any] = {"sweep": plan.name, "trials": len(ledger.trials), "best": best.model_dump()}
    if dataset.cases("test"):
        overlap = plan.experiment(best.values).inference.overlap
        numbers |= evaluated(workspace().run(best.run), dataset, "test", overlap).as_json()
    return Outcome(plan.folder.folder, numbers)


def _teachers(base: Experiment, space: Space, recipes: Path) -> dict[str, str]:
    """The folder of every teacher that a trial may have, trained where it is named by a recipe."""
    named: list[Any] = [value for name, value, _ in space.examples(base) if name == _TEACHER]
    found = {}
    for name in named or [base.distillation.teacher]:
        section = base.distillation.model_copy(update={"teacher": name, "kd_lambda": 0.0})
        folder = with_teacher(base.model_copy(update={"distillation": section}), recipes).distillation.teacher
        if folder is not None:
            found[str(name)] = folder
    return found
