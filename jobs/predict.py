"""Segment a scan: a label map on the scan's own grid, with names and colours, and a picture of it.

Examples:
    python jobs/predict.py --input SCAN.nii.gz
    python jobs/predict.py --input SCAN.nii.gz --run btcv-1a2b3c4d --output LABELS.nii.gz
    python jobs/predict.py --input SCAN.nii.gz --run STUDENT.zip --runtime onnx
    python jobs/predict.py --input SCAN.nii.gz --run included     the small model that comes with the project
    python jobs/predict.py --input DICOM-FOLDER --series 1.2.840.113619.2.5
    python jobs/predict.py                                        a phantom that the demo was not trained on
"""

import sys
from pathlib import Path
from typing import Literal

from _roots import RECIPES

from autosam_inference.bounds import Overlap
from autosam_inference.runtimes.chosen import RuntimeName
from autosam_inference.scans.names import stem
from autosam_platform.command_line import CommandLine, parse, parse_job
from autosam_platform.experiment import AbsolutePath, Positive
from autosam_platform.pipeline.ending import Outcome, run_job
from autosam_platform.workspace import NamedModel, PredictionFolder, workspace


class PredictJob(CommandLine):
    """What is segmented, with which model."""

    input: AbsolutePath | None = None
    """CT scan as NIfTI (.nii or .nii.gz) or DICOM (a folder, a zip, or one file of a series); a held-out phantom where
    none is given."""
    series: str | None = None
    """SeriesInstanceUID of the DICOM series; the CT with most slices where none is given."""
    straighten: bool = False
    """Resample DICOM slices that are tilted, shifted or unevenly spaced to an even grid, instead of refusing them."""
    run: str | None = None
    """Name or folder of a finished run, a bundle (its folder or zip), or `included`: the small model that comes with
    the project. Where none is given, the newest run, or the included model where no run is finished. Of several runs,
    commas between them, such as the folds of a study, the mean of their probabilities counts."""
    runtime: RuntimeName | None = None
    """What computes: a bundle takes openvino, where none is named, onnx or torch; a run torch alone."""
    output: AbsolutePath | None = None
    """Label map to write (.nii.gz); in the workspace's predictions/ where none is given."""
    dicom_seg: Literal["labelmap", "binary", "none"] = "labelmap"
    """Kind of the DICOM SEG that a DICOM's label map is written as beside the NIfTI; binary is for older viewers. Where
    the series lacks what one needs, that is said first, the NIfTI is written, and the exit status is 3; none asks for
    none."""
    overlap: Overlap = 0.5
    """Share that neighbouring windows have in common. The paper's 0.75 takes three times as long, for the same Dice
    (docs/benchmarks.md)."""
    coarse: bool = True
    """Look for the organs roughly first and compute only the windows around them; in doubt, everything is computed."""
    batch: Positive = 1
    """Windows per forward pass; several may be faster on a GPU."""
    device: str | None = None
    """For torch, such as cpu or cuda:1; a GPU where there is one."""


def main() -> None:
    job = parse(PredictJob, sys.argv[1:], description=__doc__)
    job.end_if_checked()
    run_job(lambda: _predict(job), job)


def _predict(job: PredictJob) -> Outcome:
    from autosam_inference import predict, read_scan, require_writable, write_nifti
    from autosam_inference.bedside.writing import no_segmentation, write_segmentation
    from autosam_inference.picture import save_picture
    from autosam_inference.progress import WindowProgress
    from autosam_inference.scans.label_files import require_place
    from autosam_inference.scans.plausibility import checked_ct
    from autosam_inference.stopwatch import Stopwatch
    from autosam_platform.evaluation.seconds import as_line, with_total, write_seconds
    from autosam_platform.experiment import ConfigError
    from autosam_platform.pipeline.steps import named_model

    if job.run is not None and job.input is None:
        raise ConfigError(f"--run {job.run} names a model, and nothing names a scan for it: add --input SCAN")
    if job.output is not None:
        require_place(job.output, job.input)
        PredictionFolder(job.output, workspace()).require_free()
    source, chosen = (job.input, named_model(job.run)) if job.input else _demo()
    place = workspace().new_prediction(workspace().prediction_name(source, chosen.name, job.series), source)
    files = place if job.output is None else PredictionFolder(job.output, workspace())
    files.require_free()
    warning = chosen.card.warning
    if warning:
        print(warning, flush=True)
    reading = Stopwatch()
    with reading.phase("read"):
        scan = read_scan(source, series=job.series, straighten=job.straighten)
        scan = checked_ct(scan, lower=chosen.card.hu_window[0])
    for note in scan.notes:
        print(note)
    require_writable(scan, files.label)  # said before the work, as all that is wrong with the scan
    no_seg = no_segmentation(scan, chosen.card) if job.dicom_seg != "none" else None
    if no_seg:
        print(no_seg, file=sys.stderr, flush=True)
    model = chosen.load(runtime=job.runtime, overlap=job.overlap, device=job.device, batch=job.batch)
    print(f"Predicting {source} with {chosen.name} on {model.runtime.device}", flush=True)
    watch = Stopwatch(model.runtime.synchronize)
    watch.seconds |= reading.seconds
    result = predict(model, scan, coarse=job.coarse, progress=WindowProgress(), watch=watch)
    with watch.phase("write"):
        files.begin(source.absolute(), chosen.name)
        write_nifti(result, files.label)
        if scan.series is not None and job.dicom_seg != "none" and not no_seg:
            no_seg = write_segmentation(result, files.dicom_seg, job.dicom_seg)
            print(no_seg or f"DICOM SEG: {files.dicom_seg}")
    for note in result.scan.notes[len(scan.notes) :]:  # in comparison with the training scans
        print(note)
    for each in result.quality:
        if each.flag != "ok":
            print(each.words)
    save_picture(files.picture, result, files.label.name)
    seconds = with_total(watch.seconds)
    write_seconds(files.seconds, {stem(source): seconds})
    notes, series = [*filter(None, [warning]), *result.scan.notes], result.scan.series
    reading_of = None if series is None else series.reading
    files.write_record(source.absolute(), chosen.name, notes, reading_of, result.quality)
    print(f"Seconds: {as_line(seconds)}\nPicture: {files.picture}")
    numbers = {"run": chosen.name, "picture": str(files.picture), "seconds": seconds, "notes": notes}
    return Outcome(files.label, numbers, whole=no_seg is None)


def _demo() -> tuple[Path, NamedModel]:
    """The embedded demo's run, made if it is not there, and its first test case."""
    from autosam_platform.pipeline.steps import prepared_dataset, train_and_evaluate

    experiment = parse_job([], RECIPES, description=__doc__).experiment()
    run = workspace().run_at(train_and_evaluate(experiment).place)
    return prepared_dataset(experiment.dataset).raw("test")[0].image, NamedModel.of_run(run)


if __name__ == "__main__":
    main()
