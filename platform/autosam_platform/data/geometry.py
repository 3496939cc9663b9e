"""Volumes, the grids of the files they come from, and the ways between them.

Inside the platform every volume is canonical RAS, stored D, H, W = z, y, x: D inferior → superior,
H posterior → anterior, W left → right. A NIfTI's array is X, Y, Z in whatever orientation its affine says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel import orientations
from scipy.ndimage import find_objects, gaussian_filter1d

from autosam_platform.data.colours import organ_colour
from autosam_platform.data.description import LabelClass
from autosam_platform.data.nifti import SUFFIXES, ScanError, open_nifti, read_voxels, stem
from autosam_platform.files import atomic_write, write_json, write_text

Kind = Literal["image", "label"]


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


def save_label(path: Path, label_xyz: np.ndarray, grid: Grid, classes: Sequence[LabelClass]) -> None:
    """Write a label map on the scan's grid: NIfTI uint8, with the scan's affine, its codes and its units.

    Names and colours lie beside it: ``<name>.label.txt`` (ITK-SNAP's label description, which 3D Slicer and
    others read too) and ``<name>.label.json``.

    Raises:
        ValueError: the path does not end in .nii or .nii.gz, the shape is not the grid's, or ids exceed 255.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"{path} must end in .nii.gz (or .nii): a label map is written as NIfTI")
    if label_xyz.shape != tuple(grid.shape_xyz):
        raise ValueError(f"{path}: label map of shape {label_xyz.shape} on a grid of {tuple(grid.shape_xyz)}")
    if label_xyz.min() < 0 or label_xyz.max() > 255:
        raise ValueError(f"{path}: label ids {label_xyz.min()} to {label_xyz.max()} do not fit uint8")
    with atomic_write(path) as temporary:
        nib.save(_label_image(label_xyz.astype(np.uint8), grid), temporary)
    write_text(path.with_name(f"{stem(path)}.label.txt"), _itk_snap_labels(classes))
    colours = {each.id: {"name": each.name, "colour": organ_colour(each.name)} for each in classes}
    write_json(path.with_name(f"{stem(path)}.label.json"), colours)


def resample(volume: Volume, spacing_DHW: tuple[float, float, float], kind: Kind = "image") -> Volume:
    """Resample to a spacing in mm; the outer edges of the volume stay where they are.

    The size becomes round(n · old / new), at least 1, so the spacing that comes out differs a little from the
    one asked for; the returned volume carries the true one.

    Images are interpolated linearly, after a Gaussian against aliasing along the axes that shrink
    (sigma = (shrink factor − 1) / 2 voxels, as in scikit-image's ``resize``); the result is float32.
    Labels get the class whose linearly interpolated mask is largest (the lowest id of equals), dtype kept.
    Only one class's mask is in memory at a time, inside the class's own bounding box.
    """
    old = volume.spacing_DHW
    shape = volume.array_DHW.shape
    sizes = [max(1, round(n * a / b)) for n, a, b in zip(shape, old, spacing_DHW, strict=True)]
    d, h, w = (n * a / size for n, a, size in zip(shape, old, sizes, strict=True))
    if list(shape) == sizes:
        array = volume.array_DHW.astype(np.float32, copy=False) if kind == "image" else volume.array_DHW
    elif kind == "image":
        array = _resize_image(volume.array_DHW, sizes)
    else:
        array = _resize_label(volume.array_DHW, sizes)
    return Volume(array, (d, h, w))


def _resize_image(image_DHW: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    array = image_DHW.astype(np.float32, copy=False)
    factors = [n / size for n, size in zip(array.shape, sizes, strict=True)]
    for axis in sorted(range(3), key=lambda each: -factors[each]):  # the strongest shrink first: least work
        if factors[axis] > 1:
            array = gaussian_filter1d(array, (factors[axis] - 1) / 2, axis, mode="nearest")
        array = _interpolate(array, axis, sizes[axis], slice(None), slice(None))
    return array


def _resize_label(label_DHW: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    result = np.zeros(sizes, label_DHW.dtype)
    best = np.full(sizes, -1, np.float32)
    for value, box in _boxes(label_DHW):
        mask: np.ndarray = (label_DHW[box] == value).astype(np.float32)
        reached = [_reached(n, size, each) for n, size, each in zip(label_DHW.shape, sizes, box, strict=True)]
        for axis, size in enumerate(sizes):
            mask = _interpolate(mask, axis, size, box[axis], reached[axis], full=label_DHW.shape[axis])
        place = tuple(reached)
        better = mask > best[place]
        best[place][better] = mask[better]
        result[place][better] = value
    return result


def _boxes(label_DHW: np.ndarray) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Each id that occurs, in rising order, and a box that holds it; the background's box is everything."""
    yield 0, tuple(slice(0, n) for n in label_DHW.shape)
    for value, box in enumerate(find_objects(label_DHW), start=1):
        if box is not None:
            yield value, box


def _taps(n: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per output voxel: the two input voxels it lies between, and the weight of the second."""
    position = np.clip((np.arange(size) + 0.5) * (n / size) - 0.5, 0, n - 1)
    low = np.floor(position).astype(np.int64)
    return low, np.minimum(low + 1, n - 1), (position - low).astype(np.float32)


def _reached(n: int, size: int, box: slice) -> slice:
    """The output voxels on which input voxels inside the box have an influence."""
    low, high, _ = _taps(n, size)
    touched = np.flatnonzero((high >= box.start) & (low < box.stop))
    return slice(int(touched[0]), int(touched[-1]) + 1) if touched.size else slice(0, 0)


def _interpolate(
    array: np.ndarray, axis: int, size: int, box: slice, reached: slice, *, full: int | None = None
) -> np.ndarray:
    """Linear interpolation of one axis to ``size`` voxels.

    ``array`` is the part ``box`` of an axis of ``full`` voxels, zero outside; only ``reached`` is computed.
    """
    n = array.shape[axis] if full is None else full
    if size == n and box == reached:
        return array
    low, high, weight = (taps[reached] for taps in _taps(n, size))
    start = box.start or 0
    shape = [-1 if each == axis else 1 for each in range(array.ndim)]
    lower, upper = _take(array, low - start, axis), _take(array, high - start, axis)
    upper -= lower  # in place: a scan may be hundreds of megabytes
    upper *= weight.reshape(shape)
    lower += upper
    return lower


def _take(array: np.ndarray, index: np.ndarray, axis: int) -> np.ndarray:
    """``np.take``, with zeros where the index lies outside the array."""
    inside = (index >= 0) & (index < array.shape[axis])
    taken = np.take(array, np.where(inside, index, 0), axis)
    if not inside.all():
        np.moveaxis(taken, axis, 0)[~inside] = 0
    return taken


def _label_image(label_xyz: np.ndarray, grid: Grid) -> nib.Nifti1Image:
    header = grid.header.copy() if grid.header is not None else nib.Nifti1Header()
    if grid.header is None:
        header.set_sform(grid.affine, code="scanner")
        header.set_xyzt_units("mm")
    header.set_data_dtype(np.uint8)
    header["cal_min"] = header["cal_max"] = 0  # the scan's display window means nothing for label ids
    header.extensions.clear()  # and these may name the patient
    for text in ("descrip", "aux_file", "db_name", "intent_name"):
        header[text] = b""
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(label_xyz, grid.affine, header)
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


__all__ = ["Grid", "Kind", "ScanError", "Volume", "read_scan", "resample", "save_label", "to_grid"]
