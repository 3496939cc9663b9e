"""Who is drawn: class ids, the landmarks where organs meet, tissues and measures of one random patient."""

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosam_platform.data.phantom.tissue import Palette

Vector = NDArray[np.float64]  # (3,) x right, y front, z up in mm of the template


class Organ(IntEnum):
    """BTCV's class ids."""

    SPLEEN = 1
    RIGHT_KIDNEY = 2
    LEFT_KIDNEY = 3
    GALLBLADDER = 4
    ESOPHAGUS = 5
    LIVER = 6
    STOMACH = 7
    AORTA = 8
    CAVA = 9
    PORTAL = 10
    PANCREAS = 11
    RIGHT_ADRENAL = 12
    LEFT_ADRENAL = 13


class Landmarks:
    """Points where organs meet or stand, drawn once per patient so that what must join does join.

    The upper organs also shift together, apart from what each does by itself.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        upper = rng.normal(0, 5, 3)
        self.cardia = near(rng, (-22, 26, 78), (4, 4, 6)) + upper
        self.pylorus = near(rng, (32, 48, 6), (7, 6, 9)) + upper
        self.confluence = near(rng, (13, 28, 4), (4, 3, 6))
        self.liver_hilum = near(rng, (40, 32, 46), (5, 5, 6)) + upper
        self.right_kidney = near(rng, (66, -22, -22), (6, 5, 12))
        self.left_kidney = near(rng, (-65, -23, -10), (6, 5, 12))
        self.spleen = near(rng, (-90, -28, 44), (5, 8, 12)) + upper
        self.splenic_hilum = near(rng, self.spleen + vec(19, 18, -6), (3, 3, 5))
        self.gallbladder = near(rng, (55, 58, 2), (8, 8, 9)) + upper
        self.visceral = near(rng, (28, 22, 30), (8, 6, 8)) + upper  # on the liver's lower surface


class Patient:
    """One random patient; ``rng`` draws what concerns a single organ while that organ is painted."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.palette = Palette(rng)
        self.landmarks = Landmarks(rng)
        self.aorta_x = -9 + float(rng.normal(0, 3))


def vec(x: float, y: float, z: float) -> Vector:
    """A point or an offset."""
    return np.array([x, y, z], float)


def near(rng: np.random.Generator, point: ArrayLike, spread: ArrayLike) -> Vector:
    """``point`` moved by normal steps of ``spread`` mm, cut at two standard deviations."""
    moved: Vector = np.asarray(point, float) + np.asarray(spread, float) * np.clip(rng.normal(0, 1, 3), -2, 2)
    return moved
