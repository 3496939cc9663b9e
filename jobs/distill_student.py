"""Distil a teacher into a student: the teacher's probabilities once, the student, its twin without a teacher, a report.

Examples:
    python jobs/distill_student.py                                the embedded demo: its teacher into a small U-Net
    python jobs/distill_student.py --recipe distill_swin          the same into the paper's SwinUNETR-Tiny
    python jobs/distill_student.py --recipe torso_student         for real scans, from synthetic torsos: two hours
    python jobs/distill_student.py --seeds 3                      with three seeds, and what they come to
    python jobs/distill_student.py --teacher btcv-1a2b3c4d --student swin_unetr_small --recipe btcv --dataset.root DATA
    python jobs/distill_student.py --teacher seed-1a2b3c4d,seed-5e6f7a8b     the mean of two runs teaches
    python jobs/distill_student.py --teacher FOLDER_OF_LABEL_MAPS --recipe btcv --dataset.root DATA
"""

import sys
from typing import Annotated

from _roots import RECIPES

import tyro
from pydantic import Field

from autosam_models import model_names
from autosam_platform.command_line import Job, parse_kind_of_job
from autosam_platform.experiment import Positive
from autosam_platform.pipeline.ending import Outcome, run_job


class DistillJob(Job):
    """An experiment whose student is chosen by its name."""

    recipe: str = "distill"
    """A recipe in jobs/recipes by its name (distill, distill_swin, torso_student, torso_few_tiny, demo, torso,
    one_scan, btcv, amos, ct_org, pelvic), or a YAML file."""
    network: Annotated[str, tyro.conf.arg(name="student"), Field(examples=model_names())] = "swin_unetr_tiny"
    """A model of `python -m autosam_models`; it takes the place of the recipe's model and its options. Where none is
    named, it is the recipe's, if that is no teacher."""
    seeds: Positive = 1
    """Student and twin are trained with so many seeds, from the training's own on, and compared over all."""
    concurrent: Positive | None = None
    """Trainings at a time, each with its share of the cores; where not said, as many as the cluster holds."""


def main() -> None:
    job = parse_kind_of_job(DistillJob, sys.argv[1:], RECIPES, description=__doc__, network="--student")
    job.end_if_checked()
    run_job(lambda: _distil(job), job)


def _distil(job: DistillJob) -> Outcome:
    from autosam_platform.pipeline.distilling import distil  # takes seconds: not for --help or --check

    return distil(job.experiment(), RECIPES, job.seeds, job.concurrent)


if __name__ == "__main__":
    main()
