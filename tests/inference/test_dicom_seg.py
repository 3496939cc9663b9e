"""DICOM SEG read back with pydicom alone: each organ must lie where it lies in the patient."""

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_factory import (
    SECRETS,
    SHAPE_XYZ,
    centroids_lps,
    ct,
    ct_slices,
    enhanced,
    moved,
    one_series,
    rotation,
    tilted,
    write_series,
    write_zip,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from segments import Centroids, centroids
from small_cards import organs, small_card
from synthetic_scans import write_nifti

from autosam_inference import write_dicom_seg
from autosam_inference.card import LabelClass
from autosam_inference.prediction import Prediction
from autosam_inference.scans.colours import organ_key
from autosam_inference.scans.dicom_seg import Kind, check_dicom_seg
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.organ_codes import organ_code
from autosam_inference.scans.scan import read_scan
from autosam_platform.data.description import description_names, load_description

CARD = small_card(load_description("btcv").classes)
KINDS: tuple[Kind, ...] = ("labelmap", "binary")


def written(
    tmp_path: Path, slices: list[Dataset], kind: Kind = "labelmap", *, straighten: bool = False, zipped: bool = False
) -> Dataset:
    """The factory's own labels, written over a series as a prediction of it is."""
    source = write_series(tmp_path / "ct", slices, shuffle=True)
    source = write_zip(tmp_path / "ct.zip", source) if zipped else source
    scan = read_scan(source, straighten=straighten)
    label_DHW = ct().label_xyz.transpose(2, 1, 0)
    if straighten:  # what the labels are then does not matter, only where they lie
        label_DHW = np.where(scan.volume.array_DHW > 0, 6, 0).astype(np.uint8)
    write_dicom_seg(Prediction(scan, label_DHW, CARD, {}), tmp_path / "seg.dcm", kind)
    return pydicom.dcmread(tmp_path / "seg.dcm")


def truth(turn: np.ndarray | None = None) -> Centroids:
    places = centroids_lps(turn)
    return {each.name: places[each.id] for each in CARD.classes}


def check_centroids(seg: Dataset, expected: Centroids) -> None:
    found = centroids(seg)
    assert found.keys() == expected.keys()
    for name, place in expected.items():
        np.testing.assert_allclose(found[name], place, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codes_", ["LPS", "LPI", "RAS", "LAI", "PIR", "PIL", "LIP"])
def test_every_organ_lies_where_it_was_drawn(tmp_path: Path, kind: Kind, codes_: str) -> None:
    """Axial, upside down, mirrored, sagittal and coronal series, stored from either end."""
    check_centroids(written(tmp_path, ct_slices(codes=codes_), kind), truth())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codes_", ["LPS", "PIR"])
def test_an_oblique_series_too(tmp_path: Path, kind: Kind, codes_: str) -> None:
    turn = rotation(20, 0) @ rotation(-9, 2)
    check_centroids(written(tmp_path, ct_slices(codes=codes_, turn=turn), kind), truth(turn))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backwards", [False, True])
def test_an_enhanced_series_too(tmp_path: Path, kind: Kind, backwards: bool) -> None:
    slices = ct_slices()
    disordered = slices[4:][::-1] + slices[:4] if backwards else slices
    seg = written(tmp_path, [enhanced(disordered)], kind)
    check_centroids(seg, truth())


def test_a_zip_and_a_doubled_slice_too(tmp_path: Path) -> None:
    slices = ct_slices()
    check_centroids(written(tmp_path, one_series(slices, ct_slices()[4:5]), zipped=True), truth())


def test_a_leaning_series_too(tmp_path: Path) -> None:
    slices = tilted(ct_slices(), 0.6)
    expected = {}
    for each in CARD.classes:
        points = []
        for place, values in enumerate(ct().label_xyz[::-1, ::-1].transpose(2, 1, 0)):  # rows, columns of LPS
            position = np.array(slices[place].ImagePositionPatient, float)
            spacing = np.array(slices[place].PixelSpacing, float)
            rows, columns = np.nonzero(values == each.id)
            points.append(position + np.stack([columns * spacing[1], rows * spacing[0], 0 * rows], 1))
        expected[each.name] = np.concatenate(points).mean(0)
    check_centroids(written(tmp_path, slices), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_straightened_series_keeps_its_place(tmp_path: Path, kind: Kind) -> None:
    slices = moved(ct_slices(), lambda place: (0, 0, 1.4 * (place > 4)))
    seg = written(tmp_path, slices, kind, straighten=True)
    scan = read_scan(tmp_path / "ct", straighten=True)
    x, y, z = scan.grid.canonical_affine[:3] @ [*np.argwhere(scan.volume.array_DHW > 0).mean(0)[::-1], 1]
    np.testing.assert_allclose(centroids(seg)["liver"], [-x, -y, z], atol=1e-3)
    assert seg.FrameOfReferenceUID == slices[0].FrameOfReferenceUID


def test_frames_refer_to_the_slices_they_lie_on(tmp_path: Path) -> None:
    slices = ct_slices(codes="PIR")
    seg = written(tmp_path, slices)
    by_uid = {each.SOPInstanceUID: each for each in slices}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        position = by_uid[source.ReferencedSOPInstanceUID].ImagePositionPatient
        assert frame.PlanePositionSequence[0].ImagePositionPatient == position
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert {each.ReferencedSOPInstanceUID for each in referenced.ReferencedInstanceSequence} == by_uid.keys()
    assert seg.StudyInstanceUID == slices[0].StudyInstanceUID and seg.SeriesInstanceUID != slices[0].SeriesInstanceUID
    assert seg.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    assert float(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices) == 1.5


def test_what_made_it_and_what_it_shows_is_said(tmp_path: Path) -> None:
    seg = written(tmp_path, ct_slices())
    assert seg.Modality == "SEG" and seg.SegmentationType == "LABELMAP" and seg.BitsAllocated == 8
    assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    background, *described = seg.SegmentSequence
    assert background.SegmentNumber == 0 and len(described) == 13
    kidney = described[2]
    assert (kidney.SegmentNumber, kidney.SegmentLabel) == (3, "left kidney")
    (kind,) = kidney.SegmentedPropertyTypeCodeSequence
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("64033007", "SCT", "Kidney")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"  # left
    veins = described[9]
    assert [each.CodeMeaning for each in veins.PrimaryAnatomicStructureSequence] == ["Portal vein", "Splenic vein"]
    (algorithm,) = kidney.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (CARD.model.name, CARD.run_id)
    assert kidney.SegmentAlgorithmType == "AUTOMATIC" and len(kidney.RecommendedDisplayCIELabValue) == 3


def test_numbers_without_gaps_where_the_standard_asks_for_them(tmp_path: Path) -> None:
    scan = read_scan(write_series(tmp_path / "ct", ct_slices()))
    classes = (LabelClass(id=200, name="Leber ä"), LabelClass(id=7, name="spleen"))
    label = np.zeros((9, 34, 37), np.uint8)
    label[2:4, 5, 6], label[5, 7, 8] = 200, 7
    for kind, numbers in (("labelmap", [0, 7, 200]), ("binary", [1, 2])):
        path = tmp_path / f"{kind}.dcm"
        write_dicom_seg(Prediction(scan, label, small_card(classes), {}), path, kind)  # type: ignore[arg-type]
        seg = pydicom.dcmread(path)
        assert [each.SegmentNumber for each in seg.SegmentSequence] == numbers
        found = centroids(seg)
        x, y, z = scan.grid.canonical_affine[:3] @ [6, 5, 2.5, 1]
        np.testing.assert_allclose(found["Leber ä"], [-x, -y, z], atol=1e-4)
        assert found.keys() == {"Leber ä", "spleen"}
    (code,) = seg.SegmentSequence[1].SegmentedPropertyTypeCodeSequence
    assert (code.CodingSchemeDesignator, code.CodeMeaning) == ("99AUTOSAM", "Leber ä")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_found_is_written_too(tmp_path: Path, kind: Kind) -> None:
    scan = read_scan(write_series(tmp_path / "ct", ct_slices()))
    write_dicom_seg(Prediction(scan, np.zeros((9, 34, 37), np.uint8), CARD, {}), tmp_path / "seg.dcm", kind)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert centroids(seg) == {} and [each.SegmentLabel for each in seg.SegmentSequence][-1] == "left adrenal gland"


ORGANS = sorted({organ_key(each.name) for name in description_names() for each in load_description(name).classes})


@pytest.mark.parametrize("organ", ORGANS)
def test_every_organ_of_a_description_has_a_snomed_code(organ: str) -> None:
    """Looked up the other way round: the code's own number and meaning in pydicom's dictionary."""
    code = organ_code(organ)
    for each in (code.kind, code.side, *code.parts, code.region):
        if each is not None:
            assert each.scheme_designator == "SCT" and each.value.isdecimal()
    used = (code.kind, code.side, *code.parts, code.region)
    told = " ".join(each.meaning for each in used if each is not None).lower()
    for word in organ.replace("/", " ").split():
        plain = word.removesuffix("s")
        assert plain in told or word in ("and", "prostate", "uterus"), f"{organ}: {told}"
    if "right" in organ or "left" in organ:
        assert code.side == (codes.SCT.Right if "right" in organ else codes.SCT.Left)


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("unusual", [False, True])
def test_the_label_map_is_the_patients_and_nothing_else_says_so(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    unusual: bool,
) -> None:
    slices = ct_slices()
    with pydicom.config.disable_value_validation():
        for each in slices:
            each.SpecificCharacterSet = "ISO_IR 100"
            each.PatientName = "Geheim^Jörg"
            if unusual:
                each.add_new("PatientBirthDate", "DA", "17.03.1950 Geheim")
                each.add_new("PatientID", "LO", "SECRET-4711" * 9)
                each.PatientName = "Geheim Jörg der Ältere und Erika"  # no part of it is marked as a family name
    recwarn.clear()
    with caplog.at_level(logging.DEBUG), pydicom.config.disable_value_validation():
        seg = written(tmp_path, slices)
        assert str(seg.PatientName) == str(slices[0].PatientName)
        assert seg.PatientID == slices[0].PatientID and seg.PatientBirthDate == slices[0].PatientBirthDate
        assert seg.AccessionNumber == "ACC-0815" and seg.StudyDate == "20260102"
    said = "\n".join([caplog.text, *capfd.readouterr(), *(str(each.message) for each in recwarn)])
    assert "highdicom" in said, "the test looks where words come out"
    assert not [secret for secret in SECRETS if secret in said]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    scan = ct()
    nifti = read_scan(write_nifti(tmp_path / "ct.nii.gz", scan.image_xyz, scan.affine))
    with pytest.raises(ScanError, match=r"ct\.nii\.gz is no DICOM: its label map is written as NIfTI"):
        write_dicom_seg(Prediction(nifti, nifti.volume.array_DHW.astype(np.uint8), CARD, {}), tmp_path / "seg.dcm")
    slices = ct_slices()
    for each in slices:
        del each.FrameOfReferenceUID
    with pytest.raises(ScanError, match="the slices have no FrameOfReferenceUID"):
        written(tmp_path, slices)
    with pytest.raises(ScanError, match="the slices have no FrameOfReferenceUID"):
        check_dicom_seg(read_scan(tmp_path / "ct"), CARD)
    with pytest.raises(ScanError, match=r"ct\.nii\.gz is no DICOM"):
        check_dicom_seg(nifti, CARD)
    dicom = read_scan(write_series(tmp_path / "gone", ct_slices()))
    check_dicom_seg(dicom, CARD)
    (tmp_path / "gone" / "IM0004").unlink()
    label = np.zeros(SHAPE_XYZ[::-1], np.uint8)
    with pytest.raises(ScanError, match=r"IM0004 cannot be read again \(FileNotFoundError\)"):
        write_dicom_seg(Prediction(dicom, label, small_card(organs(2)), {}), tmp_path / "seg.dcm")
    assert not (tmp_path / "seg.dcm").exists()
