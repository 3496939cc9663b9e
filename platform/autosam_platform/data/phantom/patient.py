"""Who is drawn: sex, age and build, the landmarks where organs meet, tissues and what is missing or added."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.tissue import Palette

Vector = NDArray[np.float64]  # (3,) x right, y front, z up in mm of the template

# Share of patients without an organ: after its removal, or born so.
MISSING = {Organ.GALLBLADDER: 0.08, Organ.SPLEEN: 0.015, Organ.RIGHT_KIDNEY: 0.008, Organ.LEFT_KIDNEY: 0.012}
ASCITES, CLIPS, ARMS_DOWN = 0.06, 0.06, 0.06
"""Shares of patients with free fluid, with surgical clips, and who could not raise their arms."""
RENAL_CYSTS, HEPATIC_CYSTS = 0.41, 0.18
"""Shares of patients on CT: Carrim and Murchison, Clinical Radiology 58 (2003) 626."""
METASTASES, FATTY_LIVER = 0.08, 0.15
"""Shares of patients; how many there are depends on who is scanned, so these are a choice."""


@dataclass(frozen=True)
class Person:
    """Sex, age in years, and the subcutaneous fat at the flanks in mm."""

    female: bool
    age: float
    fat: float

    @property
    def size(self) -> float:
        """Of the skeleton and the organs, relative to the template.

        Women's livers and kidneys have 0.81 to 0.83 of men's volumes (Geraghty et al., Abdominal Imaging 29 (2004)
        482); the cube root of that is 0.935.
        """
        return 0.975 if self.female else 1.03


def draw_person(rng: np.random.Generator, female_share: float) -> Person:
    """An adult as hospitals scan them: 18 to 95, most above 45; fatter with age and in women."""
    female = bool(rng.random() < female_share)
    age = float(np.clip(rng.normal(58, 16), 18, 95))
    fat = rng.gamma(4.0, 4.2) * (1.15 if female else 0.95) * (0.85 + 0.0025 * age)
    return Person(female, age, float(np.clip(fat, 5, 36)))


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
        self.visceral = near(rng, (13, 12, 12), (8, 6, 8)) + upper  # on the liver's lower surface
        self.aorta_x = -9 + float(rng.normal(0, 3))
        self.bladder_neck = near(rng, (0, 20, -278), (2, 4, 4))
        self.bladder_full = float(rng.random())  # 0 to 1
        self.sigmoid_end = near(rng, (-4, -34, -196), (6, 4, 6))


class Patient:
    """One random patient; ``rng`` draws what concerns a single organ while that organ is painted."""

    def __init__(self, rng: np.random.Generator, person: Person) -> None:
        self.rng = rng
        self.person = person
        self.palette = Palette(rng, person.age, fatty=bool(rng.random() < FATTY_LIVER))
        self.landmarks = Landmarks(rng)
        self.missing = {organ for organ, share in MISSING.items() if rng.random() < share}
        if {Organ.RIGHT_KIDNEY, Organ.LEFT_KIDNEY} <= self.missing:
            self.missing.discard(Organ.RIGHT_KIDNEY)  # nobody lives without both
        self.ascites = float(rng.uniform(6, 26)) if rng.random() < ASCITES else 0.0
        self.arms_down = bool(rng.random() < ARMS_DOWN)
        self.clips = bool(rng.random() < CLIPS) or (Organ.GALLBLADDER in self.missing and bool(rng.random() < 0.6))


def vec(x: float, y: float, z: float) -> Vector:
    """A point or an offset."""
    return np.array([x, y, z], float)


def near(rng: np.random.Generator, point: ArrayLike, spread: ArrayLike) -> Vector:
    """``point`` moved by normal steps of ``spread`` mm, cut at two standard deviations."""
    moved: Vector = np.asarray(point, float) + np.asarray(spread, float) * np.clip(rng.normal(0, 1, 3), -2, 2)
    return moved
