"""The files of a segmented scan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from autosam_inference.bedside.options import Options
from autosam_inference.bedside.record import OrganRecord, write_organ_table
from autosam_inference.measurements import Measurement, measure
from autosam_inference.picture import save_picture
from autosam_inference.prediction import Prediction
from autosam_inference.scans.label_files import write_nifti
from autosam_inference.scans.nifti import ScanError
from autosam_inference.stopwatch import Stopwatch


def write_results(
    prediction: Prediction, folder: Path, options: Options, watch: Stopwatch
) -> tuple[tuple[OrganRecord, ...], list[str]]:
    """Write all files but the record into the scan's folder, each named by it.

    Returns:
        What was measured of each organ, and what a person should know of the scan and the files.
    """
    name, notes = folder.name, list(prediction.scan.notes)
    with watch.phase("measure"):
        measured = measure(prediction)
    quality = {each.organ: each for each in prediction.quality}
    organs = tuple(OrganRecord.of(each, quality.get(each.organ.name)) for each in measured)
    with watch.phase("write"):
        write_nifti(prediction, folder / f"{name}.nii.gz")
        write_organ_table(folder / f"{name}.organs.csv", organs)
        seg = folder / f"{name}.seg.dcm"
        missing = write_segmentation(prediction, seg, options.dicom_seg)
        if missing is None and options.report and prediction.scan.series is not None:
            missing = _write_report(prediction, measured, seg, folder / f"{name}.report.dcm")
        notes += [] if missing is None else [missing]
    with watch.phase("picture"):
        save_picture(folder / f"{name}.png", prediction, name)
    return organs, notes


def _write_report(prediction: Prediction, measured: Sequence[Measurement], seg: Path, path: Path) -> str | None:
    from autosam_inference.scans.dicom_report import write_dicom_report

    try:
        write_dicom_report(prediction, measured, seg, path)
    except ScanError as error:
        return f"No DICOM report is written. {error}"
    return None


def write_segmentation(prediction: Prediction, path: Path, kind: Literal["labelmap", "binary"]) -> str | None:
    """Write the DICOM SEG of a scan that was DICOM; why there is none, where it cannot be: the NIfTI is there."""
    if prediction.scan.series is None:
        return None
    from autosam_inference.scans.dicom_seg import write_dicom_seg  # a second, which NIfTI does not need

    try:
        write_dicom_seg(prediction, path, kind)
    except ScanError as error:
        return f"No DICOM SEG is written. {error}"
    return None
