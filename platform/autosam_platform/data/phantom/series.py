"""A phantom as a scanner exports a scan: an axial CT series in DICOM, of a patient who does not exist."""

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from autosam_inference.errors import UserError
from autosam_inference.files import atomic_folder
from autosam_platform.data.phantom.case import PHANTOM_VERSION, make_phantom
from autosam_platform.data.phantom.parts import Part

_NAME = "slice-{:04d}.dcm"
_AIR_HU = -1024  # what a stored 0 stands for
_EXAMINED = {each: each.value.replace("-", "").upper() for each in Part}  # DICOM PS3.16, Annex L: CHESTABDOMEN, …


class SeriesPlaceError(UserError):
    """A folder that is not this phantom's."""


def write_series(folder: Path, seed: int, part: Part = Part.ABDOMEN) -> int:
    """Write ``part`` of the phantom of ``seed`` as a DICOM series in ``folder``, a file per slice; their number.

    The same seed and part give the same UIDs. A folder that holds the series already is left as it is.

    Raises:
        SeriesPlaceError: the folder is there and holds something else.
    """
    if folder.exists():
        return _slices_of(folder, seed, part)
    slices = list(_slices(seed, part))
    with atomic_folder(folder) as temporary:
        for each in slices:
            each.save_as(temporary / _NAME.format(each.InstanceNumber), enforce_file_format=True)
    return len(slices)


def _slices_of(folder: Path, seed: int, part: Part) -> int:
    """How many files there are, if all are of the series: a folder appears whole, so none is missing."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    series = str(_uid(seed, part, "series")).encode()
    expected = [_NAME.format(number) for number in range(1, len(files) + 1)]
    if not files or [file.name for file in files] != expected or any(series not in each.read_bytes() for each in files):
        raise SeriesPlaceError(
            f"{folder} is there already, and is not the {part} of phantom {seed}: name a new folder."
        )
    return len(files)


def _slices(seed: int, part: Part) -> Iterator[FileDataset]:
    phantom = make_phantom(seed, part=part)
    image = nib.Nifti1Image(phantom.image_xyz, phantom.affine)
    turn = ornt_transform(io_orientation(phantom.affine), axcodes2ornt("LPS"))  # rows go left, columns back
    turned = image.as_reoriented(turn)
    to_lps = np.diag([-1.0, -1.0, 1.0]) @ turned.affine[:3]
    for place, hu_XY in enumerate(np.moveaxis(np.asarray(turned.dataobj), 2, 0)):
        yield _slice(seed, part, place, hu_XY.T, to_lps)


def _slice(seed: int, part: Part, place: int, hu_YX: NDArray[np.int16], to_lps: NDArray[np.float64]) -> FileDataset:
    """One slice, with all that DICOM's CT image asks for.

    Args:
        to_lps: 3 × 4, from column, row and slice to mm.
    """
    uid = _uid(seed, part, f"slice {place}")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    each = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    each.SOPClassUID, each.SOPInstanceUID = CTImageStorage, uid
    _tell_of_whom(each, seed, part)
    each.InstanceNumber, each.AcquisitionNumber = place + 1, 1
    _place(each, to_lps, place)
    _store(each, hu_YX)
    return each


def _tell_of_whom(each: FileDataset, seed: int, part: Part) -> None:
    each.PatientName, each.PatientID = f"Phantom^{seed}", f"PHANTOM-{seed}"
    each.PatientBirthDate, each.PatientSex = "", "O"
    each.StudyInstanceUID, each.SeriesInstanceUID = _uid(seed, part, "study"), _uid(seed, part, "series")
    each.FrameOfReferenceUID, each.PositionReferenceIndicator = _uid(seed, part, "frame"), ""
    each.StudyDate, each.StudyTime, each.StudyID, each.SeriesNumber = "20260101", "120000", str(seed), 1
    each.AccessionNumber, each.ReferringPhysicianName, each.PatientPosition = "", "", "HFS"
    each.Modality, each.Manufacturer, each.KVP = "CT", "AutoSAM phantom", "120"
    each.SeriesDescription, each.BodyPartExamined = f"Synthetic {part}", _EXAMINED[part]
    each.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]


def _place(each: FileDataset, to_lps: NDArray[np.float64], place: int) -> None:
    spacing = np.linalg.norm(to_lps[:, :3], axis=0)
    each.ImagePositionPatient = [_decimal(value) for value in to_lps[:, 2] * place + to_lps[:, 3]]
    each.ImageOrientationPatient = [_decimal(value) for value in (to_lps[:, :2] / spacing[:2]).T.ravel()]
    each.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]  # between rows, between columns
    each.SliceThickness = _decimal(spacing[2])


def _store(each: FileDataset, hu_YX: NDArray[np.int16]) -> None:
    each.Rows, each.Columns = hu_YX.shape
    each.SamplesPerPixel, each.PhotometricInterpretation = 1, "MONOCHROME2"
    each.BitsAllocated, each.BitsStored, each.HighBit, each.PixelRepresentation = 16, 16, 15, 0
    each.RescaleSlope, each.RescaleIntercept, each.RescaleType = "1", str(_AIR_HU), "HU"
    each.PixelData = (hu_YX.astype(np.int32) - _AIR_HU).astype("<u2").tobytes()
    each["PixelData"].VR = "OW"


def _uid(seed: int, part: Part, what: str) -> UID:
    return generate_uid(entropy_srcs=["autosam phantom", str(PHANTOM_VERSION), str(seed), str(part), what])


def _decimal(value: float) -> str:
    """A number in the 16 characters that DICOM grants it."""
    return f"{value:.9f}"[:16]
