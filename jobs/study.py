"""Make a table or figure of the paper: find what is done, train what is missing, and write it beside the paper's.

Examples:
    python jobs/study.py table4                                  the λ grid at demo size, from embedded data
    python jobs/study.py table1 --recipe btcv --dataset.root FOLDER --model.checkpoint sam_vit_b_01ec64.pth
    python jobs/study.py table1 --roots btcv FOLDER amos FOLDER --model.checkpoint sam_vit_b_01ec64.pth

Studies are YAML files: jobs/studies has those of the paper. What is trained stays, so the same command continues.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

from _roots import RECIPES, STUDIES

import tyro
from pydantic import Field

from autosam_platform.command_line import Job, end_with, parse_kind_of_job, told_settings
from autosam_platform.experiment import AbsolutePath, ConfigError, Positive, ScansPlace
from autosam_platform.pipeline.ending import Outcome, run_job
from autosam_platform.studies.asked import Asked
from autosam_platform.studies.description import load_study
from autosam_platform.studies.plan import StudyPlan, plan_study


class StudyJob(Job):
    """A study, and the settings that all its trainings share."""

    study: Annotated[
        tyro.conf.Positional[str], Field(examples=sorted(path.stem for path in STUDIES.glob("*.yaml")))
    ] = "table4"
    """A study in jobs/studies by its name (table1, table2, table3, table4, figure1a, figure3, figure4, five_fold;
    distances, few_labels and tiny_learning ask further), or a YAML file."""
    roots: dict[str, ScansPlace] = {}
    """Folders of the raw scans of several datasets, by the columns of the study: `--roots btcv FOLDER amos FOLDER`.
    Each column is then made with its own recipe."""
    seeds: Positive = 1
    """Trainings of each cell, with seeds from the recipe's on; the table has their mean and standard deviation."""
    natural: AbsolutePath | None = None
    """Folder of natural images (JPEG, PNG) for figure1a; scikit-learn's two sample pictures, in pieces, if none."""
    concurrent: Positive | None = None
    """Cells at a time; where not said, as many as the cluster holds."""


def main() -> None:
    arguments = sys.argv[1:]
    try:
        job = parse_kind_of_job(StudyJob, arguments, RECIPES, description=__doc__)
        asked = Asked(job.recipe, RECIPES, told_settings(StudyJob, arguments, job), job.roots, job.seeds)
        plan = plan_study(Path(job.study).stem, load_study(job.study, STUDIES), asked)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    if job.check:
        end_with(_resolved(plan))
    run_job(lambda: _study(job, plan), job)


def _resolved(plan: StudyPlan) -> dict[str, Any]:
    """Every training of the study with its settings, and why others are left out."""
    trainings = {place: each.model_dump(mode="json") for place, each in plan.experiments}
    left_out = {f"{cell.row}, {cell.column}": cell.reason for cell in plan.cells if cell.reason}
    return {"study": plan.name, "trainings": trainings, "left_out": left_out}


def _study(job: StudyJob, plan: StudyPlan) -> Outcome:
    from autosam_platform.pipeline.studying import make_study  # takes seconds: not for --help or --check

    return make_study(plan, concurrent=job.concurrent, natural=job.natural)


if __name__ == "__main__":
    main()
