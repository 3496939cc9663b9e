"""Train a teacher: prepare its data, fit it on Ray Train, evaluate it on the test cases.

Examples:
    python jobs/train_teacher.py                                  the embedded demo
    python jobs/train_teacher.py --recipe btcv --dataset.root FOLDER --model.checkpoint sam_vit_b_01ec64.pth
    ray job submit -- python jobs/train_teacher.py                the same on a cluster
"""

import sys

from _roots import RECIPES

from autosam_platform.command_line import Job, parse_job
from autosam_platform.pipeline.ending import Outcome, run_job


def main() -> None:
    job = parse_job(sys.argv[1:], RECIPES, description=__doc__)
    job.end_if_checked()
    run_job(lambda: _train(job), job)


def _train(job: Job) -> Outcome:
    from autosam_platform.pipeline.steps import train_and_evaluate  # takes seconds: not for --help or --check

    return train_and_evaluate(job.experiment())


if __name__ == "__main__":
    main()
