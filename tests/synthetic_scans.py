"""Tiny real NIfTI scans for tests: odd sizes, anisotropic spacing, any stored orientation, NaN; all
seeded.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

SHAPE_XYZ = (23, 19, 11)
SPACING_XYZ = (1.5, 2.0, 3.0)
ORIGIN_XYZ = (-20.0, 35.5, -101.25)


@dataclass(frozen=True)
class Scan:
    """A canonical RAS scan, X, Y, Z: HU (float32), class ids (uint8) and affine."""

    image_xyz: np.ndarray
    label_xyz: np.ndarray
    affine: np.ndarray


def make_scan(
    seed: int = 0,
    shape_xyz: tuple[int, int, int] = SHAPE_XYZ,
    spacing_xyz: tuple[float, float, float] = SPACING_XYZ,
    num_classes: int = 14,
) -> Scan:
    """Air around a body of soft tissue, in which each class is a box with HU 10 · id, right organs right of
    the middle.
    """
    rng = np.random.default_rng(seed)
    label = np.zeros(shape_xyz, np.uint8)
    for value in range(1, num_classes):
        corner = [int(rng.integers(2, n - 4)) for n in shape_xyz]
        label[tuple(slice(c, c + 3) for c in corner)] = value
    for value, place in enumerate(_distinct_corners(shape_xyz, num_classes - 1), start=1):
        label[place] = value  # every class survives what later boxes cover
    image = np.full(shape_xyz, -1000, np.float32)
    image[1:-1, 1:-1, 1:-1] = 40
    image[label > 0] = 10.0 * label[label > 0]
    image += rng.normal(0, 5, shape_xyz).astype(np.float32)
    affine = np.diag([*spacing_xyz, 1.0])
    affine[:3, 3] = ORIGIN_XYZ
    return Scan(np.rint(image).astype(np.float32), label, affine)


def reoriented(array_xyz: np.ndarray, affine: np.ndarray, codes: str) -> nib.Nifti1Image:
    """The canonical array as a file would hold it whose axes point to ``codes``, such as ``"LPS"``."""
    change = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(codes))
    stored = orientations.apply_orientation(array_xyz, change)
    return nib.Nifti1Image(stored, affine @ orientations.inv_ornt_aff(change, array_xyz.shape))


def write_nifti(
    path: Path, array_xyz: np.ndarray, affine: np.ndarray, codes: str = "RAS", dtype: type | None = None
) -> Path:
    """Write a canonical array in the orientation ``codes``; the file is an hour old, as what people have is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = reoriented(array_xyz if dtype is None else array_xyz.astype(dtype), affine, codes)
    nib.save(image, path)
    set_age(path, 3600)
    return path


def set_age(path: Path, seconds: float) -> None:
    """Let the file have been written so long ago."""
    then = time.time_ns() - int(seconds * 1e9)
    os.utime(path, ns=(then, then))


def write_btcv_case(root: Path, number: int, scan: Scan, codes: str = "RAS") -> tuple[Path, Path]:
    """Write image (int16) and label (uint8) under BTCV's names."""
    image = root / "imagesTr" / f"img{number:04d}.nii.gz"
    label = root / "labelsTr" / f"label{number:04d}.nii.gz"
    write_nifti(image, scan.image_xyz, scan.affine, codes, np.int16)
    write_nifti(label, scan.label_xyz, scan.affine, codes)
    return image, label


def write_btcv(root: Path, count: int, **options: tuple[int, int, int]) -> Path:
    """A dataset of ``count`` cases in BTCV's layout, stored in different orientations."""
    for number in range(1, count + 1):
        codes = ("RAS", "LPS", "LAS", "RPI", "PIR")[number % 5]
        write_btcv_case(root, number, make_scan(number, **options), codes)
    return root


def touch(root: Path, *names: str) -> Path:
    """Empty files below ``root``, for whoever looks at names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _distinct_corners(shape_xyz: tuple[int, int, int], count: int) -> list[tuple[int, int, int]]:
    """Places on the diagonal of the first slice, all different."""
    return [(1 + index % (shape_xyz[0] - 2), 1 + index % (shape_xyz[1] - 2), 1) for index in range(count)]
