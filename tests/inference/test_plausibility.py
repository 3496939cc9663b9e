"""A scan whose values are spread otherwise than in training is predicted, and said to be unlike."""

from dataclasses import replace

import numpy as np
import pytest
from numpy_runtime import CLASSES, NumpyConvolution
from small_cards import organs, small_card

from autosam_inference import Scan, TrainedModel, Volume, predict
from autosam_inference.scans.plausibility import HISTOGRAM_HU, histogram, unlike_training

SHAPE = (24, 40, 40)


def abdomen(*, soft: float = 60, fat: float = -100, air: float = -1000, seed: int = 0) -> Scan:
    """A patient of fat and soft tissue in air, with a scanner's noise."""
    rng = np.random.default_rng(seed)
    hu_DHW = np.full(SHAPE, air)
    hu_DHW[:, 6:34, 4:36] = fat
    hu_DHW[:, 10:30, 8:32] = soft
    return Scan.of(Volume((hu_DHW + rng.normal(0, 15, SHAPE)).astype(np.float32), (3.0, 2.0, 2.0)))


EXPECTED = histogram(abdomen(seed=1).volume.array_DHW)


def test_a_histogram_counts_every_voxel_in_its_bin() -> None:
    counts = histogram(np.array([-1100.0, -1090.0, 0.0, 24.9, 25.0, 5000.0]))
    low_edges = {low: count for low, count in zip(HISTOGRAM_HU, counts, strict=False) if count}
    assert low_edges == {-1100: 2, 0: 2, 25: 1}


def test_another_patient_of_the_same_scanner_is_not_worth_a_word() -> None:
    assert unlike_training(abdomen(seed=2), EXPECTED) == []
    assert unlike_training(abdomen(soft=75), EXPECTED) == [], "a little more contrast"
    assert unlike_training(abdomen(soft=300), ()) == [], "older models do not know their training scans"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"air": -905.0}, "its air lies near -912.5 HU, in the training scans near -1"),
        ({"fat": -60.0, "soft": 160.0}, "its soft tissue lies near 16"),
        ({"fat": -20.0, "soft": 230.0}, "tissue's values only"),
    ],
)
def test_what_differs_is_named(changes: dict[str, float], said: str) -> None:
    notes = unlike_training(abdomen(**changes), EXPECTED)
    assert any(said in note for note in notes), notes


def test_a_prediction_carries_the_warning() -> None:
    card = small_card(organs(CLASSES - 1))
    model = TrainedModel(card, NumpyConvolution.random(), 0.25)
    assert predict(model, abdomen(soft=130.0)).scan.notes == ()
    warned = replace(model, card=card.model_copy(update={"histogram": EXPECTED}))
    assert "WARNING" in " ".join(predict(warned, abdomen(soft=130.0)).scan.notes)
