"""The map of Figure 1A: what is on it, where from, and that it comes out the same again."""

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave
from small_sam import small_sam

from autosam_models.prompted.asking import Asking
from autosam_models.prompted.sam import PromptedSam
from autosam_platform.studies.description import StudyError
from autosam_platform.studies.embeddings import NATURAL, embedding_map, save_map

COUNT = 24


@pytest.fixture(scope="module")
def network() -> PromptedSam:
    return PromptedSam(small_sam(), Asking())


def _slices(seed: int) -> list[np.ndarray]:
    """Dark pictures with a bright disc somewhere: nothing like a photograph."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64]
    found = []
    for _ in range(COUNT):
        y, x, radius = rng.integers(16, 48), rng.integers(16, 48), rng.integers(5, 15)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        found.append(np.repeat(np.where(disc, 200, 5).astype(np.uint8)[..., None], 3, axis=2))
    return found


def test_slices_and_natural_images_are_mapped_and_the_map_is_the_same_again(
    network: PromptedSam, tmp_path: Path
) -> None:
    found = embedding_map(network, {"discs": _slices(0)}, None, COUNT)
    again = embedding_map(network, {"discs": _slices(0)}, None, COUNT)
    assert found.groups == ("discs",) * COUNT + (NATURAL,) * COUNT
    np.testing.assert_array_equal(found.places_N2, again.places_N2)
    assert found.silhouette > 0.2  # they have nothing in common
    save_map(found, [tmp_path / "map.png", tmp_path / "map.svg"], tmp_path / "points.csv", "A map")
    with (tmp_path / "points.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["group"] for line in lines] == list(found.groups)
    assert float(lines[3]["x"]) == pytest.approx(found.places_N2[3, 0], abs=1e-3)
    assert f"{COUNT} of discs, {COUNT} of natural images" in found.remarks[0]
    assert (tmp_path / "map.png").stat().st_size > 0 < (tmp_path / "map.svg").stat().st_size


def test_pictures_that_are_alike_are_not_told_apart(network: PromptedSam, tmp_path: Path) -> None:
    """The natural images are discs as well: a silhouette that says otherwise would say it of anything."""
    for number, image in enumerate(_slices(1)):
        imsave(tmp_path / f"{number}.png", image)
    found = embedding_map(network, {"discs": _slices(0)}, tmp_path, COUNT)
    assert abs(found.silhouette) < 0.1
    assert found.source == f"{COUNT} pictures of {tmp_path}"


def test_a_folder_without_pictures_and_a_file_that_is_none_are_refused(network: PromptedSam, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no picture: name a folder of JPEG or PNG files"):
        embedding_map(network, {"discs": _slices(0)}, tmp_path, COUNT)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(StudyError, match=r"broken\.png cannot be read as a picture"):
        embedding_map(network, {"discs": _slices(0)}, tmp_path, COUNT)
