"""Write a synthetic CT of the trunk as a DICOM series: to try what takes DICOM without anybody's scan.

Examples:
    python jobs/phantom.py                                        a phantom that no demo trained on
    python jobs/phantom.py --output in/phantom --seed 7 --part abdomen-pelvis
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import _roots  # noqa: F401

from pydantic import Field

from autosam_platform.command_line import CommandLine, parse
from autosam_platform.experiment import AbsolutePath
from autosam_platform.pipeline.ending import Outcome, run_job


class PhantomJob(CommandLine):
    """Which phantom, and where it is written."""

    output: AbsolutePath = Path("phantom-series")
    """Folder that is made: a file per slice."""
    seed: Annotated[int, Field(ge=0)] = 90_000
    """What is drawn; another one for every seed. This one is in no dataset of phantoms that a training makes."""
    part: Literal["chest-abdomen", "abdomen", "abdomen-pelvis", "pelvis"] = "abdomen"
    """What the scan shows of the body."""


def main() -> None:
    job = parse(PhantomJob, sys.argv[1:], description=__doc__)
    job.end_if_checked()
    run_job(lambda: _write(job), job)


def _write(job: PhantomJob) -> Outcome:
    from autosam_platform.data.phantom import Part
    from autosam_platform.data.phantom.series import write_series

    place = job.output.expanduser().absolute()
    return Outcome(place, {"slices": write_series(place, job.seed, Part(job.part))})


if __name__ == "__main__":
    main()
