"""A scan, or a label map, as it is read: its voxels in canonical axes, and where they came from."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from nibabel import orientations

from autosam_inference.scans.dicom_files import is_dicom
from autosam_inference.scans.grid import Grid, Volume
from autosam_inference.scans.nifti import ScanError, open_nifti, read_voxels

if TYPE_CHECKING:
    from autosam_inference.scans.dicom import DicomSeries


@dataclass(frozen=True)
class Scan:
    """One scan.

    Attributes:
        volume: canonical, in HU; class ids where it is a label map.
        grid: of the file it came from.
        source: that file, folder or zip; None where it never was one.
        notes: what was put right as it was read, and what a person should know.
        checked: whether its values were found to be those of a CT (``plausibility.checked_ct``).
        series: the DICOM series it is, by which a label map is joined to it; None where it is none.
    """

    volume: Volume
    grid: Grid
    source: Path | None = None
    notes: tuple[str, ...] = ()
    checked: bool = False
    series: "DicomSeries | None" = None

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """A scan from memory: canonical axes, with the first voxel at the origin.

        >>> Scan.of(Volume(np.zeros((4, 3, 2)), (5.0, 1.0, 0.5))).grid.orientation
        'RAS'
        """
        depth, height, width = volume.array_DHW.shape
        return cls(volume, Grid((width, height, depth), np.diag([*reversed(volume.spacing_DHW), 1.0])))


def read_scan(
    path: Path | str, *, series: str | None = None, straighten: bool = False, files: Collection[str] | None = None
) -> Scan:
    """Read one scan or label map from a NIfTI file, or a CT series as DICOM: a folder, a zip, or one of its files.

    Its voxels are float32 where the file holds or scales to real numbers, else the file's integers; NaN stay. A fourth
    axis of length 1 is dropped.

    Args:
        series: SeriesInstanceUID of the DICOM series; the CT with most slices where none is given.
        straighten: resample tilted, shifted or unevenly spaced DICOM slices to an even grid, instead of refusing them.
        files: names, in ``path``, of the only DICOM files to look at, where the series was found before.

    Raises:
        ScanError: the file is missing, damaged, not one 3D volume, or has an impossible voxel size.
    """
    path = Path(path)
    if is_dicom(path):
        from autosam_inference.scans.dicom import read_dicom  # imported where it is needed

        dicom = read_dicom(path, series, straighten=straighten, files=files)
        array_xyz, grid = dicom.array_xyz, Grid(_shape(dicom.array_xyz), dicom.affine)
        return Scan(canonical(array_xyz, grid), grid, path, dicom.notes, series=dicom.series)
    _refuse_choices_of_dicom(path, series, straighten=straighten)
    file = open_nifti(path)
    array_xyz = read_voxels(file)
    grid = Grid(file.shape_xyz, file.affine, header=file.image.header)
    notes = file.notes
    if len(file.image.shape) > 3:
        notes = (*notes, f"{path} is 4D with a single frame: read as 3D.")
    return Scan(canonical(array_xyz, grid), grid, path, notes)


def read_grid(path: Path | str) -> Grid:
    """The grid of a scan as its headers tell it, NIfTI or DICOM; the voxels stay on disk.

    Raises:
        ScanError: ``read_scan`` would refuse the scan for what its headers say.
    """
    path = Path(path)
    if is_dicom(path):
        from autosam_inference.scans.dicom import read_dicom_grid

        return Grid(*read_dicom_grid(path))
    file = open_nifti(path)
    return Grid(file.shape_xyz, file.affine)


def check_scan(path: Path | str, *, series: str | None = None, straighten: bool = False) -> None:
    """See that a path names a scan, NIfTI or DICOM, by its headers; the arguments are those of ``read_scan``.

    Raises:
        ScanError: ``read_scan`` would refuse the scan for what its headers say.
    """
    path = Path(path)
    if not is_dicom(path):
        _refuse_choices_of_dicom(path, series, straighten=straighten)
        open_nifti(path)
        return
    from autosam_inference.scans.dicom import check_dicom

    check_dicom(path, series, straighten=straighten)


def _refuse_choices_of_dicom(path: Path, series: str | None, *, straighten: bool) -> None:
    if series is not None or straighten:
        raise ScanError(f"{path} is no DICOM, which alone has series and slices to straighten: leave that out.")


def _shape(array_xyz: np.ndarray) -> tuple[int, int, int]:
    x, y, z = array_xyz.shape
    return x, y, z


def canonical(array_xyz: np.ndarray, grid: Grid) -> Volume:
    """An array as the file on ``grid`` stores it, in canonical axes."""
    turned = orientations.apply_orientation(array_xyz, orientations.io_orientation(grid.affine))
    return Volume(np.ascontiguousarray(turned.transpose(2, 1, 0)), grid.spacing_DHW)  # x, y, z → z, y, x
