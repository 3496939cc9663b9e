"""Train a student or a baseline as the teacher is trained: prepare its data, fit it on Ray Train, evaluate it.

Examples:
    python jobs/train_baseline.py                                 the embedded demo, with the paper's SwinUNETR-Tiny
    python jobs/train_baseline.py --model nnunet --recipe btcv --dataset.root FOLDER
    python jobs/train_baseline.py --recipe sam --dataset.root FOLDER --model.checkpoint sam_vit_b_01ec64.pth
                                                                  SAM as it is, prompted from labels, not trained
    python jobs/train_baseline.py --recipe sam_demo               a small MedSAM on phantoms
"""

import sys
from typing import Annotated

from _roots import RECIPES

import tyro
from pydantic import Field

from autosam_models import find_model, model_names
from autosam_platform.command_line import Job, parse_kind_of_job
from autosam_platform.pipeline.ending import Outcome, run_job

_MODELS = [name for name in model_names() if find_model(name).role != "teacher"]


class BaselineJob(Job):
    """An experiment whose network is chosen by its name."""

    network: Annotated[str, tyro.conf.arg(name="model"), Field(examples=_MODELS)] = "swin_unetr_tiny"
    """A student or baseline of `python -m autosam_models`; it takes the place of the recipe's model and its options.
    Where none is named, it is the recipe's, if that is no teacher."""


def main() -> None:
    job = parse_kind_of_job(BaselineJob, sys.argv[1:], RECIPES, description=__doc__, network="--model")
    _refuse_teacher(job.model.name)
    job.end_if_checked()
    run_job(lambda: _train(job), job)


def _train(job: Job) -> Outcome:
    from autosam_platform.pipeline.steps import train_and_evaluate  # takes seconds: not for --help or --check

    return train_and_evaluate(job.experiment())


def _refuse_teacher(name: str) -> None:
    if name not in _MODELS:
        others = ", ".join(_MODELS)
        print(f"{name} is a teacher, and jobs/train_teacher.py trains it; --model is one of {others}", file=sys.stderr)
        raise SystemExit(2)


if __name__ == "__main__":
    main()
