"""Label maps as DICOM SEG, which a PACS stores beside the series that was segmented and a viewer shows over it."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import highdicom
import numpy as np
import pydicom
from highdicom.color import CIELabColor
from highdicom.content import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr.coding import CodedConcept
from nibabel.affines import voxel_sizes
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from autosam_inference.card import LabelClass, ModelCard
from autosam_inference.errors import UserError
from autosam_inference.files import atomic_write
from autosam_inference.prediction import Prediction
from autosam_inference.scans.colours import organ_colour
from autosam_inference.scans.dicom import DicomSeries
from autosam_inference.scans.dicom_files import DicomPlace, opened
from autosam_inference.scans.dicom_headers import quiet
from autosam_inference.scans.grid import Grid
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.organ_codes import ANATOMICAL_STRUCTURE, organ_code
from autosam_inference.scans.scan import Scan

Kind = Literal["labelmap", "binary"]
"""``labelmap``: a frame a slice, with all organs' numbers. ``binary``: a frame for each slice and organ, which older
readers know."""

MAKER = "AutoSAM Adapter"
_PACKAGE = "autosam-adapter-platform"
_SERIES_NUMBER = 900  # beyond those that scanners give
_SOURCE = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "Rows",
    "Columns", "NumberOfFrames", "PixelSpacing", "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "DimensionIndexSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
_IDENTITY = [
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
]  # fmt: skip
"""By which a PACS files the label map under its patient and study: copied from the scan's file to the label map's."""


def write_dicom_seg(prediction: Prediction, path: Path | str, kind: Kind = "labelmap") -> None:
    """Write a label map as DICOM SEG in the study, and on the slices, of the DICOM series that was segmented.

    Every organ of the model is described, found or not. Of a series that was straightened, the frames lie where the
    resampled slices do, in the same frame of reference.

    Raises:
        ScanError: the scan was not read from DICOM, or its files are not there any more.
        UserError: the model knows no organ.
    """
    path, scan, card = Path(path), prediction.scan, prediction.card
    series = _series_of(scan)
    if not card.classes:
        raise UserError(f"{card.run_id} names no organs: there is nothing to write to {path}.")
    label_DHW = prediction.label_xyz.transpose(2, 1, 0)  # slices, rows, columns
    with opened(series.place, [name for name, _ in series.slices]) as place, quiet():
        sources, label_DHW, geometry = _joined(place, series, scan.grid, label_DHW)
        made = _segmentation(sources, label_DHW, card, kind, geometry)
        add_identity(made, place, series.slices[0][0])
        with atomic_write(path) as temporary:
            made.save_as(temporary, enforce_file_format=True)


def check_dicom_seg(scan: Scan, card: ModelCard) -> None:
    """See that a DICOM SEG can refer to the scan's series, before the work whose result it would hold.

    One of a single voxel is made for it, and not written.

    Raises:
        ScanError: the scan is no DICOM, or its series lacks what the standard asks for.
    """
    series = _series_of(scan)
    label_DHW = np.zeros(scan.grid.shape_xyz[::-1], np.uint8)
    label_DHW[0, 0, 0] = min((each.id for each in card.classes), default=0)
    with opened(series.place, [name for name, _ in series.slices]) as place, quiet():
        sources, label_DHW, geometry = _joined(place, series, scan.grid, label_DHW)
        _segmentation(sources, label_DHW, card, "labelmap", geometry)


def _series_of(scan: Scan) -> DicomSeries:
    if scan.series is None:
        raise ScanError(f"{scan.source or 'the scan'} is no DICOM: its label map is written as NIfTI.")
    return scan.series


def _segmentation(
    sources: Sequence[Dataset], label_DHW: np.ndarray, card: ModelCard, kind: Kind, geometry: dict[str, Any]
) -> Segmentation:
    classes = sorted(card.classes, key=lambda each: each.id)
    if kind == "binary":  # numbers without gaps, which the standard asks for
        numbers = np.zeros(256, np.uint8)
        numbers[[each.id for each in classes]] = np.arange(1, len(classes) + 1)
        label_DHW = numbers[label_DHW]
        classes = [each.model_copy(update={"id": number}) for number, each in enumerate(classes, start=1)]
    try:
        return _made(sources, label_DHW, card, classes, kind, geometry)
    except (ValueError, TypeError, AttributeError) as error:  # of the sources' headers, which lack the patient here
        reason = " ".join(str(error).split())
        raise ScanError(f"The series cannot be referred to by a DICOM SEG ({reason}): use the NIfTI.") from None


def _made(
    sources: Sequence[Dataset],
    label_DHW: np.ndarray,
    card: ModelCard,
    classes: Sequence[LabelClass],
    kind: Kind,
    geometry: dict[str, Any],
) -> Segmentation:
    return Segmentation(
        source_images=sources,
        pixel_array=label_DHW,
        segmentation_type=kind.upper(),
        segment_descriptions=[_described(each, card) for each in classes],
        series_instance_uid=generate_uid(),
        series_number=_SERIES_NUMBER,
        **made_by(card),
        content_label="SEGMENTATION",
        content_description=card.short_warning,
        series_description=f"Segmentation by {card.run_id}"[:64],
        **geometry,
    )


def _described(organ: LabelClass, card: ModelCard) -> SegmentDescription:
    code = organ_code(organ.name)
    described = SegmentDescription(
        segment_number=organ.id,
        segment_label=organ.name[:64],
        segmented_property_category=ANATOMICAL_STRUCTURE,
        segmented_property_type=code.kind,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=card.model.name[:64],
            family=codes.DCM.ArtificialIntelligence,
            version=card.run_id[:64],
            source=MAKER,
            parameters={"dataset": card.dataset, "software": software()},
        ),
        anatomic_regions=None if code.region is None else [code.region],
        primary_anatomic_structures=list(code.parts) or None,
        display_color=CIELabColor.from_rgb(*organ_colour(organ.name)),
    )
    if code.side is not None:
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            CodedConcept.from_code(code.side)
        ]
    return described


def made_by(card: ModelCard) -> dict[str, Any]:
    """What highdicom is told of an object of its own series: its number, and what made it."""
    return {
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": MAKER,
        "manufacturer_model_name": card.model.name[:64],
        "software_versions": software(),
        "device_serial_number": card.run_id[:64],
        "specific_character_set": "ISO_IR 192",
    }


def software() -> str:
    """Version of this package."""
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:  # run from its sources
        return "not installed"


def _joined(
    place: DicomPlace, series: DicomSeries, grid: Grid, label_DHW: np.ndarray
) -> tuple[list[Dataset], np.ndarray, dict[str, Any]]:
    """The images to refer to, the label map in their order, and its geometry where it is not theirs."""
    sources = source_headers(place, series, grid)
    frames = [frame for _, frame in series.slices]
    multi_frame = frames[0] is not None
    if series.straight and not multi_frame:
        return sources, label_DHW, {}
    if series.straight and len(sources) == 1 and len(frames) == int(sources[0].NumberOfFrames):
        return sources, label_DHW[np.argsort([frame or 0 for frame in frames])], {}
    return sources[:1] if multi_frame else sources, label_DHW, _geometry(grid)


def source_headers(place: DicomPlace, series: DicomSeries, grid: Grid) -> list[Dataset]:
    """Headers of a series' files as highdicom wants them, in the order of the slices, without the patient.

    Raises:
        ScanError: they cannot be read again, or nothing can refer to them.
    """
    return [_source(place, name, grid) for name in dict.fromkeys(name for name, _ in series.slices)]


def _geometry(grid: Grid) -> dict[str, Any]:
    """Planes that lie where the grid says, in LPS, for highdicom."""
    lps = np.diag([-1.0, -1.0, 1.0]) @ grid.affine[:3]
    across, down, through = (float(value) for value in voxel_sizes(grid.affine))
    directions = (lps[:, :2] / (across, down)).T.ravel()
    positions = [lps[:, 3] + place * lps[:, 2] for place in range(grid.shape_xyz[2])]
    return {
        "pixel_measures": PixelMeasuresSequence((down, across), through, through),
        "plane_orientation": PlaneOrientationSequence("PATIENT", directions),
        "plane_positions": [PlanePositionSequence("PATIENT", position) for position in positions],
    }


def _source(place: DicomPlace, name: str, grid: Grid) -> Dataset:
    """A file as highdicom wants it, without the patient: what it warns of, it quotes."""
    source = _elements(place, name, _SOURCE)
    for missing in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if not source.get(missing):
            raise ScanError(f"{place.path}: the slices have no {missing}: no DICOM SEG can refer to them.")
    for keyword in _IDENTITY:
        setattr(source, keyword, None)
    if "PixelSpacing" in source:  # what the files say of the distance between slices may be anything
        source.SpacingBetweenSlices = round(float(voxel_sizes(grid.affine)[2]), 6)
    return source


def _elements(place: DicomPlace, name: str, keywords: list[str]) -> Dataset:
    try:
        with place.open(name) as file, quiet():
            elements = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=keywords)
            for _ in elements.iterall():
                pass
        return elements
    except Exception as error:  # what is said of these elements may quote them
        kind = type(error).__name__
        raise ScanError(f"{place.path}: {name} cannot be read again ({kind}): name the scan anew.") from None


def add_identity(made: Dataset, place: DicomPlace, name: str) -> None:
    """Let an object be of the patient and the study of one of the scan's files.

    Copied is element by element, as it was read: nothing is checked, since what is wrong is the scan's own.
    """
    copied = [*_IDENTITY, "IssuerOfPatientID"]
    with pydicom.config.disable_value_validation():
        source = _elements(place, name, [*copied, "SpecificCharacterSet"])
        for keyword in copied:
            if keyword in source:
                made[keyword] = source[keyword]
