"""Where in a scan an organ can be, so that the network is asked about those windows alone.

Two boxes are found. The body's holds everything but air, the table and what is as thin: found by Hounsfield units. The
organs' box is found by the network itself, which looks at the body once at twice its spacing, an eighth of the voxels;
it is trained at another one, so its answer counts only as a hint of where to look.

What is assumed, and how it is watched over (``doubt``):

- No organ lies outside the body's box. One that reaches a face of it which is no end of the scan has everything
  computed.
- Organs lie in the organs' box. Where the hint is weak (fewer than half of the organs), where an organ reaches a face
  of the box, or where one is not found in it at all, the whole body is computed. What can be missed is a second piece
  of an organ that lies apart from all others.

Inside a box nothing is assumed: all its windows are computed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autosam_inference.native_grid import Part, labels_on_grid, native_range
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.resampling import size_at
from autosam_inference.windows import Window, all_windows, sweep_order

if TYPE_CHECKING:
    from autosam_inference.model import TrainedModel

TIMES = 2
"""The spacing of the look at the body, in spacings of the model."""

_OVERLAP = 0.0  # of the windows of that look: what lies at their borders is seen once, and roughly is enough
_MARGIN_MM = 20.0  # around what the look finds
_EDGE_MM = 5.0  # an organ so near to a face of a box is cut by it, or nearly
_WORTH = 6  # windows that the look must be able to spare for each of its own
_TISSUE_HU = -300
_GRAIN_MM = 4.0  # distance of the voxels that are looked at for the body
_BLOCK = 4  # of them in an edge of a block that is body or not: 16 mm, thicker than a table's shell
_LEAST_TISSUE = 0.6  # share of a block of the body


@dataclass(frozen=True)
class Search:
    """A box of the prepared scan that is searched for organs.

    Attributes:
        box: along D, H, W in voxels of the prepared scan.
        size: voxels of the prepared scan.
        name: what the box is, in words.
        edge: voxels of the prepared scan, along D, H, W, that count as the edge of the box.
        windows: of the box.
        all_windows: of the whole scan.
    """

    box: Window
    size: tuple[int, int, int]
    name: str
    edge: tuple[int, int, int]
    windows: int
    all_windows: int

    @property
    def share(self) -> float:
        """Windows of the box, of those of the whole scan."""
        return self.windows / self.all_windows

    def parts(self, order: tuple[int, int, int]) -> tuple[Part, Part, Part]:
        """The box as ``labels_on_grid`` wants it, its axes in the order of the sweep."""
        d, h, w = (Part(self.box[axis].start, self.box[axis].stop, self.size[axis]) for axis in order)
        return d, h, w

    def inner_edges(self, native: Sequence[int]) -> Iterator[tuple[int, slice]]:
        """The edges of the box that are no ends of the scan: an axis, and voxels of the scan's own grid along it.

        They are one voxel thick at least, where the scan's voxels are thicker than the edge.
        """
        for axis, (box, of, edge, n) in enumerate(zip(self.box, self.size, self.edge, native, strict=True)):
            inside = native_range(Part(box.start, box.stop, of), n)
            if box.start > 0:
                near = native_range(Part(box.start, min(box.start + edge, box.stop), of), n)
                yield axis, slice(inside.start, max(near.stop, inside.start + 1))
            if box.stop < of:
                near = native_range(Part(max(box.stop - edge, box.start), box.stop, of), n)
                yield axis, slice(min(near.start, inside.stop - 1), inside.stop)


def searches(model: "TrainedModel", volume: Volume, organs: Collection[int], *, coarse: bool) -> Iterator[Search]:
    """What to search, the smallest box first; the next one is asked for where there is a ``doubt`` about the last.

    Args:
        organs: ids of the classes that are wanted.
        coarse: whether boxes are looked for at all; the whole scan where not.
    """
    size = size_at(volume, model.card.spacing_DHW)
    whole = tuple(slice(0, n) for n in size)
    found = {"the whole scan": whole}
    if coarse:
        body = body_box(volume, size)
        smaller = organs_box(model, volume, body, organs)
        found = ({} if smaller is None else {"the organs' box": smaller}) | {"the body's box": body} | found
    d, h, w = (max(1, round(_EDGE_MM / spacing)) for spacing in model.card.spacing_DHW)
    edge, total, last = (d, h, w), _count(model, whole), None
    for name, box in found.items():
        windows = _count(model, box)
        if name == "the whole scan" or (windows < total and box != last):
            yield Search(box, size, name, edge, windows, total)
            last = box


def doubt(search: Search, label_DHW: NDArray[np.uint8], names: Mapping[int, str]) -> str | None:
    """Why the box may not hold all there is, in words; None where there is no reason to think so.

    Args:
        label_DHW: on the scan's own grid, of the organs that are wanted.
        names: of these organs, by id.
    """
    for axis, edge in search.inner_edges(label_DHW.shape):
        cut = sorted(set(np.unique(np.moveaxis(label_DHW, axis, 0)[edge]).tolist()) - {0})
        if cut:
            return f"{_listed(names[each] for each in cut)} reach the edge of {search.name}"
    if search.name != "the organs' box":
        return None
    d, h, w = (native_range(part, n) for part, n in zip(search.parts((0, 1, 2)), label_DHW.shape, strict=True))
    missing = set(names) - set(np.flatnonzero(counted(label_DHW[d, h, w])).tolist())
    return f"{_listed(names[each] for each in sorted(missing))} not found in {search.name}" if missing else None


def counted(label_DHW: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Voxels of each id, 256 of them; slice by slice, since counting takes eight bytes a voxel."""
    return sum((np.bincount(slice_HW.ravel(), minlength=256) for slice_HW in label_DHW), np.zeros(256, np.int64))


def body_box(volume: Volume, size: Sequence[int]) -> Window:
    """The box of the body, in voxels of a grid of ``size`` over the same scan; the whole where none is seen.

    Blocks of 16 mm that are mostly tissue are body, and so is a block around them: a table's shell, tubes and clothes
    fill none of theirs.
    """
    steps = [max(1, round(_GRAIN_MM / spacing)) for spacing in volume.spacing_DHW]
    d, h, w = steps
    tissue_DHW = volume.array_DHW[::d, ::h, ::w] > _TISSUE_HU
    edges = [np.arange(0, n, _BLOCK) for n in tissue_DHW.shape]
    share_DHW: np.ndarray = tissue_DHW.astype(np.float32)
    for axis, places in enumerate(edges):
        counts = np.diff([*places, tissue_DHW.shape[axis]])
        shape = [-1 if each == axis else 1 for each in range(3)]
        share_DHW = np.add.reduceat(share_DHW, places, axis) / counts.reshape(shape)
    body_DHW = share_DHW > _LEAST_TISSUE
    if not body_DHW.any():
        return tuple(slice(0, n) for n in size)
    box = []
    for axis, (step, n, new) in enumerate(zip(steps, volume.array_DHW.shape, size, strict=True)):
        first, last = _span(body_DHW, axis)
        old = ((first - 1) * _BLOCK * step, (last + 2) * _BLOCK * step)
        box.append(slice(max(0, int(np.floor(old[0] * new / n))), min(new, int(np.ceil(old[1] * new / n)))))
    return tuple(box)


def organs_box(model: "TrainedModel", volume: Volume, body: Window, organs: Collection[int]) -> Window | None:
    """The box of the organs in voxels of the prepared scan, as the network sees them at ``TIMES`` the spacing.

    Returns:
        None where the look would cost too much of what it can spare, or sees too little to be relied on.
    """
    card = model.card
    size = size_at(volume, card.spacing_DHW)
    d, h, w = (TIMES * spacing for spacing in card.spacing_DHW)
    small = size_at(volume, (d, h, w))
    inside = tuple(
        slice(part.start * new // old, -(-part.stop * new // old))
        for part, old, new in zip(body, size, small, strict=True)
    )
    if _count(model, body) < _WORTH * len(_windows(model, inside, _OVERLAP)):
        return None
    label_DHW = _looked(model, volume, (d, h, w), inside)
    seen = set(np.flatnonzero(counted(label_DHW)).tolist()) & set(organs)
    if 2 * len(seen) < len(organs):
        return None
    wanted_DHW = np.isin(label_DHW, list(seen))
    box = []
    for axis, (spacing, old, new) in enumerate(zip(card.spacing_DHW, small, size, strict=True)):
        first, last = (each + inside[axis].start for each in _span(wanted_DHW, axis))
        margin = _MARGIN_MM / spacing
        start, stop = int(first * new / old - margin), int(np.ceil((last + 1) * new / old + margin))
        box.append(_to_windows(max(start, body[axis].start), min(stop, body[axis].stop), model, axis, body[axis]))
    return tuple(box) if _count(model, tuple(box)) < _count(model, body) else None


def _looked(
    model: "TrainedModel", volume: Volume, spacing_DHW: tuple[float, float, float], inside: Window
) -> NDArray[np.uint8]:
    """The network's labels of a box of the scan at another spacing, on that grid."""
    image_DHW = model.prepare(volume, spacing_DHW, within=inside)
    depth, height, width = image_DHW.shape
    order = sweep_order((depth, height, width), model.card.patch)
    first, second, third = (image_DHW.shape[axis] for axis in order)
    label = labels_on_grid(model.logits(image_DHW, order, overlap=_OVERLAP), first, (first, second, third))
    return label.transpose([order.index(axis) for axis in range(3)])


def _to_windows(start: int, stop: int, model: "TrainedModel", axis: int, body: slice) -> slice:
    """Grown to both sides to what the windows reach that it needs anyway, inside the body."""
    edge = model.card.patch[axis]
    step = max(int(edge * (1 - model.overlap)), 1)
    reach = edge + max(0, -(-(stop - start - edge) // step)) * step
    start = max(body.start, start - (reach - (stop - start)) // 2)
    return slice(max(body.start, min(start, body.stop - reach)), min(body.stop, start + reach))


def _count(model: "TrainedModel", box: Window) -> int:
    return len(_windows(model, box, model.overlap))


def _windows(model: "TrainedModel", box: Window, overlap: float) -> list[Window]:
    size = [max(part.stop - part.start, edge) for part, edge in zip(box, model.card.patch, strict=True)]
    return all_windows(size, model.card.patch, overlap)


def _span(mask_DHW: NDArray[np.bool_], axis: int) -> tuple[int, int]:
    """The first and the last place along an axis where there is anything."""
    places = np.flatnonzero(mask_DHW.any(axis=tuple({0, 1, 2} - {axis})))
    return int(places[0]), int(places[-1])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
