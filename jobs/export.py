"""Export a finished student as a bundle: one folder, or one zip, that holds all a scan needs, without torch.

Examples:
    python jobs/export.py                                         the newest run that can be exported
    python jobs/export.py --run distill-1a2b3c4d --output liver-student.zip
"""

import sys
from pathlib import Path

from _roots import ROOT

from autosam_platform.command_line import CommandLine, parse
from autosam_platform.pipeline.ending import Outcome, run_job
from autosam_platform.workspace import workspace


class ExportJob(CommandLine):
    """Which run is exported, to where."""

    run: str | None = None
    """Name or folder of a finished run; the newest where none is given."""
    output: Path | None = None
    """Folder, or file that ends in .zip; in the workspace's bundles/ where none is given. A bundle that lies there is
    replaced, anything else is not."""
    licence: Path = ROOT / "LICENSE"
    """Text of the licence that the bundle is passed on under; this project's own where none is given."""


def main() -> None:
    job = parse(ExportJob, sys.argv[1:], description=__doc__)
    job.end_if_checked()
    run_job(lambda: _export(job), job)


def _export(job: ExportJob) -> Outcome:
    from autosam_platform.export.bundling import export_bundle
    from autosam_platform.pipeline.steps import finished_run

    run = finished_run(job.run)
    place = job.output or workspace().bundle(run.name)
    export_bundle(run, place, job.licence)
    return Outcome(place, {"run": run.name})


if __name__ == "__main__":
    main()
