"""What travels to the browser, unpacked by a plain reader."""

import json
import zlib
from itertools import accumulate

import numpy as np
import pytest

from autosam_inference.scans.grid import Volume
from dashboard.components.viewer.encoding import (
    HU_OF_CODE,
    Encoded,
    companded,
    encode_labels,
    encode_scan,
    message,
)

SPACING = (3.0, 2.0, 1.0)


def _unpacked(chunks: list[bytes], differenced: bool) -> list[int]:
    """Voxel by voxel, as the format says."""
    voxels: list[int] = []
    for chunk in chunks:
        values = list(zlib.decompress(chunk))
        voxels += [value % 256 for value in accumulate(values)] if differenced else values
    return voxels


def _random(shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, shape)


def test_every_unit_comes_back_within_half_a_step() -> None:
    hu = np.arange(-1024, 3072, dtype=np.int16)
    codes = companded(hu)
    for value, code in zip(hu.tolist(), codes.tolist(), strict=True):
        neighbours = HU_OF_CODE[max(0, code - 1) : code + 2]
        assert abs(HU_OF_CODE[code] - value) <= np.diff(neighbours).max() / 2 + 1e-9
    assert np.diff(codes.astype(int)).min() >= 0
    assert np.array_equal(companded(HU_OF_CODE.round().astype(np.int16)), np.arange(256))


def test_steps_are_fine_where_organs_are() -> None:
    assert HU_OF_CODE[[0, 40, 200, 242, 255]].tolist() == [-1024, -160, 240, 1290, 3071]
    assert set(np.diff(HU_OF_CODE[40:201])) == {2.5}


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_number_types_do_not_matter(dtype: type) -> None:
    hu = np.array([-100_000, -1024, 0, 50, 3071, 100_000])
    hu = hu.clip(-32768, 32767) if dtype == np.int16 else hu
    assert companded(hu.astype(dtype)).tolist() == [0, 0, 104, 124, 255, 255]


def test_what_is_no_number_is_air() -> None:
    assert companded(np.array([np.nan, -np.inf, np.inf, 0.4], np.float32)).tolist() == [0, 0, 255, 104]


@pytest.mark.parametrize("depth", [1, 8, 19])
def test_a_scan_comes_back(depth: int) -> None:
    image = _random((depth, 5, 7), -1024, 3072).astype(np.int16)
    packed = encode_scan(Volume(image, SPACING))
    assert (packed.shape_DHW, packed.spacing_DHW, packed.differenced) == ((depth, 5, 7), SPACING, True)
    assert _unpacked([*packed.chunks], differenced=True) == companded(image).ravel().tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_labels_come_back_and_slices_without_any_are_empty(dtype: type) -> None:
    labels = _random((24, 5, 7), 0, 256).astype(dtype)
    labels[8:16] = 0
    packed = encode_labels(Volume(labels, SPACING))
    first, second, third = packed.chunks
    assert second == b""
    assert _unpacked([first, third], differenced=False) == labels[[*range(8), *range(16, 24)]].ravel().tolist()


def test_labels_take_the_ids_that_they_are_to_have() -> None:
    packed = encode_labels(Volume(np.array([[[0, 1, 2, 255]]], np.float32), SPACING), {1: 2, 2: 7})
    assert _unpacked([*packed.chunks], differenced=False) == [0, 2, 7, 0]
    assert encode_labels(Volume(np.full((1, 1, 4), 9), SPACING), {1: 2}).chunks == (b"",)


@pytest.mark.parametrize("value", [-1, 256, float("nan")])
def test_what_is_no_label_map_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="ids from 0 to 255"):
        encode_labels(Volume(np.array([[[0, value]]], np.float32), SPACING))


def test_a_message_says_what_is_in_it() -> None:
    scan, labels = Encoded((1, 2, 3), SPACING, (b"abc", b"de"), True), Encoded((1, 2, 3), SPACING, (b"f",), False)
    sent = message({"title": "Fall ä"}, [scan, labels])
    start = 4 + int.from_bytes(sent[:4], "little")
    header = json.loads(sent[4:start])
    assert sent[start:] == b"abcdef"
    assert (header["title"], header["shape"], header["spacing"]) == ("Fall ä", [1, 2, 3], [3.0, 2.0, 1.0])
    assert header["volumes"] == [{"chunks": [3, 2], "differenced": True}, {"chunks": [1], "differenced": False}]
    assert len(header["hu"]) == 256
