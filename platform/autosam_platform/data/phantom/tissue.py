"""Hounsfield units: what each tissue measures without contrast and in three phases, and how it looks inside.

Where the figures are from, and what they were rounded to:

- Liver without contrast 58 ± 9 HU, 32 ± 14 with severe steatosis: Int. J. Legal Med. (2019), s00414-019-02016-1.
- Kidney without contrast 30 ± 5 HU: controls of a study of obstructed kidneys, Eur. J. Radiol. (2011), PMID 21388763.
- What contrast adds in the late arterial phase: aorta 300-336 HU, spleen 97-108, portal vein 75-104, liver 15-25; in
  the portal-venous phase: liver 59-63, aorta 117-125, spleen 73-82: Goshima et al., AJR 187 (2006) W25. Ours is a
  little lower, as most patients get less than 2 ml/kg.
- Aorta in the late arterial phase 290-360 HU, portal vein 145 ± 20: Radiopaedia, "Late arterial phase".
- The order of the renal phases (cortex first, then even at 70-80 s, the collecting system filled minutes later) and the
  decline of all vessels towards one level in the late phase: Bae, Radiology 256 (2010) 32.
- Marrow of L1 226 ± 44 HU below 30 years, 89 ± 38 from 90 on: Jang et al., Radiology 291 (2019) 360.
- Ascites 0-20 HU; lung, fat, muscle, bowel, urine, stool and bone cortex: textbook ranges, chosen wide on purpose.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from autosam_platform.data.phantom.canvas import Spot, Tissue
from autosam_platform.data.phantom.shapes import Field, smooth_step

AIR, LUNG, FAT, METAL = -1000.0, -840.0, -104.0, 3000.0
PHASES = {"none": 0.18, "arterial": 0.17, "portal": 0.53, "late": 0.12}  # share of cases; BTCV's own are portal-venous

# Mean HU without contrast, in the arterial, the portal-venous and the late phase (some minutes after the injection).
ENHANCEMENT = {
    "spleen": (46, 122, 118, 82),
    "kidney": (31, 92, 158, 108),
    "kidney_cortex": (33, 168, 164, 112),
    "urine_in_kidney": (6, 6, 14, 620),
    "gallbladder": (8, 8, 9, 10),
    "esophagus": (38, 48, 60, 56),
    "stomach": (40, 66, 76, 66),
    "liver": (57, 72, 108, 86),
    "aorta": (42, 290, 150, 100),
    "cava": (40, 74, 132, 98),
    "iliac_vein": (40, 46, 96, 100),
    "portal": (41, 110, 160, 100),
    "pancreas": (38, 98, 88, 68),
    "adrenal": (22, 62, 68, 48),
    "bowel": (40, 74, 84, 70),
    "muscle": (52, 56, 62, 60),
    "heart": (42, 190, 140, 98),
    "myocardium": (46, 105, 112, 92),
    "prostate": (40, 56, 74, 82),
    "uterus": (48, 84, 112, 104),
    "bladder_wall": (38, 48, 58, 62),
    "metastasis": (42, 52, 62, 64),
}
CYST = 6.0


class Palette:
    """The HU of one case's tissues: phase, strength of its contrast and a small shift of every tissue.

    Attributes:
        phase: name of the contrast phase.
        hu: tissue → mean HU.
        fat, marrow: of this case.
        flabby: how much fat streaks the muscles, 0 to 1; more with age.
    """

    def __init__(self, rng: np.random.Generator, age: float, *, fatty: bool) -> None:
        self.phase = str(rng.choice(list(PHASES), p=list(PHASES.values())))
        column, strength = list(PHASES).index(self.phase), rng.normal(1.0, 0.12)
        self.hu = {
            name: hu[0] + (hu[column] - hu[0]) * strength * rng.normal(1.0, 0.06) + rng.normal(0, 4)
            for name, hu in ENHANCEMENT.items()
        }
        self.hu["kidney_cortex"] += self.hu["kidney"] - _mean("kidney", column, strength)  # both drift together
        self.hu["liver"] -= rng.uniform(12, 40) if fatty else 0.0
        self.fat = FAT + rng.normal(0, 4)
        self.marrow = float(np.clip(226 - 2.1 * (age - 25) + rng.normal(0, 28), 50, 290))
        self.flabby = float(np.clip((age - 30) / 60 + rng.normal(0, 0.2), 0, 1))

    def __getitem__(self, name: str) -> float:
        return float(self.hu[name])

    def solid(self, name: str, mottle: float = 4.0) -> Tissue:
        """Tissue that varies by ``mottle`` HU from place to place."""

        def tissue(spot: Spot) -> Field:
            return self[name] + mottle * (0.6 * spot.lumps + 0.8 * spot.grain)

        return tissue

    def kidney(self) -> Tissue:
        """A cortex of about 7 mm, with columns that run between pyramids of medulla; equal in the portal phase."""

        def tissue(spot: Spot) -> Field:
            cortex = smooth_step(spot.depth + 2 * spot.grain, 9.0, 5.0)
            column = 0.7 * smooth_step(spot.lumps, 0.7, 1.3)
            cortex = np.maximum(cortex, column)
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
        start = 1.9 - 1.1 * self.flabby
        return lambda spot: self["muscle"] - 75 * smooth_step(spot.grain + 0.5 * spot.lumps, start, start + 1.7)

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


def with_spots(tissue: Tissue, spots: Sequence[tuple[NDArray[np.float64], float, float]]) -> Tissue:
    """``tissue`` with round lesions in it, each a centre (mm of the template), a radius in mm and its HU."""
    if not spots:
        return tissue

    def spotted(spot: Spot) -> Field:
        hu = np.asarray(tissue(spot) if callable(tissue) else np.full_like(spot.depth, tissue))
        for centre, radius, level in spots:
            offsets = (v - np.float32(c) for v, c in zip(spot.points, centre, strict=True))
            off = np.sqrt(sum(v * v for v in offsets)) - radius + 0.8 * spot.lumps
            hu = hu + (level + 3 * spot.grain - hu) * smooth_step(off, 1.0, -1.0)
        return hu

    return spotted


def content(rng: np.random.Generator, kinds: dict[str, float]) -> Tissue:
    """What a stomach or bowel holds: one of ``kinds`` (name → share of cases)."""
    makers: dict[str, Callable[[np.random.Generator], Tissue]] = {
        "fluid": lambda rng: float(rng.uniform(5, 32)),
        "collapsed": lambda rng: float(rng.uniform(35, 70)),
        "food": lambda rng: _mixture(rng.uniform(15, 50), 30.0),
        "oral_contrast": lambda rng: float(rng.uniform(130, 420)),
        "stool": lambda rng: _mixture(rng.uniform(-60, 30), 90.0, pockets=1.2),
        "gas": lambda rng: AIR + 20,
    }
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    return makers[kind](rng)


def _mean(name: str, column: int, strength: float) -> float:
    plain = ENHANCEMENT[name][0]
    return plain + (ENHANCEMENT[name][column] - plain) * strength


def _mixture(mean: float, spread: float, pockets: float = 2.4) -> Tissue:
    """Lumpy content with gas pockets where the fine field is above ``pockets`` standard deviations."""

    def tissue(spot: Spot) -> Field:
        gas = smooth_step(spot.grain, pockets, pockets + 0.6)
        return mean + spread * (0.5 * spot.lumps + 0.5 * spot.grain) + (-700 - mean) * gas

    return tissue
