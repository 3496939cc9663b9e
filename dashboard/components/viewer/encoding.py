"""How a scan and its label maps travel to the browser: bytes that it can unpack in parallel, slice group by group.

One message is, one after the other: the length of the header (4 bytes, little-endian), the header (JSON in
UTF-8), and the chunks of all volumes. A chunk is a group of axial slices, one byte per voxel in D, H, W,
deflated (zlib); of slices without a label it is empty. ``decode.js`` reads it.

Hounsfield units are companded to 8 bits: 2.5 HU a step where organs differ by little, 21 to 140 HU where a
window is wide (lung, bone) or nothing is looked at (metal). So 256 values are enough for every preset window.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from autosam_inference.scans.grid import Volume

_SLICES = 8  # in a chunk: enough chunks for every core, and large enough to compress well
_BENDS_HU = (-1024, -160, 240, 1290, 3071)
_BENDS_CODE = (0, 40, 200, 242, 255)

HU_OF_CODE = np.interp(np.arange(256), _BENDS_CODE, _BENDS_HU)
_CODE_OF_HU = np.interp(np.arange(-32768, 32768), _BENDS_HU, _BENDS_CODE).round().astype(np.uint8)


@dataclass(frozen=True)
class Encoded:
    """A volume ready to travel: deflated groups of axial slices, uint8 in D, H, W.

    Attributes:
        differenced: every voxel but the first of a chunk is the difference (mod 256) to the one before it.
    """

    shape_DHW: tuple[int, int, int]
    spacing_DHW: tuple[float, float, float]
    chunks: tuple[bytes, ...]
    differenced: bool


def encode_scan(scan: Volume) -> Encoded:
    """Compand and pack a CT in HU; beyond −1024 to 3071 HU it is clipped, NaN becomes air."""
    # Differences of a CT are noise and runs of air: run lengths take half the time of a search for repetitions.
    return _encoded(scan, lambda slab: _deflated(_differences(companded(slab)), zlib.Z_RLE), differenced=True)


def encode_labels(labels: Volume, ids: Mapping[int, int] | None = None) -> Encoded:
    """Pack a label map.

    Args:
        ids: what its ids become, by themselves; those that are not named become background. Without it they stay.

    Raises:
        ValueError: a label is below 0 or above 255.
    """
    low, high = labels.array_DHW.min(), labels.array_DHW.max()
    if not (low >= 0 and high <= 255):  # NaN is neither
        raise ValueError(f"its labels go from {low:g} to {high:g}, and a label map has ids from 0 to 255")
    become: np.ndarray = np.arange(256, dtype=np.uint8)
    if ids is not None:
        become = np.array([ids.get(id_, 0) for id_ in range(256)], np.uint8)

    def pack(slab: np.ndarray) -> bytes:
        shown = become[_ids(slab)]
        return _deflated(shown, zlib.Z_DEFAULT_STRATEGY) if shown.any() else b""

    return _encoded(labels, pack, differenced=False)


def companded(image: np.ndarray) -> np.ndarray:
    """Codes (uint8) of Hounsfield units of any number type; ``HU_OF_CODE`` is the way back."""
    if image.dtype.kind == "f":
        image = np.nan_to_num(image, nan=_BENDS_HU[0]).round()
    if image.dtype != np.int16:
        image = image.clip(-32768, 32767).astype(np.int16)
    return _CODE_OF_HU[image.astype(np.int32) + 32768]


def message(header: Mapping[str, Any], volumes: Iterable[Encoded]) -> bytes:
    """``header`` and ``volumes`` as one message; all volumes have one shape. What describes them is added."""
    volumes = list(volumes)
    described = {
        "shape": volumes[0].shape_DHW,
        "spacing": volumes[0].spacing_DHW,
        "slices": _SLICES,
        "hu": HU_OF_CODE.tolist(),
        "volumes": [
            {"chunks": [len(chunk) for chunk in volume.chunks], "differenced": volume.differenced} for volume in volumes
        ],
    }
    head = json.dumps({**header, **described}).encode()
    return b"".join([len(head).to_bytes(4, "little"), head, *(chunk for volume in volumes for chunk in volume.chunks)])


def _encoded(volume: Volume, pack: Callable[[np.ndarray], bytes], differenced: bool) -> Encoded:
    array_DHW = volume.array_DHW
    depth, height, width = array_DHW.shape
    slabs = [array_DHW[first : first + _SLICES] for first in range(0, depth, _SLICES)]
    with ThreadPoolExecutor() as threads:  # zlib and numpy let go of the interpreter
        chunks = tuple(threads.map(pack, slabs))
    return Encoded((depth, height, width), volume.spacing_DHW, chunks, differenced)


def _ids(labels: np.ndarray) -> np.ndarray:
    whole = labels.round() if labels.dtype.kind == "f" else labels
    return whole.astype(np.uint8)


def _differences(codes_DHW: np.ndarray) -> np.ndarray:
    flat = codes_DHW.reshape(-1)
    return np.diff(flat, prepend=np.uint8(0))


def _deflated(array: np.ndarray, strategy: int) -> bytes:
    packer = zlib.compressobj(level=1, strategy=strategy)
    return packer.compress(np.ascontiguousarray(array).data) + packer.flush()
