"""NIfTI files from anywhere, opened with distrust: what is wrong is said, with the file and the remedy."""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.fileholders import FileHolder
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from autosam_inference.bounds import SPACING_LIMITS_MM
from autosam_inference.errors import UserError
from autosam_inference.scans.names import SUFFIXES
from autosam_inference.scans.sniffing import GZIP, first_bytes, what_it_is
from autosam_models.sizes import size_text

MOST_VOXELS = 2**31
MOST_BYTES = 2**33
"""Of all voxels of a file, as they are stored: above them a file is a mistake, or made to fill a memory."""
MOST_SHEAR_DEGREES = 1.0
_SHEAR_NOISE_DEGREES = 0.01
_APART_VOXELS = 0.1  # of a corner by the two affines of a file: more is worth a word
_APART_SHARE = 0.01  # of a voxel size by two places of a header: volumes of organs are wrong by as much
_TIGHTEST = 1032  # bytes that a byte of gzip can stand for at most
_WIDE = 512  # voxels along an axis: of 1 mm, wider than a patient
_PLACES = range(1, 6)  # codes of what an sform or a qform is in: scanner, aligned, Talairach, MNI, template
_UNITS = {0: ("mm", 1.0), 1: ("metre", 1000.0), 2: ("mm", 1.0), 3: ("micron", 1e-3)}

_UNREADABLE = (ImageFileError, HeaderDataError, WrapStructError, EOFError, zlib.error, ValueError)


class ScanError(UserError):
    """A scan that cannot be used; the message names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class NiftiFile:
    """A NIfTI file whose header is in order; its voxels are on disk.

    Attributes:
        image: three axes, or a fourth one of length 1.
        affine: of the voxels as stored, in mm whatever the file's unit is.
        notes: what the header says that a person should know.
    """

    path: Path
    image: nib.Nifti1Image
    affine: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def shape_xyz(self) -> tuple[int, int, int]:
        """Voxels along the axes as stored."""
        x, y, z = self.image.shape[:3]
        return x, y, z


def open_nifti(path: Path) -> NiftiFile:
    """Open the file and check its header; the voxels stay on disk.

    Raises:
        ScanError: no such file, not NIfTI, or not named as what it is; truncated in the header, or too short for the
            voxels that it claims; not one 3D volume of plain numbers and of two slices or more; voxel size zero,
            negative or absurd; no affine, none that is one, or axes that are not at right angles.
    """
    _check_file(path)
    try:
        header = _written_header(path)
        _check_qform(path, header)
        kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
        # nib.load does not find ``scan.Nii``. A map of the file would show what is written to it while it is used.
        image = kind.from_file_map({"image": FileHolder(str(path))}, mmap=False)
    except OSError as error:
        raise unreadable(path, error) from None
    except _UNREADABLE as error:
        raise _not_nifti(path, error) from None
    if not isinstance(image, nib.Nifti1Image):
        raise ScanError(f"{path} holds no NIfTI image: convert the scan to NIfTI (e.g. with dcm2niix).")
    notes: list[str] = []
    factor = _mm_per_unit(path, header, notes)
    _check_written(path, header, factor)
    _check_shape(path, image)
    _check_length(path, image)
    affine = image.affine.copy()
    affine[:3] *= factor
    _check_affine(path, affine, notes)
    _compare_spacings(path, image, factor, notes)
    _compare_affines(path, image, notes)
    if max(image.shape[:3]) >= _WIDE and (nib.affines.voxel_sizes(affine) == 1).all():
        notes.append(
            f"{path}: WARNING: its voxels are exactly 1 × 1 × 1 mm, which for {size_text(image.shape[:3])} voxels is "
            "often what is left where a voxel size was lost: check it."
        )
    return NiftiFile(path, image, affine, tuple(notes))


def read_voxels(file: NiftiFile) -> np.ndarray:
    """The voxels, three axes as stored, in memory whatever becomes of the file; scaled ones as float32.

    A compressed file is read to its end, since only there stands the checksum of what was unpacked.

    Raises:
        ScanError: the file ends before its voxels do, or they were damaged.
    """
    path = file.path
    try:
        array = _unpacked(file) if path.name.lower().endswith(".gz") else _stored(file.image)
    except (*_UNREADABLE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, error) from None
        raise ScanError(f"{path} is truncated or damaged ({_one_line(error)}): copy or download it again.") from None
    array = array.reshape(array.shape[:3])
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else np.asarray(array)


def unreadable(path: Path, error: OSError) -> ScanError:
    """A file that the system does not let us read, or that gzip finds damaged."""
    if error.errno is None:  # gzip's own
        return ScanError(f"{path} is truncated or damaged ({_one_line(error)}): copy or download it again.")
    return ScanError(f"{path} cannot be read ({error.strerror}): check the path, its permissions and the disk.")


def _unpacked(file: NiftiFile) -> np.ndarray:
    with gzip.open(file.path) as stream:
        array = _stored(type(file.image).from_stream(stream))
        while stream.read(1 << 20):
            pass
    return array


def _stored(image: nib.Nifti1Image) -> np.ndarray:
    proxy: Any = image.dataobj  # nibabel's ArrayProxy
    scaled = (proxy.slope, proxy.inter) != (1, 0)
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are counted as such
        return np.asarray(proxy, np.float32) if scaled else proxy.get_unscaled()  # never through float64


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check_file(path: Path) -> None:
    """Is there a file that is what its name says?"""
    if path.is_dir():
        raise ScanError(f"{path} is a folder: name the scan's file in it.")
    if not path.is_file():
        raise ScanError(f"{path} does not exist: check the path.")
    if not path.name.lower().endswith(SUFFIXES):
        raise ScanError(f"{path} is not named .nii or .nii.gz: convert the scan to NIfTI (e.g. with dcm2niix).")
    try:
        start, kind = first_bytes(path), what_it_is(path)
    except OSError as error:
        raise unreadable(path, error) from None
    if not start:
        raise ScanError(f"{path} is empty: copy or download it again.")
    if kind is not None:
        raise ScanError(f"{path} is {kind}.")
    named, packed = path.name.lower().endswith(".gz"), start.startswith(GZIP)
    if named and not packed and _is_header(start):
        raise ScanError(f"{path} is not compressed, though its name ends in .gz: rename it to {path.with_suffix('')}.")
    if packed and not named:
        raise ScanError(f"{path} is compressed with gzip: rename it to {path}.gz.")


def _is_header(start: bytes) -> bool:
    return any(int.from_bytes(start[:4], order) in (348, 540) for order in ("little", "big"))


def _not_nifti(path: Path, error: Exception) -> ScanError:
    return ScanError(
        f"{path} cannot be read as NIfTI ({_one_line(error)}): the file is damaged or truncated, copy it again."
    )


def _written_header(path: Path) -> Any:
    """The header as it stands in the file: nibabel itself would quietly turn a voxel size of zero into 1 mm."""
    with ImageOpener(str(path)) as file:
        start = file.read(4)
        file.seek(0)
        second = int.from_bytes(start, "little") == 540 or int.from_bytes(start, "big") == 540
        return (nib.Nifti2Header if second else nib.Nifti1Header).from_fileobj(file, check=False)


def _mm_per_unit(path: Path, header: Any, notes: list[str]) -> float:
    """The unit of length that the header names; one that it does not know, or none, is mm."""
    unit, factor = _UNITS.get(int(header["xyzt_units"]) & 7, ("mm", 1.0))
    if factor != 1:
        notes.append(f"{path} gives lengths in {unit}: converted to mm.")
    return factor


def _check_written(path: Path, header: Any, factor: float) -> None:
    """Facts of the header that nibabel passes over or puts right without a word."""
    magic = bytes(header["magic"].tobytes()).rstrip(b"\0").rstrip(b"\r\n\x1a\n\0")
    if magic in (b"ni1", b"ni2"):
        raise ScanError(f"{path} is the header of a pair (.hdr and .img): convert the pair to one .nii file.")
    least = 544 if isinstance(header, nib.Nifti2Header) else 352
    offset = float(header["vox_offset"])
    if magic in (b"n+1", b"n+2") and not (offset >= least and offset == int(offset)):
        raise ScanError(
            f"{path} says that its voxels begin at byte {offset:g}, inside its header of {least} bytes: it was written "
            "by a faulty program; export it again."
        )
    spacing = np.abs(header["pixdim"][1:4]) * factor if int(header["dim"][0]) >= 3 else np.ones(3)
    _check_spacing(path, spacing)
    codes = int(header["sform_code"]), int(header["qform_code"])
    if not any(code in _PLACES for code in codes):  # nibabel takes a code that it does not know for 0
        said = "both 0" if codes == (0, 0) else f"{codes[0]} and {codes[1]}, which the format does not know"
        raise ScanError(
            f"{path} does not say how it lies in the patient (its sform and qform codes are {said}), so that left and "
            "right cannot be told: export it again with its orientation, or copy it from the scan it was made from."
        )


def _check_qform(path: Path, header: Any) -> None:
    """Where the qform is all there is, it has to be one: nibabel would only say that the file cannot be read."""
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) != 0 and not _is_rotation(header):
        raise ScanError(
            f"{path} does not say how it lies in the patient (its qform is no rotation, and it has no sform), so that "
            "left and right cannot be told: export it again with its orientation, or copy it from the scan it was made "
            "from."
        )


def _is_rotation(header: Any) -> bool:
    """Whether the qform's quaternion is one. Of its four numbers a file holds three; rounded up, they are too long."""
    try:
        return bool(np.isfinite(header.get_qform_quaternion()).all())
    except ValueError:
        return False


def _check_spacing(path: Path, spacing: np.ndarray) -> None:
    low, high = SPACING_LIMITS_MM
    if not (np.isfinite(spacing).all() and (spacing >= low).all() and (spacing <= high).all()):
        raise ScanError(
            f"{path} has a voxel size of {size_text(spacing)} mm, outside {low:g} to {high:g} mm: export it again "
            "with the right voxel size."
        )


def _check_shape(path: Path, image: nib.Nifti1Image) -> None:
    shape, kind = image.shape, image.get_data_dtype()
    if kind.kind not in "iuf":
        raise ScanError(f"{path} holds {kind} voxels, not plain numbers: export one grey volume.")
    if len(shape) < 3 or math.prod(shape[3:]) != 1:
        raise ScanError(
            f"{path} has shape {' × '.join(map(str, shape))}: one 3D volume is needed; "
            "extract a single frame or channel."
        )
    if not 0 < math.prod(shape) <= MOST_VOXELS:
        raise ScanError(f"{path} claims {math.prod(shape):,} voxels: the header is damaged, export it again.")
    if min(shape[:3]) < 2:
        raise ScanError(f"{path} is a single slice ({size_text(shape[:3])} voxels): export the whole volume.")


def _check_length(path: Path, image: nib.Nifti1Image) -> None:
    """Compare what the header claims with the file's length, before memory is taken for it."""
    claimed = math.prod(image.shape) * image.get_data_dtype().itemsize
    if claimed > MOST_BYTES:
        raise ScanError(
            f"{path} claims {claimed:,} bytes of voxels, more than {MOST_BYTES:,}: export it as 16-bit integers, or "
            "the part that is needed."
        )
    proxy: Any = image.dataobj  # nibabel's ArrayProxy
    length = path.stat().st_size
    most = length * _TIGHTEST if path.name.lower().endswith(".gz") else length
    if most < proxy.offset + claimed:
        raise ScanError(
            f"{path} is truncated or damaged: its header claims {claimed:,} bytes of voxels, which its {length:,} "
            "bytes cannot hold; copy or download it again."
        )


def _check_affine(path: Path, affine: np.ndarray, notes: list[str]) -> None:
    if not np.isfinite(affine).all():
        raise ScanError(f"{path} has an affine with NaN or infinite values: export it again.")
    sizes = nib.affines.voxel_sizes(affine)
    _check_spacing(path, sizes)
    directions = affine[:3, :3] / sizes
    if abs(np.linalg.det(directions)) < 0.1:  # 1 for perpendicular axes, 0 for axes in one plane
        raise ScanError(f"{path} has an affine whose axes lie in one plane: export it again.")
    products = directions.T @ directions
    shear = math.degrees(math.asin(min(1.0, float(np.abs(products - np.diag(np.diag(products))).max()))))
    if shear > MOST_SHEAR_DEGREES:
        raise ScanError(
            f"{path} has axes that are {shear:.1f}° off a right angle (a gantry tilt, or a registration's shear): "
            "resample it to perpendicular axes."
        )
    if shear > _SHEAR_NOISE_DEGREES:
        notes.append(f"{path} has axes that are {shear:.2g}° off a right angle: read as perpendicular.")


def _compare_spacings(path: Path, image: nib.Nifti1Image, factor: float, notes: list[str]) -> None:
    """A file with an sform has its voxel size there and in ``pixdim``, both along the axes as stored."""
    if int(image.header["sform_code"]) == 0:
        return
    used, other = factor * nib.affines.voxel_sizes(image.affine), factor * np.abs(image.header["pixdim"][1:4])
    if not (np.abs(used - other) <= _APART_SHARE * other).all():
        notes.append(
            f"{path}: WARNING: its header has two voxel sizes, {size_text(used)} mm by its sform and "
            f"{size_text(other)} mm by its pixdim: the sform's is used. If it is wrong, so are all volumes: check it."
        )


def _compare_affines(path: Path, image: nib.Nifti1Image, notes: list[str]) -> None:
    """A file may have two affines; where they disagree, the sform counts, as everywhere."""
    if int(image.header["sform_code"]) == 0 or int(image.header["qform_code"]) == 0:
        return
    if not _is_rotation(image.header):
        notes.append(f"{path} has two affines, and its qform is no rotation: the sform is used.")
        return
    sform, qform = image.get_sform(), image.get_qform()
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (np.array(image.shape[:3]) - 1)
    apart = np.linalg.norm(nib.affines.apply_affine(sform, corners) - nib.affines.apply_affine(qform, corners), axis=1)
    if not apart.max() <= _APART_VOXELS * nib.affines.voxel_sizes(sform).min():  # NaN disagrees too
        notes.append(
            f"{path} has two affines, sform and qform, that disagree ({apart.max():.3g} apart at a corner): the sform "
            "is used."
        )
