"""Small CT series as hospitals store them, written with pydicom alone; every trap is a change of the slices."""

import random
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from synthetic_scans import Scan, make_scan, reoriented

IDENTITY = {
    "PatientName": "Geheim^Erika",
    "PatientID": "SECRET-4711",
    "PatientBirthDate": "19500317",
    "StudyDescription": "Geheim, Erika: abdomen",
    "AccessionNumber": "ACC-0815",
    "ReferringPhysicianName": "Vertraulich^Dr",
}
"""What no log, message, record or page may ever show."""

SECRETS = ("Geheim", "Erika", "SECRET-4711", "19500317", "ACC-0815", "Vertraulich")

SHAPE_XYZ = (37, 34, 9)  # JPEG 2000 wants 32 pixels and more

LPS_OF_RAS = np.diag([-1.0, -1.0, 1.0])


def ct(seed: int = 0) -> Scan:
    """The scan that a series is made of where none is given."""
    return make_scan(seed, SHAPE_XYZ)


def centroids_lps(turn: np.ndarray | None = None) -> dict[int, np.ndarray]:
    """Mean position (LPS mm) of each class of the scan, whatever way it is stored."""
    scan = ct()
    affine = LPS_OF_RAS @ (scan.affine[:3] if turn is None else turn @ scan.affine[:3])
    ids = np.unique(scan.label_xyz[scan.label_xyz > 0]).tolist()
    return {each: affine @ [*np.argwhere(scan.label_xyz == each).mean(0), 1] for each in ids}


def rotation(degrees: float, axis: int) -> np.ndarray:
    """3 × 3 rotation about one of the patient's axes."""
    first, second = (each for each in range(3) if each != axis)
    turn = np.eye(3)
    turn[[first, second], [first, second]] = np.cos(np.deg2rad(degrees))
    turn[first, second] = -np.sin(np.deg2rad(degrees))
    turn[second, first] = -turn[first, second]
    return turn


def ct_slices(
    scan: Scan | None = None,
    codes: str = "LPS",
    turn: np.ndarray | None = None,
    *,
    slopes: Sequence[float] = (1,),
    intercepts: Sequence[float] = (-1024,),
    signed: bool = False,
    bits: int = 16,
    number: int = 2,
    study: str | None = None,
) -> list[Dataset]:
    """The slices of a series, in the order of the third axis of ``codes``; a plain axial series is ``"LPS"``.

    Columns run along the first axis of ``codes`` and rows along the second, as in a NIfTI file of that orientation.

    Args:
        turn: rotates the patient's axes: an oblique series.
        slopes, intercepts: of the slices, over and over.
        number: of the series.
    """
    scan = scan or ct()
    image = reoriented(scan.image_xyz, scan.affine, codes)
    stored, affine = np.asarray(image.dataobj), image.affine.copy()
    if turn is not None:
        affine[:3] = turn @ affine[:3]
    to_lps = LPS_OF_RAS @ affine[:3]
    uids = {"StudyInstanceUID": study or generate_uid(), "SeriesInstanceUID": generate_uid()}
    uids["FrameOfReferenceUID"] = generate_uid()
    slices = []
    for place in range(stored.shape[2]):
        slope, intercept = slopes[place % len(slopes)], intercepts[place % len(intercepts)]
        each = _slice(stored[:, :, place].T, slope, intercept, signed=signed, bits=bits)
        for name, value in uids.items():
            setattr(each, name, value)
        each.SeriesNumber, each.InstanceNumber = number, place + 1
        set_plane(each, to_lps, place)
        slices.append(each)
    return slices


def set_plane(each: Dataset, to_lps: np.ndarray, place: int) -> None:
    """Position, orientation and spacing of a slice; ``to_lps`` (3 × 4) takes column, row, slice to LPS mm."""
    spacing = np.linalg.norm(to_lps[:, :3], axis=0)
    each.ImagePositionPatient = [_decimal(value) for value in to_lps[:, 2] * place + to_lps[:, 3]]
    each.ImageOrientationPatient = [_decimal(value) for value in (to_lps[:, :2] / spacing[:2]).T.ravel()]
    each.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]  # between rows, between columns
    each.SliceThickness = _decimal(spacing[2])


def _decimal(value: float) -> str:
    """A number in the 16 characters that DICOM grants it."""
    return f"{value:.9f}"[:16]


def _slice(hu: np.ndarray, slope: float, intercept: float, *, signed: bool, bits: int) -> Dataset:
    each = Dataset()
    each.file_meta = FileMetaDataset()
    each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for name, value in IDENTITY.items():
        setattr(each, name, value)
    each.PatientSex, each.StudyDate, each.StudyTime, each.StudyID = "O", "20260102", "101500", "7"
    set_class(each, CTImageStorage, "CT")
    each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    each.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    each.Manufacturer, each.KVP = "A maker", "120"
    each.Rows, each.Columns = hu.shape
    each.SamplesPerPixel, each.PhotometricInterpretation = 1, "MONOCHROME2"
    each.BitsAllocated, each.BitsStored, each.HighBit = 16, bits, bits - 1
    each.PixelRepresentation = int(signed)
    each.RescaleSlope, each.RescaleIntercept, each.RescaleType = str(slope), str(intercept), "HU"
    set_pixels(each, hu)
    return each


def set_class(each: Dataset, sop_class: UID, modality: str) -> None:
    each.SOPClassUID = each.file_meta.MediaStorageSOPClassUID = sop_class
    each.Modality = modality


def set_pixels(each: Dataset, hu: np.ndarray) -> None:
    """Store HU (rows, columns) under the slice's own rescale."""
    stored = np.rint((hu - float(each.RescaleIntercept)) / float(each.RescaleSlope))
    kind = np.int16 if each.PixelRepresentation else np.uint16
    assert np.iinfo(kind).min <= stored.min() and stored.max() <= np.iinfo(kind).max
    each.PixelData = stored.astype(kind).tobytes()
    each["PixelData"].VR = "OW"


def compressed(slices: Iterable[Dataset], syntax: UID) -> list[Dataset]:
    """The slices in another transfer syntax, without loss."""
    packed = list(slices)
    for each in packed:
        each.compress(syntax, generate_instance_uid=False)
    return packed


def moved(slices: list[Dataset], shift: Callable[[int], Sequence[float]]) -> list[Dataset]:
    """Move slice 0, 1, 2, … by ``shift(place)`` in LPS mm: gantry tilt, uneven spacing."""
    for place, each in enumerate(slices):
        position = np.array([float(value) for value in each.ImagePositionPatient]) + np.asarray(shift(place))
        each.ImagePositionPatient = [_decimal(value) for value in position]
    return slices


def one_series(*parts: list[Dataset]) -> list[Dataset]:
    """Slices of several series as if they were of the first."""
    slices = [each for part in parts for each in part]
    for each in slices:
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(each, name, slices[0][name].value)
    return slices


def tilted(slices: list[Dataset], degrees: float, spacing: float = 3.0) -> list[Dataset]:
    """An axial series whose gantry was tilted: each slice lies further back than the one before."""
    return moved(slices, lambda place: (0, place * spacing * np.tan(np.deg2rad(degrees)), 0))


def localiser(study: str) -> list[Dataset]:
    """A coronal overview of one image."""
    (image,) = ct_slices(make_scan(3, (37, 8, 34)), "LIP", number=1, study=study)[:1]
    image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    return [image]


def magnetic_resonance(number: int = 5) -> list[Dataset]:
    slices = ct_slices(number=number)
    for each in slices:
        set_class(each, MRImageStorage, "MR")
        del each.RescaleSlope, each.RescaleIntercept, each.RescaleType
    return slices


def in_colour(slices: list[Dataset]) -> list[Dataset]:
    for each in slices:
        each.SamplesPerPixel, each.PhotometricInterpretation, each.PlanarConfiguration = 3, "RGB", 0
        each.BitsAllocated, each.BitsStored, each.HighBit = 8, 8, 7
        each.PixelData = bytes(each.Rows * each.Columns * 3 + each.Rows * each.Columns % 2)
    return slices


def enhanced(slices: list[Dataset]) -> Dataset:
    """The slices as one enhanced multi-frame image, frames in the order given."""
    whole = Dataset()
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    per_slice = {"ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "InstanceNumber"}
    per_slice |= {"RescaleSlope", "RescaleIntercept", "RescaleType", "PixelData", "SOPInstanceUID"}
    for element in slices[0]:
        if element.keyword not in per_slice:
            whole.add(element)
    set_class(whole, EnhancedCTImageStorage, "CT")
    whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    whole.InstanceNumber, whole.NumberOfFrames = 1, len(slices)
    whole.ContentDate, whole.ContentTime = "20260102", "101500"
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = _group(slices[0], "ImageOrientationPatient")
    shared.PixelMeasuresSequence = _group(slices[0], "PixelSpacing", "SliceThickness")
    for each in slices:
        frame = Dataset()
        frame.PlanePositionSequence = _group(each, "ImagePositionPatient")
        frame.PixelValueTransformationSequence = _group(each, "RescaleSlope", "RescaleIntercept", "RescaleType")
        frames.append(frame)
    whole.SharedFunctionalGroupsSequence = Items([shared])
    whole.PerFrameFunctionalGroupsSequence = Items(frames)
    whole.PixelData = b"".join(each.PixelData for each in slices)
    whole["PixelData"].VR = "OW"
    return whole


def _group(source: Dataset, *names: str) -> Items:
    group = Dataset()
    for name in names:
        setattr(group, name, source[name].value)
    return Items([group])


def write_series(folder: Path, slices: Iterable[Dataset], *, shuffle: bool = False, prefix: str = "IM") -> Path:
    """Write each slice to a file of its own, with names that follow its order, or are shuffled."""
    folder.mkdir(parents=True, exist_ok=True)
    slices = list(slices)
    numbers = list(range(len(slices)))
    if shuffle:
        random.Random(0).shuffle(numbers)
    for number, each in zip(numbers, slices, strict=True):
        each.save_as(folder / f"{prefix}{number:04d}", enforce_file_format=True)
    return folder


def write_zip(path: Path, folder: Path) -> Path:
    """Pack what lies in a folder, with the folders within."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())  # before the zip itself may lie there
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(folder))
    return path
