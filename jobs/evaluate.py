"""Evaluate a finished run on each scan's own grid: Dice, NSD and HD95 per case and organ, pictures, label maps.

Examples:
    python jobs/evaluate.py                                       the newest run, its test cases; else the demo
    python jobs/evaluate.py --run btcv-1a2b3c4d --split val
    python jobs/evaluate.py --dataset our_scans.yaml --root /data/ours    a dataset that the run never saw
    python jobs/evaluate.py --run ours-1a2b3c4d --against theirs-5e6f7a8b
                                                                  two runs on the same cases: by how much, and p
"""

import sys
from typing import Literal

from _roots import RECIPES

from autosam_inference.bounds import Overlap
from autosam_platform.command_line import CommandLine, parse, parse_job
from autosam_platform.experiment import ScansPlace
from autosam_platform.pipeline.ending import Outcome, run_job
from autosam_platform.workspace import workspace


class EvaluateJob(CommandLine):
    """Which run is evaluated, on what."""

    run: str | None = None
    """Name or folder of a finished run; the newest where none is given. With --against several, as A,B,C."""
    against: str | None = None
    """A finished run to compare with on the same cases, by Wilcoxon's test over cases. As many as --run names, in the
    same order, are seeds of two ways to train: their gain comes with an interval over seeds and cases."""
    split: Literal["train", "val", "test"] = "test"
    """Cases to evaluate on."""
    dataset: str | None = None
    """Another dataset of the same classes: a description that comes with the project, or a YAML file. The run's own
    where none is given."""
    root: ScansPlace | None = None
    """Folder of that dataset's raw scans, or its address in an S3 store, where its description's sources name none."""
    overlap: Overlap | None = None
    """Share that neighbouring windows have in common; the run's own where none is given."""


def main() -> None:
    job = parse(EvaluateJob, sys.argv[1:], description=__doc__)
    job.end_if_checked()
    run_job(lambda: _evaluate(job), job)


def _evaluate(job: EvaluateJob) -> Outcome:
    from autosam_platform.experiment import ConfigError
    from autosam_platform.pipeline.steps import dataset_to_evaluate, evaluated, finished_run, train_and_evaluate

    if job.root is not None and job.dataset is None:
        raise ConfigError(f"--root {job.root} is the folder of another dataset: name its description with --dataset")

    if job.against is not None:
        return _against(job, job.against)
    if len(sys.argv) == 1 and not workspace().finished_runs:
        return train_and_evaluate(parse_job([], RECIPES, description=__doc__).experiment())
    run = finished_run(job.run)
    dataset, where = dataset_to_evaluate(run, job.dataset, job.root)
    summary = evaluated(run, dataset, job.split, job.overlap, where)
    told = {"run": run.name, "split": job.split} | ({"dataset": dataset.name} if job.dataset else {})
    return Outcome(run.folder, told | summary.as_json())


def _against(job: EvaluateJob, others: str) -> Outcome:
    from autosam_platform.pipeline.comparing import Tested, compared, pairs_of
    from autosam_platform.pipeline.steps import finished_run

    pairs = pairs_of(job.run or finished_run(None).name, others)
    found = compared(pairs, Tested(job.split, job.dataset, job.root, job.overlap))
    told = {"run": found.first.name, "against": others, "split": job.split, "gain": found.gains}
    return Outcome(found.first.folder, told | found.summary.as_json())


if __name__ == "__main__":
    main()
