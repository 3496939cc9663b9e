"""The patch store gives back what was put in, whole or in parts, and nothing half-written."""

from pathlib import Path

import blosc2
import numpy as np
import pytest

from autosam_inference.scans.intensity import normalise
from autosam_platform.data.description import load_description
from autosam_platform.data.store import (
    POINTS_PER_CLASS,
    CaseRecord,
    DamagedCaseError,
    StoredCase,
    describe_label,
    read_record,
    record_path,
    write_case,
)

BTCV = load_description("btcv")
SHAPE = (70, 40, 130)  # more and less than a chunk of 64


def _arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(-125, 276, SHAPE).astype(np.int16), rng.integers(0, 14, SHAPE).astype(np.uint8)


def _record(label: np.ndarray | None) -> CaseRecord:
    contents = None if label is None else describe_label(label, np.ones(label.shape, bool))
    return CaseRecord(
        case_id="img0001", content="0", status="ok", reasons=(), image="i", label="l", shape_DHW=SHAPE,
        spacing_DHW=(1.5, 1, 1), contents=contents,
    )  # fmt: skip


@pytest.fixture
def stored(tmp_path: Path) -> StoredCase:
    hu, label = _arrays()
    write_case(tmp_path, _record(label), hu, label)
    record = read_record(tmp_path, "img0001")
    assert record is not None
    return StoredCase(tmp_path, record, BTCV)


def test_whole_case_comes_back(stored: StoredCase) -> None:
    hu, label = _arrays()
    np.testing.assert_array_equal(stored.image().numpy(), normalise(hu, BTCV.hu_window, BTCV.scaling))
    np.testing.assert_array_equal(stored.label().numpy(), label)
    assert stored.shape_DHW == SHAPE and stored.spacing_DHW == (1.5, 1, 1)


@pytest.mark.parametrize(
    ("corner", "size"),
    [
        ((3, 5, 60), (50, 30, 70)),
        ((-4, 0, 100), (20, 40, 64)),
        ((60, -10, -10), (30, 60, 150)),
        ((72, 0, 0), (4, 4, 4)),
    ],
)
def test_patch_is_the_numpy_crop_of_the_padded_volume(
    stored: StoredCase, corner: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    hu, label = _arrays()
    part = tuple(slice(first + 40, first + 40 + n) for first, n in zip(corner, size, strict=True))
    image = normalise(np.pad(hu, 40, constant_values=-125)[part], BTCV.hu_window, BTCV.scaling)
    np.testing.assert_array_equal(stored.image_patch(corner, size), image)
    np.testing.assert_array_equal(stored.label_patch(corner, size), np.pad(label, 40)[part])


def test_layout_on_disk(stored: StoredCase) -> None:
    array = blosc2.open(str(stored.folder / "img0001.b2nd"), mode="r")
    assert (array.dtype, array.chunks, array.blocks) == (np.int16, (64, 40, 64), (32, 32, 32))
    assert array.schunk.cparams.codec == blosc2.Codec.LZ4
    assert sorted(path.name for path in stored.folder.iterdir()) == [
        "img0001.b2nd",
        "img0001.json",
        "img0001.label.b2nd",
    ]


def test_label_contents_on_a_map_to_count_by_hand() -> None:
    label = np.zeros((2, 3, 4), np.uint8)
    label[0, 1, 1:3] = 5
    label[1, 2, 3] = 2
    in_patient = np.zeros(label.shape, bool)
    in_patient[0, 0, :2] = True
    in_patient[0, 1, 1] = True
    contents = describe_label(label, in_patient)
    assert contents.voxels == {0: 21, 2: 1, 5: 2}
    assert contents.boxes == {2: ((1, 2), (2, 3), (3, 4)), 5: ((0, 1), (1, 2), (1, 3))}
    assert contents.points == {0: [0, 1], 2: [23], 5: [5, 6]}


def test_points_are_a_fixed_sample_of_their_class() -> None:
    _, label = _arrays()
    contents = describe_label(label, np.ones(label.shape, bool))
    assert contents == describe_label(label, np.ones(label.shape, bool))
    for value, points in contents.points.items():
        assert len(points) == len(set(points)) == POINTS_PER_CLASS
        assert (label.ravel()[points] == value).all()
        assert np.unravel_index(points, label.shape)[0].std() > 15, "spread over the volume"


def test_case_without_label(tmp_path: Path) -> None:
    hu, _ = _arrays()
    case = StoredCase(tmp_path, write_case(tmp_path, _record(None), hu, None), BTCV)
    assert case.image().shape == SHAPE
    with pytest.raises(ValueError, match="case 'img0001' has no label"):
        case.label()


def test_failure_while_writing_leaves_no_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hu, label = _arrays()
    write_case(tmp_path, _record(label), hu, label)

    def fail(array: np.ndarray, urlpath: str, **options: object) -> None:
        Path(urlpath).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(blosc2, "asarray", fail)
    with pytest.raises(OSError, match="No space"):
        write_case(tmp_path, _record(label), hu, label)
    assert read_record(tmp_path, "img0001") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["img0001.b2nd", "img0001.label.b2nd"]


def test_record_of_another_version_does_not_count(tmp_path: Path) -> None:
    record_path(tmp_path, "a").write_text('{"case_id": "a", "made_by": "an older version"}')
    assert read_record(tmp_path, "a") is None


def test_record_without_its_arrays_does_not_count(stored: StoredCase) -> None:
    (stored.folder / "img0001.label.b2nd").unlink()
    assert read_record(stored.folder, "img0001") is None


def test_damaged_array_says_what_to_do(stored: StoredCase) -> None:
    path = stored.folder / "img0001.label.b2nd"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DamagedCaseError, match=r"img0001\.label\.b2nd is missing or damaged.*run the same command"):
        stored.label()
    path.unlink()
    with pytest.raises(DamagedCaseError, match=r"img0001\.label\.b2nd is missing or damaged.*run the same command"):
        stored.label()


@pytest.mark.parametrize("name", ["img0001.b2nd", "img0001.label.b2nd", "img0001.json"])
def test_no_flipped_bit_is_ever_used(stored: StoredCase, name: str) -> None:
    """Compression hides most of them: an array with one reads without an error, as another array."""
    path = stored.folder / name
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 20):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])
        if name.endswith(".json"):
            assert read_record(stored.folder, "img0001") is None
        else:
            with pytest.raises(DamagedCaseError, match="damaged"):
                _ = stored.image(), stored.label()
    path.write_bytes(whole)
    assert read_record(stored.folder, "img0001") == stored.record
    np.testing.assert_array_equal(stored.label().numpy(), _arrays()[1])
