"""Window and scaling, on numbers that can be checked by hand."""

import numpy as np

from autosam_inference.card import Scaling
from autosam_inference.scans.intensity import fill_non_finite, normalise, to_window


def test_window_maps_onto_the_range() -> None:
    hu = np.array([-1000.0, -125.0, 75.0, 275.0, 3000.0])
    scaled = normalise(hu, (-125, 275), Scaling(to=(0, 1)))
    np.testing.assert_allclose(scaled, [0, 0, 0.5, 1, 1], atol=1e-7)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(normalise(hu, (-1000, 1000), Scaling(to=(-1, 1))), [-1, -0.125, 0.075, 0.275, 1])


def test_amos_subtracts_and_divides_after_clipping() -> None:
    hu = np.array([-2000, -991, 50, 191, 362, 900], np.int16)
    scaled = normalise(hu, (-991, 362), Scaling(subtract=50, divide=141))
    np.testing.assert_allclose(scaled, [-1041 / 141, -1041 / 141, 0, 1, 312 / 141, 312 / 141], rtol=1e-6)


def test_what_the_store_keeps_scales_as_the_scan_does() -> None:
    hu = np.random.default_rng(0).normal(0, 300, 1000).astype(np.float32)
    window, scaling = (-125, 275), Scaling(to=(0, 1))
    np.testing.assert_array_equal(normalise(to_window(hu, window), window, scaling), normalise(hu, window, scaling))


def test_every_integer_type_can_be_windowed() -> None:
    for kind in (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64):
        np.testing.assert_array_equal(to_window(np.array([0, 100], kind), (-125, 50)), [0, 50])


def test_non_finite_values_are_filled() -> None:
    array = np.array([1.0, np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(fill_non_finite(array, -125), [1, -125, -125, -125])
    whole = np.array([1, 2], np.int16)
    assert fill_non_finite(whole, -125) is whole
