"""Train a student or a baseline as the teacher is trained: prepare its data, fit it on Ray Train, evaluate it.

python jobs/train_baseline.py                                 the embedded demo, with the smallest student
python jobs/train_baseline.py --model nnunet --recipe btcv --dataset.root FOLDER

--model NAME takes the place of the recipe's model and its options; `python -m autosam_models` lists the names.
"""

import argparse
import sys

from _roots import RECIPES

from autosam_models import find_model, model_names
from autosam_platform.command_line import Job, parse_job
from autosam_platform.pipeline.ending import Outcome, run_job


def main() -> None:
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--model", default="swin_unetr_tiny")
    told, rest = first.parse_known_args(sys.argv[1:])
    job = parse_job(rest, RECIPES, description=__doc__, model=told.model)
    _refuse_teacher(job.model.name)
    job.end_if_checked()
    run_job(lambda: _train(job), job)


def _train(job: Job) -> Outcome:
    from autosam_platform.pipeline.steps import train_and_evaluate  # takes seconds: not for --help or --check

    return train_and_evaluate(job.experiment())


def _refuse_teacher(name: str) -> None:
    if find_model(name).role == "teacher":
        others = ", ".join(each for each in model_names() if find_model(each).role != "teacher")
        print(f"{name} is a teacher, and jobs/train_teacher.py trains it; --model is one of {others}", file=sys.stderr)
        raise SystemExit(2)


if __name__ == "__main__":
    main()
