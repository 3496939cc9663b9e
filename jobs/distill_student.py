"""Distil a teacher into a student: the teacher's probabilities once, the student, its twin without a teacher, a report.

python jobs/distill_student.py                                the embedded demo: its teacher into SwinUNETR-Tiny
python jobs/distill_student.py --recipe btcv --dataset.root FOLDER --teacher btcv-1a2b3c4d --student swin_unetr_small

--student NAME is a model of `python -m autosam_models`; it takes the place of the recipe's model and its options.
--teacher is a finished run by its name or folder, a model's folder, or the recipe that trains it.
--kd-lambda is the weight of the labels (Eq. 2 of the paper): 1 is training without a teacher, 0 the teacher alone.
"""

import argparse
import sys

from _roots import RECIPES

from autosam_platform.command_line import Job, parse_job
from autosam_platform.pipeline.ending import Outcome, run_job


def main() -> None:
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--student", default="swin_unetr_tiny")
    told, rest = first.parse_known_args(sys.argv[1:])
    job = parse_job(rest, RECIPES, description=__doc__, recipe="distill", model=told.student)
    job.end_if_checked()
    run_job(lambda: _distil(job), job)


def _distil(job: Job) -> Outcome:
    from autosam_platform.pipeline.distilling import distil  # takes seconds: not for --help or --check

    return distil(job.experiment(), RECIPES)


if __name__ == "__main__":
    main()
