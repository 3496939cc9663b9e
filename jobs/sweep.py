"""Sweep settings of an experiment: make a run for each point of a space, compare them by their validation Dice.

Examples:
    python jobs/sweep.py                                          the paper's grid over λ, at demo size
    python jobs/sweep.py --space adapter --trials 10              accuracy against the adapters' parameters
    python jobs/sweep.py --space FILE --recipe btcv --dataset.root FOLDER --training.epochs 50

A space is a YAML file: jobs/spaces has examples. Trials that have ended stay, interrupted ones continue.
"""

import sys
from pathlib import Path
from typing import Annotated

from _roots import RECIPES, SPACES

from pydantic import Field

from autosam_platform.command_line import Job, parse_kind_of_job, told_first, told_settings
from autosam_platform.experiment import ConfigError, Positive
from autosam_platform.pipeline.ending import Outcome, run_job
from autosam_platform.tuning.space import Space, SpaceError, load_space, require_sound, require_untold

_TRIALS = 10


class SweepJob(Job):
    """A sweep: the experiment that its trials share, and how to vary it."""

    space: str = "kd_lambda"
    """A space in jobs/spaces by its name (kd_lambda, adapter), or a YAML file."""
    trials: Positive | None = None
    """Trials of a search, 10 where not said; a grid has as many as its product."""
    concurrent: Positive | None = None
    """Trials at a time; where not said, as many as the cluster holds, but a third of a search at most."""
    grid: bool = False
    """Try every combination of the values that the space names for a grid, in place of a search."""
    disk_gb: Annotated[float, Field(gt=0)] = 50.0
    """Refuse a sweep whose runs may need more disk, in GB (10⁹ bytes)."""
    seed: int = 0
    """Seed of the search; that of the training is --training.seed."""


def main() -> None:
    arguments = sys.argv[1:] or ["--grid"]
    name = told_first(arguments, "--space", SweepJob.model_fields["space"].default)
    try:
        space = load_space(name, SPACES)
        job = parse_kind_of_job(SweepJob, arguments, RECIPES, description=__doc__, recipe=space.recipe)
        require_untold(space, told_settings(SweepJob, arguments, job))
        require_sound(space, job.experiment())
        trials = _trials(job, space)
    except ConfigError as error:
        print(f"Space {name}: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    job.end_if_checked()
    run_job(lambda: _sweep(job, space, trials, [_from_anywhere(each) for each in arguments]), job)


def _from_anywhere(argument: str) -> str:
    """An argument with the whole path, where it names a file or a folder; names of ours come before those."""
    ours = {path.stem for folder in (RECIPES, SPACES) for path in folder.glob("*.yaml")}
    is_path = not argument.startswith("-") and argument not in ours and Path(argument).exists()
    return str(Path(argument).absolute()) if is_path else argument


def _sweep(job: SweepJob, space: Space, trials: int, arguments: list[str]) -> Outcome:
    from autosam_platform.pipeline.sweeping import sweep  # takes seconds: not for --help or --check

    return sweep(
        Path(job.space).stem,
        space,
        job.experiment(),
        RECIPES,
        trials=trials,
        grid=job.grid,
        seed=job.seed,
        concurrent=job.concurrent,
        disk_gb=job.disk_gb,
        arguments=arguments,
    )


def _trials(job: SweepJob, space: Space) -> int:
    if not job.grid:
        return job.trials or _TRIALS
    if job.trials is not None:
        raise SpaceError("a grid has as many trials as its product: leave --trials or --grid out")
    return len(space.grid())


if __name__ == "__main__":
    main()
