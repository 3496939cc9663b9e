"""The files of a segmented scan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from autosam_inference.bedside.options import Options
from autosam_inference.bedside.record import OrganRecord, write_organ_table
from autosam_inference.card import ModelCard
from autosam_inference.measurements import Measurement, measure
from autosam_inference.picture import save_picture
from autosam_inference.prediction import Prediction
from autosam_inference.scans.label_files import write_nifti
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan
from autosam_inference.stopwatch import Stopwatch


def write_results(
    prediction: Prediction, folder: Path, options: Options, watch: Stopwatch, no_seg: str | None = None
) -> tuple[tuple[OrganRecord, ...], tuple[str, ...]]:
    """Write all files but the record into the scan's folder, each named by it.

    Args:
        no_seg: why no DICOM SEG can be written, where that is known (``no_segmentation``).

    Returns:
        What was measured of each organ, and which files that were asked for are missing, and why.
    """
    name = folder.name
    with watch.phase("measure"):
        measured = measure(prediction)
    quality = {each.organ: each for each in prediction.quality}
    organs = tuple(OrganRecord.of(each, quality.get(each.organ.name)) for each in measured)
    with watch.phase("write"):
        write_nifti(prediction, folder / f"{name}.nii.gz")
        write_organ_table(folder / f"{name}.organs.csv", organs)
        missing = _write_dicom(prediction, measured, folder, options, no_seg)
    with watch.phase("picture"):
        save_picture(folder / f"{name}.png", prediction, name)
    return organs, tuple(missing)


def _write_dicom(
    prediction: Prediction, measured: Sequence[Measurement], folder: Path, options: Options, no_seg: str | None
) -> list[str]:
    """The DICOM objects of a DICOM scan; what is missing of them."""
    if prediction.scan.series is None or options.dicom_seg == "none":
        return []
    seg, report = folder / f"{folder.name}.seg.dcm", folder / f"{folder.name}.report.dcm"
    no_seg = no_seg or write_segmentation(prediction, seg, options.dicom_seg)
    if no_seg is not None:
        return [no_seg] + (["No DICOM report either, since it refers to the DICOM SEG."] if options.report else [])
    no_report = _write_report(prediction, measured, seg, report) if options.report else None
    return [] if no_report is None else [no_report]


def _write_report(prediction: Prediction, measured: Sequence[Measurement], seg: Path, path: Path) -> str | None:
    from autosam_inference.scans.dicom_report import write_dicom_report

    try:
        write_dicom_report(prediction, measured, seg, path)
    except ScanError as error:
        return f"No DICOM report is written. {error}"
    return None


def no_segmentation(scan: Scan, card: ModelCard) -> str | None:
    """Why the DICOM SEG of a DICOM scan cannot be written, to be said before the windows; None where it can be."""
    if scan.series is None:
        return None
    from autosam_inference.scans.dicom_seg import check_dicom_seg  # a second, which NIfTI does not need

    try:
        check_dicom_seg(scan, card)
    except ScanError as error:
        return f"No DICOM SEG can be written, only the NIfTI. {error}"
    return None


def write_segmentation(prediction: Prediction, path: Path, kind: Literal["labelmap", "binary"]) -> str | None:
    """Write the DICOM SEG of a scan that was DICOM; why there is none, where it cannot be: the NIfTI is there."""
    if prediction.scan.series is None:
        return None
    from autosam_inference.scans.dicom_seg import write_dicom_seg  # a second, which NIfTI does not need

    try:
        write_dicom_seg(prediction, path, kind)
    except ScanError as error:
        return f"No DICOM SEG can be written, only the NIfTI. {error}"
    return None
