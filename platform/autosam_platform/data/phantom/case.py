"""One phantom case: from its seed to arrays, and to a pair of NIfTI files."""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from autosam_inference.files import atomic_write
from autosam_platform.data.phantom.body import paint_body
from autosam_platform.data.phantom.frame import draw_pose, make_frame
from autosam_platform.data.phantom.lesions import add_clips
from autosam_platform.data.phantom.parts import Part
from autosam_platform.data.phantom.patient import Patient, draw_person
from autosam_platform.data.phantom.scanner import add_table, scan, store
from autosam_platform.data.phantom.schemas import SCHEMAS
from autosam_platform.data.phantom.tissue import AIR
from autosam_platform.data.phantom.trunk import draw_trunk

PHANTOM_VERSION = 2  # raised whenever a seed draws another case than before


class Phantom(NamedTuple):
    """A synthetic scan on its stored axes (X, Y, Z of the file, in whatever orientation ``affine`` says).

    Attributes:
        image_xyz: Hounsfield units, int16.
        label_xyz: class ids of the schema (0 background), or ids of `Organ`; uint8, of the same shape.
        affine: (4, 4), voxel indices to scanner mm (RAS+).
    """

    image_xyz: NDArray[np.int16]
    label_xyz: NDArray[np.uint8]
    affine: NDArray[np.float64]


def make_phantom(seed: int, schema: str = "phantom", part: Part | None = None) -> Phantom:
    """Draw the case of ``seed`` (0 or above): the same seed always gives the same arrays.

    Args:
        seed: of the body, and of its scan.
        schema: whose classes the labels have, and whose scans this is like: a key of `SCHEMAS`.
        part: what the scan shows; drawn by the schema's shares if not given.
    """
    drawn = make_body(seed, schema, part)
    return drawn._replace(label_xyz=SCHEMAS[schema].label(drawn.label_xyz))


def make_body(seed: int, schema: str = "phantom", part: Part | None = None) -> Phantom:
    """The case as it is painted: its labels are ids of `Organ`, before the schema's table."""
    of_body, of_scan, of_archive = np.random.default_rng(seed).spawn(3)
    wanted = SCHEMAS[schema]
    drawn = Part(of_scan.choice([str(each) for each in wanted.parts], p=list(wanted.parts.values())))
    person = draw_person(of_body, wanted.female_share)
    trunk, pose, patient = draw_trunk(of_body, person), draw_pose(of_body, person.size), Patient(of_body, person)
    shown = part or drawn
    frame = make_frame(of_scan, pose, trunk.bounds(shown), shown, wanted)
    canvas = paint_body(frame, patient, trunk)
    hu = canvas.hu + AIR * canvas.unseen
    add_table(of_archive, hu, frame)
    add_clips(patient, hu, frame, of_archive)
    return Phantom(*store(of_archive, scan(of_archive, hu, frame.spacing), canvas.label, frame))


def has_phantom(folder: Path, number: int) -> bool:
    """Is the whole pair of a case there? The label is written last."""
    return all(path.exists() for path in _pair(folder, number))


def _pair(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / "imagesTr" / f"img{number:04d}.nii.gz", folder / "labelsTr" / f"label{number:04d}.nii.gz"


def write_phantom(folder: Path, number: int, seed: int, schema: str = "phantom") -> None:
    """Write the case of ``seed`` in ``folder``: ``imagesTr/imgNNNN.nii.gz``, ``labelsTr/labelNNNN.nii.gz``.

    A pair that is there already is left as it is.
    """
    if has_phantom(folder, number):
        return
    image_path, label_path = _pair(folder, number)
    phantom = make_phantom(seed, schema)
    for path, array in ((image_path, phantom.image_xyz), (label_path, phantom.label_xyz)):
        nifti = nib.Nifti1Image(array, phantom.affine)
        nifti.header.set_xyzt_units("mm")
        with atomic_write(path) as temporary:
            nib.save(nifti, temporary)
