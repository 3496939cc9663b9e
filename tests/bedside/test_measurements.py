"""Volumes and HU of organs, against a slow reference and numbers that can be checked by hand."""

import numpy as np
import pytest
from small_cards import organs, small_card

from autosam_inference.measurements import Measurement, measure
from autosam_inference.prediction import Prediction
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.scan import Scan


def prediction(label_DHW: np.ndarray, hu_DHW: np.ndarray, spacing_DHW: tuple[float, float, float]) -> Prediction:
    return Prediction(Scan.of(Volume(hu_DHW, spacing_DHW)), label_DHW, small_card(organs(3)), {})


def test_volume_and_hu_of_an_organ_by_hand() -> None:
    label_DHW, hu_DHW = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), -1000, np.int16)
    label_DHW[0, 0, 0] = label_DHW[1, 1, 2] = 2
    hu_DHW[0, 0, 0], hu_DHW[1, 1, 2] = 30, 50
    first, second, third = measure(prediction(label_DHW, hu_DHW, (5.0, 2.0, 1.0)))
    assert (second.voxels, second.mean_hu, second.sd_hu) == (2, 40.0, 10.0)
    assert second.volume_ml == pytest.approx(0.02)  # 2 × 10 mm³
    assert first == Measurement(organs(3)[0], 0, 0.0, None, None) and third.mean_hu is None


def test_all_organs_as_masks_tell_them() -> None:
    generator = np.random.default_rng(0)
    label_DHW = generator.integers(0, 4, (7, 9, 8)).astype(np.uint8)
    hu_DHW = generator.normal(40, 300, label_DHW.shape).astype(np.float32)
    for found in measure(prediction(label_DHW, hu_DHW, (3.0, 1.5, 0.7))):
        values = hu_DHW[label_DHW == found.organ.id].astype(np.float64)
        assert found.voxels == values.size
        np.testing.assert_allclose(
            [found.volume_ml, found.mean_hu, found.sd_hu],
            [values.size * 3.15e-3, values.mean(), values.std()],
            rtol=1e-9,
        )


def test_constant_organ_has_no_spread() -> None:
    """Rounding must not make the variance negative."""
    label_DHW, hu_DHW = np.ones((4, 5, 6), np.uint8), np.full((4, 5, 6), 1000.1, np.float32)
    assert (measure(prediction(label_DHW, hu_DHW, (1.0, 1.0, 1.0)))[0].sd_hu or 0.0) < 1e-3
