"""Organs that touch are told apart by their colours over soft tissue, whatever one's sight.

Colour-blind sight: Machado et al. 2009, severity 1, on linear RGB. Distances: CIE 1976, D65.
"""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from autosam_inference.scans.colours import organ_colour
from autosam_platform.data.description import description_names, load_description

CONTROLS = Path(__file__).parents[2] / "dashboard" / "components" / "viewer" / "browser" / "controls.js"

TOUCHING = {
    "liver": "gallbladder, right kidney, stomach, inferior vena cava, right adrenal gland, esophagus, duodenum, "
    "portal and splenic veins, pancreas, spleen, kidneys, lungs, bones, left kidney",
    "spleen": "stomach, left kidney, pancreas, portal and splenic veins, left adrenal gland, lungs",
    "stomach": "pancreas, esophagus, left adrenal gland, duodenum, gallbladder, left kidney, portal and splenic veins, "
    "lungs",
    "pancreas": "portal and splenic veins, duodenum, inferior vena cava, aorta, left adrenal gland, left kidney, "
    "gallbladder, right adrenal gland",
    "inferior vena cava": "right adrenal gland, aorta, duodenum, right kidney, portal and splenic veins",
    "aorta": "left adrenal gland, esophagus, duodenum, portal and splenic veins, left kidney",
    "right kidney": "right adrenal gland, duodenum, gallbladder",
    "left kidney": "left adrenal gland",
    "gallbladder": "duodenum, portal and splenic veins",
    "portal and splenic veins": "duodenum, left adrenal gland",
    "right adrenal gland": "duodenum",
    "bladder": "prostate, prostate/uterus, rectum, bones",
    "rectum": "prostate, prostate/uterus",
    "bones": "kidneys, lungs, prostate/uterus",
    "lungs": "kidneys",
}
PAIRS = [(one, other) for one, others in TOUCHING.items() for other in others.split(", ")]

SIGHTS = {
    "normal": np.eye(3),
    "deuteranope": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanope": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "tritanope": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
SOFT_TISSUE = [115, 140, 166]
"""Greys of 20, 60 and 100 HU in the window 40/400: muscle, parenchyma without and with contrast."""


def _lab(rgb: np.ndarray, sight: np.ndarray) -> np.ndarray:
    """CIE L*, a*, b* of a colour (0 to 255) as somebody with that sight sees it."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(sight @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    x, y, z = (value if value > 0 else 0.0 for value in to_xyz @ seen / [0.95047, 1.0, 1.08883])
    fx, fy, fz = (np.cbrt(value) if value > 0.008856 else 7.787 * value + 16 / 116 for value in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def _over(colour: tuple[int, int, int], grey: int, opacity: float) -> np.ndarray:
    return opacity * np.array(colour) + (1 - opacity) * grey


def test_lab_of_known_colours() -> None:
    assert _lab(np.array([255, 255, 255]), np.eye(3)) == pytest.approx([100, 0, 0], abs=0.02)
    assert _lab(np.array([255, 0, 0]), np.eye(3)) == pytest.approx([53.24, 80.09, 67.20], abs=0.02)


@pytest.mark.parametrize("sight", SIGHTS)
def test_organs_that_touch_are_told_apart_over_soft_tissue(sight: str) -> None:
    (opacity,) = map(float, re.findall(r"const OPACITY = ([\d.]+);", CONTROLS.read_text(encoding="utf-8")))
    for one, other in PAIRS:
        for grey in SOFT_TISSUE:
            first, second = (_lab(_over(organ_colour(each), grey, opacity), SIGHTS[sight]) for each in (one, other))
            assert np.linalg.norm(first - second) >= 20, (one, other, grey)


def test_any_two_organs_of_a_dataset_differ() -> None:
    for name in description_names():
        organs = [each.name for each in load_description(name).classes]
        for one, other in combinations(organs, 2):
            first, second = (_lab(np.array(organ_colour(each)), np.eye(3)) for each in (one, other))
            assert np.linalg.norm(first - second) >= 25, (name, one, other)
