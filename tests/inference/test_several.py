"""Several models as one: the mean of their probabilities, whatever their patches and the order they come in."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from numpy_runtime import NumpyConvolution
from small_models import write_model

from autosam_inference.card import ModelCard, read_card
from autosam_inference.model import TrainedModel
from autosam_inference.several import MeanModel, ModelFolders, mean_logits, mean_of, side_by_side
from autosam_inference.sliding_window import Slab
from autosam_platform.data.description import load_description

SPACING = (2.0, 2.0, 2.0)


@dataclass(frozen=True)
class Constant(NumpyConvolution):
    """Says the same of every voxel."""

    def logits(self, patches_BCDHW: NDArray[np.float32]) -> NDArray[np.float32]:
        chances_K = self.filters_KDHW[:, 0, 0, 0]
        shape = (len(patches_BCDHW), len(chances_K), *patches_BCDHW.shape[2:])
        return np.broadcast_to(np.log(chances_K)[None, :, None, None, None], shape).astype(np.float32)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    folder = write_model(tmp_path_factory.mktemp("model"), load_description("btcv"), SPACING)
    return read_card(folder).model_copy(update={"num_classes": 4})


def says(card: ModelCard, *chances: float) -> TrainedModel:
    return TrainedModel(card, Constant(np.array(chances, np.float32)[:, None, None, None]), 0.5)


def probabilities(model: TrainedModel, image_DHW: NDArray[np.float32]) -> NDArray[np.float32]:
    logits_KDHW = np.concatenate([slab.logits_KDHW for slab in model.logits(image_DHW, (0, 1, 2))], 1)
    return torch.from_numpy(logits_KDHW).softmax(0).numpy()


def test_the_mean_of_two_by_hand(card: ModelCard) -> None:
    """(0.9 + 0.5) / 2 = 0.7, and so on; the mean of logits would give another answer."""
    mean = mean_of([says(card, 0.9, 0.06, 0.04, 0.0001), says(card, 0.5, 0.3, 0.2, 0.0001)])
    found_KDHW = probabilities(mean, np.random.default_rng(0).random((20, 18, 17), np.float32))
    np.testing.assert_allclose(found_KDHW.reshape(4, -1).T[[0, 999]], [[0.7, 0.18, 0.12, 0.0001]] * 2, atol=1e-4)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_class_that_no_one_sees_has_a_finite_logit(library: str) -> None:
    logits = [np.array([[0.0], [-500.0]], np.float32), np.array([[0.0], [-900.0]], np.float32)]
    mean = mean_logits(logits if library == "numpy" else [torch.from_numpy(each) for each in logits])
    assert np.isfinite(np.asarray(mean)).all() and float(mean[0, 0]) == 0.0


def test_patches_may_differ_and_every_slice_is_the_mean_of_the_members_own(card: ModelCard) -> None:
    image_DHW = np.random.default_rng(1).random((41, 18, 17), np.float32)
    small = TrainedModel(card, NumpyConvolution.random(seed=1), 0.5)
    large = TrainedModel(card.model_copy(update={"patch": (24, 16, 8)}), NumpyConvolution.random(seed=2), 0.5)
    mean = mean_of([small, large])
    expected_KDHW = (probabilities(small, image_DHW) + probabilities(large, image_DHW)) / 2
    np.testing.assert_allclose(probabilities(mean, image_DHW), expected_KDHW, atol=1e-6)
    assert mean.card.patch == (16, 16, 16) and mean.card.run_id == "mean of small-01234567, small-01234567"


def test_progress_is_of_all_windows_together(card: ModelCard) -> None:
    told: list[tuple[int, int]] = []
    image_DHW = np.random.default_rng(0).random((24, 16, 16), np.float32)
    mean = mean_of([says(card, 0.4, 0.3, 0.2, 0.1)] * 3)
    list(mean.logits(image_DHW, (0, 1, 2), progress=lambda done, total: told.append((done, total))))
    assert told[-1] == (6, 6) and all(done <= total for done, total in told)


def test_slabs_are_cut_where_any_of_them_ends() -> None:
    def sweep(*ends: int) -> list[Slab]:
        starts = [0, *ends[:-1]]
        return [Slab(a, b, np.arange(a, b)[None, :, None, None]) for a, b in zip(starts, ends, strict=True)]

    found = list(side_by_side([iter(sweep(2, 5)), iter(sweep(3, 5))]))
    assert [[(slab.start, slab.stop) for slab in slabs] for slabs in found] == [
        [each] * 2 for each in [(0, 2), (2, 3), (3, 5)]
    ]
    assert all(
        (slab.logits_KDHW.ravel() == np.arange(slab.start, slab.stop)).all() for slabs in found for slab in slabs
    )
    with pytest.raises(ValueError, match="do not cover the same slices"):
        list(side_by_side([iter(sweep(2, 5)), iter(sweep(3))]))


def test_models_that_see_other_voxels_have_no_mean(card: ModelCard) -> None:
    model = says(card, 0.4, 0.3, 0.2, 0.1)
    with pytest.raises(ValueError, match="no mean"):
        mean_of([model, replace(model, card=card.model_copy(update={"spacing_xyz": (1.0, 1.0, 1.0)}))])


def test_folders_are_the_same_mean_in_any_order_and_one_is_itself(tmp_path: Path) -> None:
    one, other = (write_model(tmp_path / str(seed), load_description("btcv"), SPACING, seed) for seed in (0, 1))
    assert ModelFolders.of(one, other) == ModelFolders.of(other, one)
    assert ModelFolders.of(one, other).hash not in (ModelFolders.of(one).hash, ModelFolders.of(other).hash)
    both = ModelFolders.of(one, other)
    assert isinstance(both.load(both.hash, 0.5), MeanModel)
    assert type(ModelFolders.of(one).load("hash", 0.5)) is TrainedModel
    assert both.bytes_of_prediction() == 2 * ModelFolders.of(one).bytes_of_prediction()
