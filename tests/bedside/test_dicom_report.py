"""The structured report, read back with pydicom alone, with dcmtk and with dicom3tools."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_factory import IDENTITY, ct, ct_slices, enhanced, write_series
from patience import HANG_S
from pydicom.dataset import Dataset
from small_cards import small_card

from autosam_inference.measurements import measure
from autosam_inference.prediction import Prediction
from autosam_inference.quality.verdict import OrganQuality
from autosam_inference.scans.dicom_report import write_dicom_report
from autosam_inference.scans.dicom_seg import Kind, write_dicom_seg
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import read_scan
from autosam_platform.data.description import load_description

CARD = small_card(load_description("btcv").classes)
QUALITY = (OrganQuality("liver", 0.93, (0.9, 0.95), "ok"), OrganQuality("spleen", 0.31, (0.1, 0.5), "do not use"))


def written(tmp_path: Path, slices: list[Dataset], kind: Kind = "labelmap", label: np.ndarray | None = None) -> Path:
    scan = read_scan(write_series(tmp_path / "ct", slices))
    label_DHW = ct().label_xyz.transpose(2, 1, 0) if label is None else label
    prediction = Prediction(scan, label_DHW, CARD, {}, QUALITY)
    write_dicom_seg(prediction, tmp_path / "seg.dcm", kind)
    write_dicom_report(prediction, measure(prediction), tmp_path / "seg.dcm", tmp_path / "report.dcm")
    return tmp_path / "report.dcm"


def items(parent: Dataset, name: str | None = None) -> Iterator[Dataset]:
    for item in parent.get("ContentSequence", ()):
        if name is None or item.ConceptNameCodeSequence[0].CodeMeaning == name:
            yield item


def number(item: Dataset) -> tuple[float, str]:
    value = item.MeasuredValueSequence[0]
    return float(value.NumericValue), str(value.MeasurementUnitsCodeSequence[0].CodeValue)


def derivation(item: Dataset) -> str:
    return next((str(each.ConceptCodeSequence[0].CodeMeaning) for each in items(item, "Derivation")), "")


def groups(report: Dataset) -> dict[str, dict[str, Any]]:
    """What is said of each organ, by its name."""
    found = {}
    (measurements,) = items(report, "Imaging Measurements")
    for group in items(measurements, "Measurement Group"):
        (name,) = (str(each.TextValue) for each in items(group, "Tracking Identifier"))
        (segment,) = (each.ReferencedSOPSequence[0] for each in items(group, "Referenced Segment"))
        told: dict[str, Any] = {"segment": segment}
        told["code"] = next(str(each.ConceptCodeSequence[0].CodeValue) for each in items(group, "Finding"))
        told["series"] = next(str(each.UID) for each in items(group, "Source Series for Segmentation"))
        told["trust"] = [str(each.ConceptCodeSequence[0].CodeMeaning) for each in items(group, _TRUST)]
        for item in group.ContentSequence:
            if item.ValueType == "NUM":
                told[f"{item.ConceptNameCodeSequence[0].CodeMeaning} {derivation(item)}".strip()] = number(item)
        found[name] = told
    return found


_TRUST = "Whether to use the segmentation"


@pytest.mark.parametrize("kind", ["labelmap", "binary"])
def test_every_organs_numbers_its_code_and_its_segment(tmp_path: Path, kind: Kind) -> None:
    slices = ct_slices()
    report = pydicom.dcmread(written(tmp_path, slices, kind))
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    found = groups(report)
    assert list(found) == [each.name for each in CARD.classes]
    segments = {int(each.SegmentNumber): str(each.SegmentLabel) for each in seg.SegmentSequence}
    for organ in CARD.classes:
        told, inside = found[organ.name], ct().label_xyz == organ.id
        values = ct().image_xyz[inside].astype(np.float64)
        assert told["Volume"] == (pytest.approx(inside.sum() * 9e-3, abs=1e-3), "ml")  # 1.5 × 2 × 3 mm
        assert told["Attenuation Coefficient Mean"] == (pytest.approx(values.mean(), abs=1e-3), "[hnsf'U]")
        assert told["Attenuation Coefficient Standard Deviation"][0] == pytest.approx(values.std(), abs=1e-3)
        assert segments[int(told["segment"].ReferencedSegmentNumber)] == organ.name
        assert told["segment"].ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert told["series"] == slices[0].SeriesInstanceUID
    assert found["liver"]["code"] == "10200004" and found["left kidney"]["code"] == "64033007"  # SNOMED CT
    assert found["spleen"]["trust"] == ["do not use"] and found["aorta"]["trust"] == []
    assert found["liver"]["Expected Dice coefficient of the segmentation"] == (0.93, "1")


def test_a_pacs_files_it_under_the_patient_as_preliminary(tmp_path: Path) -> None:
    slices = ct_slices()
    report = pydicom.dcmread(written(tmp_path, slices))
    for keyword in ("PatientName", "PatientID", "AccessionNumber"):
        assert report[keyword].value == IDENTITY[keyword]
    assert report.StudyInstanceUID == slices[0].StudyInstanceUID
    assert (report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag) == (
        "COMPLETE", "PRELIMINARY", "UNVERIFIED",
    )  # fmt: skip
    evidence = [
        *report.get("CurrentRequestedProcedureEvidenceSequence", ()),
        *report.get("PertinentOtherEvidenceSequence", ()),
    ]
    referred = {
        str(instance.ReferencedSOPInstanceUID)
        for study in evidence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert referred == {str(seg.SOPInstanceUID), *(str(each.SOPInstanceUID) for each in slices)}


def test_an_enhanced_image_has_a_report(tmp_path: Path) -> None:
    assert len(groups(pydicom.dcmread(written(tmp_path, [enhanced(ct_slices())])))) == 13


def test_what_was_not_found_is_not_reported(tmp_path: Path) -> None:
    label_DHW = np.where(ct().label_xyz.transpose(2, 1, 0) == 6, 6, 0).astype(np.uint8)
    assert list(groups(pydicom.dcmread(written(tmp_path, ct_slices(), label=label_DHW)))) == ["liver"]
    with pytest.raises(ScanError, match="No organ was found"):
        written(tmp_path / "none", ct_slices(), label=np.zeros_like(label_DHW))


def _run(*words: str | Path) -> str:
    done = subprocess.run([str(each) for each in words], capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dcmtk is not installed (apt-get install dcmtk)")
def test_dcmtk_reads_the_report(tmp_path: Path) -> None:
    """It checks the tree's relations and value types, and refuses what breaks them."""
    said = _run("dsrdump", written(tmp_path, ct_slices(), "binary"))
    assert "Imaging Measurement Report" in said and said.count("Measurement Group") == 13
    assert "Spleen" in said and 'NUM:(,,"Volume")="0.' in said and "E: " not in said


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (apt-get install dicom3tools)")
def test_a_validator_finds_no_fault_in_the_report(tmp_path: Path) -> None:
    """But for the private codes, of which it cannot know what they mean."""
    said = _run("dciodvfy", "-new", written(tmp_path, ct_slices(), "binary")).splitlines()
    assert [line for line in said if "Unrecognized defined term = <99AUTOSAM>" not in line] == ["Comprehensive3DSR"]
