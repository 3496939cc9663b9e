"""Hounsfield units: what each tissue measures without contrast and in two phases, and how it looks inside."""

from collections.abc import Callable

import numpy as np

from autosam_platform.data.phantom.canvas import Spot, Tissue
from autosam_platform.data.phantom.shapes import Field, smooth_step

AIR, LUNG, FAT = -1000.0, -840.0, -104.0
PHASES = {"none": 0.2, "arterial": 0.2, "portal": 0.6}  # share of cases; BTCV's own are portal-venous

# Mean HU without contrast, in the arterial and in the portal-venous phase.
ENHANCEMENT = {
    "spleen": (45, 118, 116),
    "kidney": (32, 95, 158),
    "kidney_cortex": (33, 165, 164),
    "gallbladder": (8, 8, 9),
    "esophagus": (38, 48, 60),
    "stomach": (40, 66, 76),
    "liver": (55, 66, 106),
    "aorta": (42, 285, 148),
    "cava": (40, 74, 132),
    "portal": (41, 88, 158),
    "pancreas": (36, 96, 88),
    "adrenal": (22, 62, 68),
    "bowel": (40, 74, 84),
    "muscle": (52, 56, 62),
    "heart": (42, 190, 140),
}


class Palette:
    """The HU of one case's tissues: phase, strength of its contrast and a small shift of every tissue."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.phase = str(rng.choice(list(PHASES), p=list(PHASES.values())))
        column, strength = list(PHASES).index(self.phase), rng.normal(1.0, 0.09)
        self.hu = {
            name: hu[0] + (hu[column] - hu[0]) * strength * rng.normal(1.0, 0.05) + rng.normal(0, 3.5)
            for name, hu in ENHANCEMENT.items()
        }
        self.fat = FAT + rng.normal(0, 4)
        self.marrow = rng.uniform(110, 190)

    def __getitem__(self, name: str) -> float:
        return float(self.hu[name])

    def solid(self, name: str, mottle: float = 4.0) -> Tissue:
        """Tissue that varies by ``mottle`` HU from place to place."""

        def tissue(spot: Spot) -> Field:
            return self[name] + mottle * (0.6 * spot.lumps + 0.8 * spot.grain)

        return tissue

    def kidney(self) -> Tissue:
        """A cortex of about 7 mm around the medulla; they differ in the arterial phase."""

        def tissue(spot: Spot) -> Field:
            cortex = smooth_step(spot.depth + 2 * spot.grain, 9.0, 5.0)
            return self["kidney"] + (self["kidney_cortex"] - self["kidney"]) * cortex + 5 * spot.grain

        return tissue

    def spleen(self) -> Tissue:
        """Even, but striped in the arterial phase, as its pulp fills unevenly."""
        return self.solid("spleen", mottle=16.0 if self.phase == "arterial" else 4.0)

    def pancreas(self, fatty: float) -> Tissue:
        """Lobules with fat between them; ``fatty`` from 0 to 1."""

        def tissue(spot: Spot) -> Field:
            fat = fatty * smooth_step(spot.grain, 0.7, 2.0)
            return self["pancreas"] + (self.fat - self["pancreas"]) * fat + 5 * spot.lumps

        return tissue

    def muscle(self) -> Tissue:
        """Muscle streaked with fat."""
        return lambda spot: self["muscle"] - 75 * smooth_step(spot.grain + 0.5 * spot.lumps, 1.3, 3.0)

    def bone(self, cortex: float, thickness: float = 2.5) -> Tissue:
        """A cortex of ``thickness`` mm and ``cortex`` HU around marrow."""

        def tissue(spot: Spot) -> Field:
            inner = smooth_step(spot.depth, thickness * 0.6, thickness * 1.4)
            return cortex + (self.marrow + 30 * spot.grain - cortex) * inner

        return tissue

    def hollow(self, wall: str, thickness: float, content: Tissue, gas_above: float | None = None) -> Tissue:
        """A wall of ``thickness`` mm around ``content``, and gas where y is above ``gas_above`` mm."""

        def tissue(spot: Spot) -> Field:
            filling = content(spot) if callable(content) else np.full_like(spot.depth, content)
            if gas_above is not None:
                gas = smooth_step(spot.points[1], gas_above - 1, gas_above + 1)
                filling = filling + (AIR + 20 - filling) * gas
            lumen = smooth_step(spot.depth, thickness - 1, thickness + 1)
            return self[wall] + 4 * spot.grain + (filling - self[wall]) * lumen

        return tissue


def content(rng: np.random.Generator, kinds: dict[str, float]) -> Tissue:
    """What a stomach or bowel holds: one of ``kinds`` (name → share of cases)."""
    makers: dict[str, Callable[[np.random.Generator], Tissue]] = {
        "fluid": lambda rng: float(rng.uniform(5, 32)),
        "collapsed": lambda rng: float(rng.uniform(35, 70)),
        "food": lambda rng: _mixture(rng.uniform(15, 50), 30.0),
        "oral_contrast": lambda rng: float(rng.uniform(150, 330)),
        "stool": lambda rng: _mixture(rng.uniform(-60, 30), 90.0, pockets=1.2),
        "gas": lambda rng: AIR + 20,
    }
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    return makers[kind](rng)


def _mixture(mean: float, spread: float, pockets: float = 2.4) -> Tissue:
    """Lumpy content with gas pockets where the fine field is above ``pockets`` standard deviations."""

    def tissue(spot: Spot) -> Field:
        gas = smooth_step(spot.grain, pockets, pockets + 0.6)
        return mean + spread * (0.5 * spot.lumps + 0.5 * spot.grain) + (-700 - mean) * gas

    return tissue
