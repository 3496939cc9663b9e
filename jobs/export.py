"""Export a finished student as a bundle: one folder, or one zip, that holds all a scan needs, without torch.

Examples:
    python jobs/export.py                                         the only distilled student; several are listed
    python jobs/export.py --run distill-1a2b3c4d --output liver-student.zip
"""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from _roots import ROOT

from pydantic import Field

from autosam_inference.bundle import Bundle
from autosam_platform.command_line import CommandLine, parse
from autosam_platform.experiment import AbsolutePath, ConfigError
from autosam_platform.pipeline.ending import Outcome, run_job
from autosam_platform.workspace import workspace

if TYPE_CHECKING:
    from autosam_inference import TrainedModel
    from autosam_inference.bundle.contents import RuntimeParity
    from autosam_inference.quality.calibration import Calibration
    from autosam_platform.workspace import RunFolder


class ExportJob(CommandLine):
    """Which run is exported, to where."""

    run: str | None = None
    """Name or folder of a finished run. Where none is given, the only distilled student, or the only student where none
    was distilled; of several, one has to be named."""
    output: AbsolutePath | None = None
    """Folder, or file that ends in .zip; in the workspace's bundles/ where none is given. A bundle that lies there is
    replaced, anything else is not."""
    licence: Path = ROOT / "LICENSE"
    """Text of the licence that the bundle is passed on under; this project's own where none is given."""
    allow_unevaluated: bool = False
    """Export a model that was never evaluated on test cases; its card says so."""
    calibrate: bool = True
    """Learn from validation cases, and from such made bad on purpose, where not to trust the model: it predicts some
    hundred scans. A bundle without that has no flags of quality."""
    parity_cases: Annotated[int, Field(ge=0)] = 2
    """Test cases whose label maps by the exported files are compared with torch's."""


def main() -> None:
    job = parse(ExportJob, sys.argv[1:], description=__doc__)
    job.end_if_checked()
    run_job(lambda: _export(job), job)


def _export(job: ExportJob) -> Outcome:
    from autosam_platform.export.bundling import Export, export_bundle
    from autosam_platform.export.choosing import student_to_export
    from autosam_platform.pipeline.steps import finished_run

    if not job.licence.is_file():
        raise ConfigError(f"{job.licence} is no file: --licence names the text of a licence")
    run = student_to_export(workspace()) if job.run is None else finished_run(job.run)
    place = (job.output or workspace().bundle(run.name)).expanduser().absolute()
    export = Export(
        run,
        job.licence,
        allow_unevaluated=job.allow_unevaluated,
        parity_cases=job.parity_cases,
        calibrate=functools.partial(_calibrated, run) if job.calibrate else None,
    )
    state = "is exported" if export_bundle(export, place) else "was exported before and is found"
    card = Bundle.load(place).card
    print(f"{run.name} {state}: {len(card.classes)} organs.")
    for name, each in card.parity.items():
        print(f"{name}: logits within {each.logits:.1e} of torch's{_labels(each)}")
    warnings = () if card.quality is None else card.quality.warnings
    for each in warnings:
        print(f"WARNING: the calibration was {each}.")
    parity = {name: each.model_dump() for name, each in card.parity.items()}
    return Outcome(place, {"run": run.name, "parity": parity, "warnings": list(warnings)})


def _calibrated(run: "RunFolder", model: "TrainedModel") -> "Calibration":
    from autosam_platform.export.calibrating import CalibrationError, calibrate
    from autosam_platform.pipeline.steps import prepared_dataset

    try:
        return calibrate(model, prepared_dataset(run.experiment.dataset), progress=_scans_done)
    except CalibrationError as error:
        raise ConfigError(f"{error} To export it without flags of quality, add --no-calibrate.") from error


def _scans_done(done: int, total: int) -> None:
    if done % 8 == 0 or done == total:
        print(f"calibrating: scan {done} of {total}", flush=True)


def _labels(parity: "RuntimeParity") -> str:
    if parity.labels is None:
        return "; no scan to compare labels on"
    return f", {100 * parity.labels:.3f} % of the labels of {parity.scans} scans equal ({parity.format})"


if __name__ == "__main__":
    main()
