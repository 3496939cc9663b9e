"""Scans made for the benchmarks, large enough to tell."""

from pathlib import Path

import nibabel as nib
import numpy as np

from autosam_models.sizes import Size
from benchmarks.comparison import plain_module


def scans_in_btcvs_layout(root: Path, cases: int, shape_DHW: Size) -> None:
    """Write scans in BTCV's layout and at its spacing, which preparation keeps."""
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    for number in range(1, cases + 1):
        _, organs_DHW = plain_module("metrics_reference").organ_maps(shape_DHW, 13, seed=number)
        hu_DHW = 40 + 10.0 * organs_DHW + np.random.default_rng(number).normal(0, 12, shape_DHW)
        hu_DHW[:, :20] = hu_DHW[:, -20:] = -1000
        for part, array_DHW in (("imagesTr/img", hu_DHW.astype(np.int16)), ("labelsTr/label", organs_DHW)):
            nib.save(nib.Nifti1Image(array_DHW.transpose(2, 1, 0), affine), root / f"{part}{number:04d}.nii.gz")
