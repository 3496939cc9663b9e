"""What a scanner and an archive make of an anatomy: table, blur, noise, whole HU, stored axes, affine."""

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from autosam_platform.data.phantom.frame import Frame
from autosam_platform.data.phantom.shapes import Field

STORED = {"LAS": 0.35, "LPS": 0.25, "RAS": 0.2, "LPI": 0.1, "PLS": 0.1}  # share of cases by the file's axes
NOISE_HU = (6.0, 26.0)  # standard deviation in tissue, from a high dose to a low one
KERNEL_MM = (0.9, 1.6)  # standard deviation of the point spread, from a sharp kernel to a smooth one


def add_table(rng: np.random.Generator, hu: Field, frame: Frame) -> None:
    """Lay the patient on a curved table top, as far as the field of view reaches, in three cases of four."""
    there, density = rng.random() >= 0.25, np.float32(rng.uniform(500, 900))
    tissue = np.flatnonzero((hu > -500).any(axis=(0, 2)))
    if not there or not tissue.size:
        return
    back = float(frame.axes[1][tissue[0]])
    x, y = frame.axes[0][:, None], frame.axes[1][None]
    sheet = np.abs(y - (back - 4 + (x / 64) ** 2)) - 1.2
    cover = np.clip(0.5 - sheet / float(frame.spacing[0]), 0, 1)
    hu += cover[..., None] * (hu < -900) * density


def scan(rng: np.random.Generator, hu: Field, spacing: NDArray[np.float64]) -> NDArray[np.int16]:
    """Blur ``hu`` by kernel and slice profile, add noise and round to int16.

    A sharp kernel blurs less and has more and finer noise; low doses are as frequent as high ones.
    """
    smoothness, dose = rng.uniform(0, 1), rng.uniform(0, 1)
    blur = np.clip((KERNEL_MM[0] + (KERNEL_MM[1] - KERNEL_MM[0]) * smoothness) / spacing[0], 0.4, 1.2)
    blurred = gaussian_filter(hu, (blur, blur, 0.35), mode="nearest", truncate=3)
    noise = gaussian_filter(rng.standard_normal(hu.shape, np.float32), (0.8 * blur, 0.8 * blur, 0.25), truncate=3)
    level = NOISE_HU[0] * (NOISE_HU[1] / NOISE_HU[0]) ** dose * (1.2 - 0.4 * smoothness)
    noise *= np.float32(level / noise.std())
    return np.clip(np.rint(blurred + noise), -1024, 3071).astype(np.int16)


def store(
    rng: np.random.Generator, image: NDArray[np.int16], label: NDArray[np.uint8], frame: Frame
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.float64]]:
    """Turn canonical arrays to the axes of a random archive; the affine says where each voxel lay."""
    first = np.array([axis[0] for axis in frame.axes], float) + rng.uniform((-40, -60, -900), (40, 60, 200))
    canonical = np.diag([*frame.spacing, 1.0])
    canonical[:3, 3] = np.round(first, 2)
    codes = str(rng.choice(list(STORED), p=list(STORED.values())))
    turned = ornt_transform(io_orientation(canonical), axcodes2ornt(codes))
    affine = canonical @ inv_ornt_aff(turned, image.shape)
    images = (np.ascontiguousarray(nib.apply_orientation(array, turned)) for array in (image, label))
    return *images, affine
