"""Shape and place of the organs in a label map: pieces, volume, centre, what the edge of the scan cuts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import cc3d
import numpy as np
from numpy.typing import NDArray

from autosam_inference.scans.class_boxes import class_boxes

Vector: TypeAlias = NDArray[np.float64]
"""Something along D, H and W."""


@dataclass(frozen=True)
class Shape:
    """One class of a label map.

    Attributes:
        voxels: of it.
        islands: share of them outside its largest piece (voxels that touch by a face hang together).
        pieces: of more than one voxel, at least one.
        centre_DHW: in voxels from the middle of the first one.
        cut: see ``cut_share``.
        value: mean of the image over it.
    """

    voxels: int
    islands: float
    pieces: int
    centre_DHW: Vector
    cut: float
    value: float


def shapes(label_DHW: NDArray[np.uint8], image_DHW: NDArray[np.floating]) -> dict[int, Shape]:
    """The shape of each class that a label map has."""
    return dict(_shapes(label_DHW, image_DHW))


def _shapes(label_DHW: NDArray[np.uint8], image_DHW: NDArray[np.floating]) -> Iterator[tuple[int, Shape]]:
    label_DHW = np.ascontiguousarray(label_DHW)
    for number, box in class_boxes(label_DHW):
        mask_DHW = label_DHW[box] == number
        pieces_DHW = cc3d.connected_components(np.ascontiguousarray(mask_DHW), connectivity=6)
        sizes = np.bincount(pieces_DHW.ravel())[1:]
        voxels = int(sizes.sum())
        inner = np.array([each.mean() for each in np.nonzero(mask_DHW)])
        yield (
            number,
            Shape(
                voxels,
                1 - float(sizes.max()) / voxels,
                max(1, int((sizes > 1).sum())),
                inner + [part.start for part in box],
                cut_share(mask_DHW, box, label_DHW.shape),
                float(image_DHW[box][mask_DHW].mean()),
            ),
        )


def cut_share(mask_DHW: NDArray[np.bool_], box: tuple[slice, ...], size: tuple[int, ...]) -> float:
    """How much of an organ's largest cross-section lies on the edge of the scan, of the edge that cuts it most.

    0 if it reaches no edge, 1 if it is cut where it is widest.
    """
    share = 0.0
    for axis, (part, n) in enumerate(zip(box, size, strict=True)):
        areas = mask_DHW.sum(axis=tuple({0, 1, 2} - {axis}))
        for touches, area in ((part.start == 0, areas[0]), (part.stop == n, areas[-1])):
            if touches:
                share = max(share, float(area) / float(areas.max()))
    return share


def body_middle(image_DHW: NDArray[np.floating], outside: float) -> Vector:
    """Middle of the body's box along D, H, W in voxels; a table and tubes beside it are too thin to move it.

    Args:
        outside: values up to it are air.
    """
    inside_DHW = image_DHW > outside
    middles = []
    for axis in range(3):
        counts = inside_DHW.sum(axis=tuple({0, 1, 2} - {axis}))
        if not counts.any():
            middles.append((len(counts) - 1) / 2)
            continue
        share = np.cumsum(counts) / counts.sum()
        middles.append((int(np.searchsorted(share, 0.01)) + int(np.searchsorted(share, 0.99))) / 2)
    return np.array(middles)
