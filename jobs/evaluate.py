"""Evaluate a finished run on each scan's own grid: Dice, NSD and HD95 per case and organ, pictures, label maps.

Examples:
    python jobs/evaluate.py                                       the newest run, its test cases; else the demo
    python jobs/evaluate.py --run btcv-1a2b3c4d --split val
"""

import sys
from typing import Literal

from _roots import RECIPES

from autosam_inference.bounds import Overlap
from autosam_platform.command_line import CommandLine, parse, parse_job
from autosam_platform.pipeline.ending import Outcome, run_job
from autosam_platform.workspace import workspace


class EvaluateJob(CommandLine):
    """Which run is evaluated, on what."""

    run: str | None = None
    """Name or folder of a finished run; the newest where none is given."""
    split: Literal["train", "val", "test"] = "test"
    """Cases to evaluate on."""
    overlap: Overlap | None = None
    """Share that neighbouring windows have in common; the run's own where none is given."""


def main() -> None:
    job = parse(EvaluateJob, sys.argv[1:], description=__doc__)
    job.end_if_checked()
    run_job(lambda: _evaluate(job), job)


def _evaluate(job: EvaluateJob) -> Outcome:
    from autosam_platform.pipeline.steps import evaluated, finished_run, prepared_dataset, train_and_evaluate

    if len(sys.argv) == 1 and not workspace().finished_runs:
        return train_and_evaluate(parse_job([], RECIPES, description=__doc__).experiment())
    run = finished_run(job.run)
    summary = evaluated(run, prepared_dataset(run.experiment.dataset), job.split, job.overlap)
    return Outcome(run.folder, {"run": run.name, "split": job.split} | summary.as_json())


if __name__ == "__main__":
    main()
