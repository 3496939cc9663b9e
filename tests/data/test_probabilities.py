"""Stored probabilities: what was put in comes back within half a 255th, whole or in parts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from autosam_platform.data.probabilities import (
    quantised,
    read_probabilities,
    read_probability_record,
    write_probabilities,
)

SHAPE = (20, 40, 30)


def _numbers() -> np.ndarray:
    """Three classes: all background but for the box 4..9, 10..29, 0..4, in which the first and last voxel differ."""
    numbers_KDHW = np.zeros((3, *SHAPE), np.uint8)
    numbers_KDHW[0] = 255
    inside = np.random.default_rng(0).dirichlet([1, 1, 1], (6, 20, 5)).transpose(3, 0, 1, 2)
    numbers_KDHW[:, 4:10, 10:30, 0:5] = quantised(torch.from_numpy(inside)).numpy()
    numbers_KDHW[:, 4, 10, 0] = numbers_KDHW[:, 9, 29, 4] = [250, 5, 0]
    return numbers_KDHW


def test_the_error_is_at_most_half_a_255th() -> None:
    probabilities = torch.randn(14, 1000, generator=torch.Generator().manual_seed(0)).mul(3).softmax(0)
    error = (quantised(probabilities).double() / 255 - probabilities.double()).abs()
    assert error.max() <= 0.5 / 255 + 1e-7
    assert quantised(torch.tensor([0.0, 0.5, 1.0, 0.0019, 0.002])).tolist() == [0, 128, 255, 0, 1]


def test_the_box_of_what_is_not_background_is_stored_and_the_whole_comes_back(tmp_path: Path) -> None:
    numbers_KDHW = _numbers()
    record = write_probabilities(tmp_path, "a", "made of this", numbers_KDHW)
    assert record.corner_DHW == (4, 10, 0) and record.shape_DHW == SHAPE
    assert 0 < record.stored_bytes < numbers_KDHW.nbytes
    assert read_probability_record(tmp_path, "a") == record
    np.testing.assert_array_equal(read_probabilities(tmp_path, "a", record, (0, 0, 0), SHAPE), numbers_KDHW)


@pytest.mark.parametrize(
    ("corner", "size"),
    [((5, 12, 1), (3, 4, 2)), ((-3, -2, -1), (10, 50, 8)), ((18, 35, 25), (6, 6, 6)), ((8, 28, 3), (20, 20, 40))],
)
def test_a_part_is_the_crop_of_a_volume_with_background_around(
    tmp_path: Path, corner: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    numbers_KDHW = _numbers()
    record = write_probabilities(tmp_path, "a", "", numbers_KDHW)
    edge = 64
    around = np.zeros((3, *(n + 2 * edge for n in SHAPE)), np.uint8)
    around[0] = 255
    around[:, edge:-edge, edge:-edge, edge:-edge] = numbers_KDHW
    part = tuple(slice(edge + a, edge + a + n) for a, n in zip(corner, size, strict=True))
    np.testing.assert_array_equal(read_probabilities(tmp_path, "a", record, corner, size), around[:, *part])


def test_a_case_of_nothing_but_background_needs_no_array(tmp_path: Path) -> None:
    numbers_KDHW = np.zeros((2, 4, 4, 4), np.uint8)
    numbers_KDHW[0] = 255
    record = write_probabilities(tmp_path, "a", "", numbers_KDHW)
    assert record.corner_DHW is None and [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_probability_record(tmp_path, "a") == record
    np.testing.assert_array_equal(read_probabilities(tmp_path, "a", record, (0, 0, 0), (4, 4, 4)), numbers_KDHW)


def test_a_case_is_there_only_with_its_record_and_its_array(tmp_path: Path) -> None:
    assert read_probability_record(tmp_path, "a") is None
    write_probabilities(tmp_path, "a", "", _numbers())
    (tmp_path / "a.b2nd").unlink()
    assert read_probability_record(tmp_path, "a") is None
    write_probabilities(tmp_path, "a", "", _numbers())
    (tmp_path / "a.json").write_text("{}")
    assert read_probability_record(tmp_path, "a") is None


def test_no_case_has_the_files_of_another(tmp_path: Path) -> None:
    ids = ("b03", "b03.label", "B03", "x" * 240)
    for case_id in ids:
        write_probabilities(tmp_path, case_id, f"made for {case_id}", _numbers())
    for case_id in ids:
        record = read_probability_record(tmp_path, case_id)
        assert record is not None and record.content == f"made for {case_id}"
    assert len(list(tmp_path.iterdir())) == 2 * len(ids)
