"""Volumes, the grids of the files they come from, and the way between the two.

Inside the platform every volume is canonical RAS, stored D, H, W = z, y, x: D inferior → superior,
H posterior → anterior, W left → right. A NIfTI's array is X, Y, Z in whatever orientation its affine says.
"""

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

from autosam_inference.scans.nifti import open_nifti, read_voxels


@dataclass(frozen=True)
class Volume:
    """A canonical RAS array and its voxel spacing in mm, both D, H, W."""

    array_DHW: np.ndarray
    spacing_DHW: tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """The voxel grid of a NIfTI file: its shape and axes as stored, and the header they came with."""

    shape_xyz: tuple[int, int, int]
    affine: np.ndarray
    header: nib.Nifti1Header | None = field(default=None, kw_only=True, repr=False, compare=False)

    @property
    def orientation(self) -> str:
        """Where the three axes point, e.g. ``"LPS"``."""
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def canonical_affine(self) -> np.ndarray:
        """Affine of the same voxels with their axes reordered and flipped to RAS (still X, Y, Z)."""
        return self.affine @ orientations.inv_ornt_aff(orientations.io_orientation(self.affine), self.shape_xyz)

    @property
    def shape_DHW(self) -> tuple[int, int, int]:
        """Size along the canonical axes, voxels."""
        order = np.argsort(orientations.io_orientation(self.affine)[:, 0])  # stored axis of each of x, y, z
        x, y, z = (self.shape_xyz[axis] for axis in order)
        return z, y, x

    @property
    def spacing_DHW(self) -> tuple[float, float, float]:
        """Voxel spacing along the canonical axes, mm."""
        x, y, z = (float(value) for value in nib.affines.voxel_sizes(self.canonical_affine))
        return z, y, x


def read_scan(path: Path) -> tuple[Volume, Grid]:
    """Read one scan or label map.

    Returns:
        the canonical volume (float32 where the file holds or scales to real numbers, else its integers; NaN
        stay) and the file's own grid. A fourth axis of length 1 is dropped.

    Raises:
        ScanError: the file is missing, damaged, not one 3D volume, or has an impossible voxel size.
    """
    path = Path(path)
    image = open_nifti(path)
    array_xyz = read_voxels(path, image)
    shape = (array_xyz.shape[0], array_xyz.shape[1], array_xyz.shape[2])
    grid = Grid(shape, image.affine, header=image.header)
    canonical = orientations.apply_orientation(array_xyz, orientations.io_orientation(grid.affine))
    array_DHW = np.ascontiguousarray(canonical.transpose(2, 1, 0))  # x, y, z → z, y, x
    return Volume(array_DHW, grid.spacing_DHW), grid


def to_grid(label_DHW: np.ndarray, grid: Grid) -> np.ndarray:
    """Bring a canonical array at the scan's own spacing back to the axes of the scan's file.

    Raises:
        ValueError: the array does not have the grid's (canonical) shape.
    """
    canonical_xyz = label_DHW.transpose(2, 1, 0)  # z, y, x → x, y, z
    from_ras = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.io_orientation(grid.affine))
    stored_xyz = orientations.apply_orientation(canonical_xyz, from_ras)
    if stored_xyz.shape != tuple(grid.shape_xyz):
        raise ValueError(
            f"an array of shape {label_DHW.shape} (D, H, W) gives {stored_xyz.shape} in {grid.orientation}, "
            f"but the scan's grid is {tuple(grid.shape_xyz)}: resample it to the scan's own spacing first"
        )
    return stored_xyz
