"""NIfTI files from anywhere, opened with distrust: what is wrong is said, with the file and the remedy."""

import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from autosam_inference.bounds import SPACING_LIMITS_MM
from autosam_inference.errors import UserError
from autosam_inference.scans.names import SUFFIXES
from autosam_models.sizes import size_text

MOST_VOXELS = 2**31

_UNREADABLE = (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, zlib.error, ValueError)


class ScanError(UserError):
    """A scan that cannot be used; the message names the file, what is wrong and what to do."""


def open_nifti(path: Path) -> nib.Nifti1Image:
    """Open the file and check its header; the voxels stay on disk.

    The image has three axes, or a fourth one of length 1.

    Raises:
        ScanError: no such file, not NIfTI, truncated in the header, not one 3D volume, voxel size zero,
            negative or absurd, or an affine that is none.
    """
    if not path.is_file():
        raise ScanError(f"{path} does not exist: check the path.")
    if not path.name.endswith(SUFFIXES):
        raise ScanError(f"{path} is not named .nii or .nii.gz: convert the scan to NIfTI (e.g. with dcm2niix).")
    try:
        _check_written_spacing(path)
        image = nib.load(path)
    except ScanError:
        raise
    except _UNREADABLE as error:
        raise ScanError(
            f"{path} cannot be read as NIfTI ({_one_line(error)}): the file is damaged or truncated, copy it again."
        ) from None
    if not isinstance(image, nib.Nifti1Image):
        raise ScanError(f"{path} holds no NIfTI image: convert the scan to NIfTI (e.g. with dcm2niix).")
    _check_shape(path, image)
    _check_affine(path, image.affine)
    return image


def read_voxels(path: Path, image: nib.Nifti1Image) -> np.ndarray:
    """The voxels of an image that ``open_nifti`` gave, three axes as stored; scaled ones as float32.

    Raises:
        ScanError: the file ends before its voxels do, or they are no plain numbers.
    """
    stored: Any = image.dataobj  # nibabel's ArrayProxy
    scaled = (stored.slope, stored.inter) != (1, 0)
    try:
        array = np.asarray(stored, np.float32) if scaled else stored.get_unscaled()  # never through float64
    except _UNREADABLE as error:
        raise ScanError(f"{path} is truncated or damaged ({_one_line(error)}): copy or download it again.") from None
    if array.dtype.kind not in "iuf":
        raise ScanError(f"{path} holds {array.dtype} voxels, not plain numbers: export one grey volume.")
    array = array.reshape(array.shape[:3])
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else np.asarray(array)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check_written_spacing(path: Path) -> None:
    """Voxel sizes as they stand in the file: nibabel itself would quietly turn a zero into 1 mm."""
    with ImageOpener(str(path)) as file:
        start = file.read(4)
        file.seek(0)
        second = int.from_bytes(start, "little") == 540 or int.from_bytes(start, "big") == 540
        header = (nib.Nifti2Header if second else nib.Nifti1Header).from_fileobj(file, check=False)
    spacing = np.abs(header["pixdim"][1:4]) if int(header["dim"][0]) >= 3 else np.ones(3)
    _check_spacing(path, spacing)


def _check_spacing(path: Path, spacing: np.ndarray) -> None:
    low, high = SPACING_LIMITS_MM
    if not (np.isfinite(spacing).all() and (spacing >= low).all() and (spacing <= high).all()):
        raise ScanError(
            f"{path} has a voxel size of {size_text(spacing)} mm, outside {low:g} to {high:g} mm: export it again "
            "with the right voxel size."
        )


def _check_shape(path: Path, image: nib.Nifti1Image) -> None:
    shape = image.shape
    if len(shape) < 3 or math.prod(shape[3:]) != 1:
        raise ScanError(
            f"{path} has shape {' × '.join(map(str, shape))}: one 3D volume is needed; "
            "extract a single frame or channel."
        )
    if not 0 < math.prod(shape) <= MOST_VOXELS:
        raise ScanError(f"{path} claims {math.prod(shape):,} voxels: the header is damaged, export it again.")


def _check_affine(path: Path, affine: np.ndarray) -> None:
    if not np.isfinite(affine).all():
        raise ScanError(f"{path} has an affine with NaN or infinite values: export it again.")
    _check_spacing(path, nib.affines.voxel_sizes(affine))
    directions = affine[:3, :3] / nib.affines.voxel_sizes(affine)
    if abs(np.linalg.det(directions)) < 0.1:  # 1 for perpendicular axes, 0 for axes in one plane
        raise ScanError(f"{path} has an affine whose axes lie in one plane: export it again.")
