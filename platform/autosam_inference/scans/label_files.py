"""Label maps as files: NIfTI on the scan's own grid, with the organs' names and colours beside it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.fileholders import FileHolder
from nibabel.spatialimages import HeaderDataError

from autosam_inference.card import LabelClass
from autosam_inference.errors import UserError
from autosam_inference.files import atomic_write, write_json, write_text
from autosam_inference.prediction import Prediction
from autosam_inference.scans.colours import organ_colour
from autosam_inference.scans.grid import Grid
from autosam_inference.scans.names import SUFFIXES, stem
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan


def write_nifti(prediction: Prediction, path: Path | str) -> None:
    """Write a label map on its scan's grid: NIfTI uint8, with the scan's affine, its codes and its units.

    Names and colours lie beside it: ``<name>.label.txt`` (ITK-SNAP's label description, which 3D Slicer and
    others read too) and ``<name>.label.json``.

    Raises:
        UserError: see ``require_writable``.
        ValueError: the shape is not the scan's, or ids exceed 255.
    """
    path = Path(path)
    require_writable(prediction.scan, path)
    label_xyz, classes = prediction.label_xyz, prediction.card.classes
    if label_xyz.min() < 0 or label_xyz.max() > 255:
        raise ValueError(f"{path}: label ids {label_xyz.min()} to {label_xyz.max()} do not fit uint8")
    image = _label_image(label_xyz.astype(np.uint8, copy=False), prediction.scan.grid)
    with atomic_write(path) as temporary:
        image.to_file_map({"image": FileHolder(str(temporary))})  # nib.save would write ``x.Nii`` as ``x.nii``
    write_text(path.with_name(f"{stem(path)}.label.txt"), _itk_snap_labels(classes))
    colours = {each.id: {"name": each.name, "colour": organ_colour(each.name)} for each in classes}
    write_json(path.with_name(f"{stem(path)}.label.json"), colours)


def require_place(path: Path | str, source: Path | None) -> None:
    """Find out whether a label map can be written to ``path`` without harm.

    Args:
        source: of the scan, if it has one, which the label map must not replace.

    Raises:
        UserError: the name or the folder will not do, or it is the scan.
    """
    path = Path(path)
    if not path.name.lower().endswith(SUFFIXES):
        raise UserError(f"{path} must end in .nii.gz or .nii: a label map is written as NIfTI")
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder: name the file to write in it.")
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise UserError(f"{path} is the scan itself, which its label map would replace: name another file.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): name another place.") from error


def require_writable(scan: Scan, path: Path | str) -> None:
    """Find out before the work whether ``write_nifti`` will be able to write the label map of ``scan``.

    Raises:
        ScanError: NIfTI cannot hold it.
        UserError: see ``require_place``.
    """
    require_place(path, scan.source)
    try:
        _label_image(np.broadcast_to(np.uint8(0), scan.grid.shape_xyz), scan.grid)
    except (ValueError, KeyError, HeaderDataError) as error:
        raise ScanError(
            f"{scan.source}: a label map cannot be written on its grid ({error}): convert the scan to NIfTI anew."
        ) from error


def _label_image(label_xyz: np.ndarray, grid: Grid) -> nib.Nifti1Image:
    header = grid.header.copy() if grid.header is not None else nib.Nifti1Header()
    if grid.header is None:
        header.set_sform(grid.affine, code="scanner")
        header.set_xyzt_units("mm")
    header.set_data_dtype(np.uint8)
    header["cal_min"] = header["cal_max"] = 0  # the scan's display window means nothing for label ids
    header.extensions.clear()  # and these may name the patient
    for text in ("descrip", "aux_file", "db_name", "intent_name"):
        if text in header:  # NIfTI-2 has no db_name
            header[text] = b""
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    # The scan's own affine, in its own unit: the grid's is in mm.
    image = kind(label_xyz, header.get_best_affine(), header)
    image.header.set_slope_inter(1, 0)
    return image


def _itk_snap_labels(classes: Sequence[LabelClass]) -> str:
    lines = ["# ITK-SNAP Label Description File", "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL"]
    lines.append('    0     0    0    0        0  0  0    "Clear Label"')
    for each in classes:
        red, green, blue = organ_colour(each.name)
        name = each.name.replace('"', "'")
        lines.append(f'{each.id:5d}   {red:3d}  {green:3d}  {blue:3d}        1  1  1    "{name}"')
    return "\n".join(lines) + "\n"
