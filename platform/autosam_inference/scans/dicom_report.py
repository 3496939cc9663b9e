"""Measurements as a DICOM structured report (TID 1500), filed by a PACS beside the series and its label map."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pydicom
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from autosam_inference import measurements
from autosam_inference.card import ModelCard
from autosam_inference.files import atomic_write
from autosam_inference.prediction import Prediction
from autosam_inference.quality.verdict import Flag, OrganQuality
from autosam_inference.scans.dicom_files import opened
from autosam_inference.scans.dicom_headers import quiet
from autosam_inference.scans.dicom_seg import MAKER, add_identity, made_by, software, source_headers
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.organ_codes import ANATOMICAL_STRUCTURE, PRIVATE, organ_code

_SERIES_NUMBER = 901
_DIGITS = 3
_HU, _ML, _NO_UNIT = (
    Code("[hnsf'U]", "UCUM", "Hounsfield unit"),
    Code("ml", "UCUM", "milliliter"),
    Code("1", "UCUM", "no units"),
)
_ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
# No standard has codes for these.
_EXPECTED_DICE = Code("EXPECTED-DICE", PRIVATE, "Expected Dice coefficient of the segmentation")
_TRUST = Code("TRUST", PRIVATE, "Whether to use the segmentation")
_FLAGS: dict[Flag, Code] = {
    "ok": Code("TRUST-OK", PRIVATE, "ok"),
    "check": Code("TRUST-CHECK", PRIVATE, "check"),
    "do not use": Code("TRUST-DO-NOT-USE", PRIVATE, "do not use"),
}
_WARNING = Code("MODEL-WARNING", PRIVATE, "Warning of the model")


def write_dicom_report(
    prediction: Prediction, measured: Sequence[measurements.Measurement], segmentation: Path, path: Path
) -> None:
    """Write volume and HU of every organ that was found, each with the segment it was measured in.

    The report is preliminary and not verified: no person has looked at it.

    Args:
        segmentation: the label map as DICOM SEG, written before; the report refers to it.

    Raises:
        ScanError: the scan was not read from DICOM, its files are not there any more, or no organ was found.
    """
    series, card = prediction.scan.series, prediction.card
    if series is None:
        raise ScanError(f"{prediction.scan.source or 'the scan'} is no DICOM, and has no structured report.")
    found = [each for each in measured if each.voxels]
    if not found:
        raise ScanError("No organ was found, so there is nothing to report.")
    with quiet(), opened(series.place, [name for name, _ in series.slices]) as place:
        seg = pydicom.dcmread(segmentation, stop_before_pixels=True, specific_tags=_OF_SEGMENTATION)
        numbers = {str(each.SegmentLabel): int(each.SegmentNumber) for each in seg.SegmentSequence}
        quality = {each.organ: each for each in prediction.quality}
        groups = [_group(each, card, seg, numbers, series.uid, quality) for each in found]
        sources = source_headers(place, series, prediction.scan.grid)
        made = _report(groups, card, [*sources, _as_evidence(seg, sources[0])])
        add_identity(made, place, series.slices[0][0])
        with atomic_write(path) as temporary:
            made.save_as(temporary, enforce_file_format=True)


_OF_SEGMENTATION = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SegmentSequence"]


def _as_evidence(seg: Dataset, source: Dataset) -> Dataset:
    """The label map as highdicom wants it, without the patient, as the slices are."""
    made = copy.deepcopy(source)
    for keyword in _OF_SEGMENTATION[:4]:
        setattr(made, keyword, seg[keyword].value)
    made.Modality = "SEG"
    return made


def _report(
    groups: Sequence[VolumetricROIMeasurementsAndQualitativeEvaluations], card: ModelCard, evidence: Sequence[Dataset]
) -> Comprehensive3DSR:
    device = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[card.run_id, software()]),  # of this model in this version, wherever it runs
        name=card.run_id,
        manufacturer_name=MAKER,
        model_name=card.model.name,
    )
    observer = ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    return Comprehensive3DSR(
        evidence=evidence,
        content=content[0],
        series_instance_uid=generate_uid(),
        series_number=_SERIES_NUMBER,
        **made_by(card),
        series_description=f"Measurements by {card.run_id}"[:64],
        is_complete=True,
        is_final=False,
        is_verified=False,
    )


def _group(
    measured: measurements.Measurement,
    card: ModelCard,
    seg: Dataset,
    numbers: Mapping[str, int],
    series: str,
    quality: Mapping[str, OrganQuality],
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """One organ: what it is, the segment it was measured in, and the numbers."""
    name = measured.organ.name
    code = organ_code(name)
    segment = ReferencedSegment(
        seg.SOPClassUID, seg.SOPInstanceUID, numbers[name[:64]], source_series=SourceSeriesForSegmentation(series)
    )
    said = quality.get(name)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=generate_uid(), identifier=name),
        referenced_segment=segment,
        finding_category=ANATOMICAL_STRUCTURE,
        finding_type=code.kind,
        finding_sites=[FindingSite(code.region or code.kind, laterality=code.side)],
        algorithm_id=AlgorithmIdentification(
            name=card.model.name, version=card.run_id, family=codes.DCM.ArtificialIntelligence, manufacturer=MAKER
        ),
        measurements=_numbers(measured, said),
        qualitative_evaluations=list(_evaluations(card, said)) or None,
    )


def _evaluations(card: ModelCard, said: OrganQuality | None) -> Iterator[QualitativeEvaluation]:
    if card.short_warning is not None:
        yield QualitativeEvaluation(_WARNING, Code("SYNTHETIC-SCANS-ALONE", PRIVATE, card.short_warning))
    if said is not None:
        yield QualitativeEvaluation(_TRUST, _FLAGS[said.flag])


def _numbers(measured: measurements.Measurement, said: OrganQuality | None) -> list[Measurement]:
    assert measured.mean_hu is not None and measured.sd_hu is not None, "what has voxels has values"
    found = [
        Measurement(codes.SCT.Volume, round(measured.volume_ml, _DIGITS), _ML),
        Measurement(_ATTENUATION, round(measured.mean_hu, _DIGITS), _HU, derivation=codes.SCT.Mean),
        Measurement(_ATTENUATION, round(measured.sd_hu, _DIGITS), _HU, derivation=codes.SCT.StandardDeviation),
    ]
    if said is not None and said.expected_dice is not None:
        found.append(Measurement(_EXPECTED_DICE, round(said.expected_dice, _DIGITS), _NO_UNIT))
    return found
