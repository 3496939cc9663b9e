"""A scan, or a label map, as it is read: its voxels in canonical axes, and where they came from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from nibabel import orientations

from autosam_inference.scans.grid import Grid, Volume
from autosam_inference.scans.nifti import open_nifti, read_voxels


@dataclass(frozen=True)
class Scan:
    """One scan.

    Attributes:
        volume: canonical, in HU; class ids where it is a label map.
        grid: of the file it came from.
        source: that file; None where it never was one.
        notes: what was put right as it was read, and what a person should know.
        checked: whether its values were found to be those of a CT (``plausibility.checked_ct``).
    """

    volume: Volume
    grid: Grid
    source: Path | None = None
    notes: tuple[str, ...] = ()
    checked: bool = False

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """A scan from memory: canonical axes, with the first voxel at the origin.

        >>> Scan.of(Volume(np.zeros((4, 3, 2)), (5.0, 1.0, 0.5))).grid.orientation
        'RAS'
        """
        depth, height, width = volume.array_DHW.shape
        return cls(volume, Grid((width, height, depth), np.diag([*reversed(volume.spacing_DHW), 1.0])))


def read_scan(path: Path | str) -> Scan:
    """Read one scan or label map from a NIfTI file.

    Its voxels are float32 where the file holds or scales to real numbers, else the file's integers; NaN stay. A fourth
    axis of length 1 is dropped.

    Raises:
        ScanError: the file is missing, damaged, not one 3D volume, or has an impossible voxel size.
    """
    path = Path(path)
    file = open_nifti(path)
    array_xyz = read_voxels(file)
    grid = Grid(file.shape_xyz, file.affine, header=file.image.header)
    canonical = orientations.apply_orientation(array_xyz, orientations.io_orientation(grid.affine))
    array_DHW = np.ascontiguousarray(canonical.transpose(2, 1, 0))  # x, y, z → z, y, x
    notes = file.notes
    if len(file.image.shape) > 3:
        notes = (*notes, f"{path} is 4D with a single frame: read as 3D.")
    return Scan(Volume(array_DHW, grid.spacing_DHW), grid, path, notes)
