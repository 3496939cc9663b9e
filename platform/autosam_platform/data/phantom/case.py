"""One phantom case: from its seed to arrays, and to a pair of NIfTI files."""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from autosam_inference.files import atomic_write
from autosam_platform.data.phantom.bowel import paint_bowel
from autosam_platform.data.phantom.canvas import Canvas
from autosam_platform.data.phantom.frame import Frame, make_frame
from autosam_platform.data.phantom.organs import (
    paint_adrenals,
    paint_esophagus,
    paint_gallbladder,
    paint_kidneys,
    paint_liver,
    paint_pancreas,
    paint_spleen,
    paint_stomach,
)
from autosam_platform.data.phantom.patient import Patient
from autosam_platform.data.phantom.scanner import add_table, scan, store
from autosam_platform.data.phantom.shapes import cut
from autosam_platform.data.phantom.skeleton import paint_muscles, paint_ribs, paint_spine
from autosam_platform.data.phantom.tissue import AIR
from autosam_platform.data.phantom.trunk import Trunk, abdomen, cavity, draw_trunk, paint_chest, paint_wall
from autosam_platform.data.phantom.vessels import paint_vessels

PHANTOM_VERSION = 1  # raised whenever a seed draws another case than before


class Phantom(NamedTuple):
    """A synthetic scan on its stored axes (X, Y, Z of the file, in whatever orientation ``affine`` says).

    Attributes:
        image_xyz: Hounsfield units, int16.
        label_xyz: BTCV class ids (0 background, 1-13), uint8, of the same shape.
        affine: (4, 4), voxel indices to scanner mm (RAS+).
    """

    image_xyz: NDArray[np.int16]
    label_xyz: NDArray[np.uint8]
    affine: NDArray[np.float64]


def make_phantom(seed: int) -> Phantom:
    """Draw the case of ``seed`` (0 or above): the same seed always gives the same arrays."""
    rng = np.random.default_rng(seed)
    body = draw_trunk(rng)
    frame = make_frame(rng, body.bounds)
    canvas = _paint(rng, frame, body)
    hu = canvas.hu + AIR * canvas.unseen
    add_table(rng, hu, frame)
    image = scan(rng, hu)
    return Phantom(*store(rng, image, canvas.label, frame))


def write_phantom(folder: Path, number: int, seed: int) -> None:
    """Write the case of ``seed`` in ``folder``: ``imagesTr/imgNNNN.nii.gz``, ``labelsTr/labelNNNN.nii.gz``.

    A pair that is there already is left as it is. The label is written last, so a label means a whole pair.
    """
    image_path = folder / "imagesTr" / f"img{number:04d}.nii.gz"
    label_path = folder / "labelsTr" / f"label{number:04d}.nii.gz"
    if image_path.exists() and label_path.exists():
        return
    phantom = make_phantom(seed)
    for path, array in ((image_path, phantom.image_xyz), (label_path, phantom.label_xyz)):
        nifti = nib.Nifti1Image(array, phantom.affine)
        nifti.header.set_xyzt_units("mm")
        with atomic_write(path) as temporary:
            nib.save(nifti, temporary)


def _paint(rng: np.random.Generator, frame: Frame, body: Trunk) -> Canvas:
    """Front to back: first what keeps its place in every patient, then what gives way to it."""
    patient = Patient(rng)
    inside = cut(cavity(body), abdomen(body)).distance(frame.points) + np.float32(1.5)
    canvas = Canvas(frame, inside)
    paint_spine(canvas, patient)
    paint_vessels(canvas, patient)
    paint_muscles(canvas, patient)
    paint_esophagus(canvas, patient)
    paint_adrenals(canvas, patient)
    paint_kidneys(canvas, patient)
    paint_pancreas(canvas, patient)
    paint_gallbladder(canvas, patient)
    paint_spleen(canvas, patient)
    paint_stomach(canvas, patient)
    paint_liver(canvas, patient)
    paint_bowel(canvas, patient)
    paint_chest(canvas, patient, body)
    paint_ribs(canvas, patient, body)
    paint_wall(canvas, patient, body)
    return canvas
