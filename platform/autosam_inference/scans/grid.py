"""Volumes, the grids of the files they come from, and the way between the two.

Inside the platform every volume is canonical RAS, stored D, H, W = z, y, x: D inferior → superior,
H posterior → anterior, W left → right. A NIfTI's array is X, Y, Z in whatever orientation its affine says.
"""

from dataclasses import dataclass, field

import nibabel as nib
import numpy as np
from nibabel import orientations


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

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, ml.

        >>> Grid((9, 9, 9), np.diag([1.0, 2.0, 2.0, 1.0])).voxel_ml
        0.004
        """
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000


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
