"""Above the diaphragm: heart and great vessels, airways, lungs, breasts."""

from collections.abc import Callable

import numpy as np

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.canvas import Canvas, Spot, Tissue
from autosam_platform.data.phantom.patient import Patient, vec
from autosam_platform.data.phantom.shapes import (
    EVERYWHERE,
    Field,
    Points,
    Solid,
    column,
    cut,
    ellipsoid,
    shell,
    smooth_step,
    tube,
    union,
)
from autosam_platform.data.phantom.tissue import AIR, LUNG
from autosam_platform.data.phantom.trunk import RIBCAGE, Surfaces, Trunk

LUNG_BOTTOM_MM = 8.0  # no recess of the pleura reaches lower


def paint_heart(canvas: Canvas, patient: Patient, trunk: Trunk, bounds: Surfaces) -> None:
    """Chambers and their muscle, on the diaphragm: about 700 ml with blood (ICRP 89 (2002): 840 and 620 g)."""
    rng, palette = patient.rng, patient.palette
    middle = vec(-22, 46, trunk.dome_left + 34) + rng.normal(0, (4, 4, 3))
    size, blood = rng.uniform(0.92, 1.12), palette.solid("heart", 5.0)
    right_blood = 0.5 * (palette["heart"] + palette["cava"]) + rng.normal(0, 15)
    tilt = (0, 16, 28)
    ribs = Solid(EVERYWHERE, lambda points: bounds.cavity.distance(points) + 3)
    for offset, radii, hu in (
        ((-16, 0, -2), (30, 18, 19), blood),  # left ventricle
        ((8, 20, -4), (30, 14, 20), right_blood),  # right ventricle
        ((38, -2, 6), (20, 21, 26), right_blood),  # right atrium
        ((8, -30, 14), (30, 15, 20), blood),  # left atrium
    ):
        chamber = ellipsoid(middle + size * vec(*offset), size * np.array(radii), tilt)
        canvas.paint(cut(chamber, ribs, blend=4), hu, label=Organ.HEART, gap=-1.0, free=True)
    muscle = ellipsoid(middle + size * vec(4, -2, 0), size * np.array([58, 44, 37]), tilt)
    canvas.paint(cut(muscle, ribs), palette.solid("myocardium", 5.0), label=Organ.HEART, gap=1.0, halo=2.5, free=True)


def paint_great_vessels(canvas: Canvas, patient: Patient) -> None:
    """Ascending aorta, pulmonary trunk, upper vena cava, airways: no class, but in every scan of a chest."""
    palette = patient.palette
    blood = palette.solid("aorta", 3.0)
    ascending = tube([(4, 34, 176), (16, 44, 205), (14, 40, 245)], [15, 15, 14])
    canvas.paint(ascending, blood, halo=1.0, free=True)
    stem = tube([(-16, 58, 180), (-20, 42, 204), (-8, 16, 216)], [13, 13, 11])
    arms = tube([(-52, -2, 206), (-20, 20, 214), (14, 12, 212), (50, 0, 204)], [7, 10, 10, 7])
    canvas.paint(union(stem, arms, blend=5), palette.solid("heart", 4.0), gap=0.5, halo=1.0, free=True)
    canvas.paint(
        tube([(30, 26, 160), (32, 26, 205), (30, 24, 250)], [10, 10, 9]), palette.solid("cava", 12.0), free=True
    )
    airways = union(
        tube([(2, -2, 255), (2, -4, 222)], [8.5, 8.5]),
        *(tube([(2, -4, 222), (24 * side, -8, 204), (44 * side, -12, 190)], [8, 6, 4.5]) for side in (1, -1)),
        blend=4,
    )
    canvas.paint(airways, AIR + 15, gap=0.5, halo=1.5, free=True)


def paint_lungs(canvas: Canvas, patient: Patient, bounds: Surfaces) -> None:
    """The diaphragm as a thin shell over the abdomen, and all that the ribs hold above it; denser at the back."""
    diaphragm = cut(shell(bounds.abdomen, 3.0, offset=1.0), bounds.cavity)
    canvas.paint(Solid(RIBCAGE, diaphragm.distance), patient.palette["muscle"], free=True)
    lungs = Solid(RIBCAGE, _lung_distance(bounds.abdomen, bounds.cavity))
    canvas.paint(lungs, _lung_tissue(patient), label=Organ.LUNGS, gap=1.0, free=True)


def paint_breasts(canvas: Canvas, patient: Patient, trunk: Trunk) -> None:
    """Fat with glands that get fewer with age."""
    size, glands = patient.rng.uniform(0.8, 1.2) * (0.7 + 0.02 * trunk.fat), 1.2 - patient.person.age / 90
    if not patient.person.female:
        return
    palette = patient.palette
    front = float(trunk.skin_profiles()[2][1])

    def tissue(spot: Spot) -> Field:
        gland = smooth_step(spot.lumps + glands, 0.4, 1.4) * smooth_step(spot.depth, 8, 16)
        hu = palette.fat + (30 - palette.fat) * gland
        return hu + (15 - hu) * smooth_step(spot.depth, 2.6, 1.2)

    for side in (1, -1):
        breast = ellipsoid((76 * side, front - 16, 168), size * vec(62, 42, 52), (0, 0, -18 * side))
        canvas.paint(breast, tissue, free=True)


def _lung_distance(below: Solid, inner: Solid) -> Callable[[Points], Field]:
    """Above the diaphragm and beside the mediastinum."""
    mediastinum = column((-2, -12), (28, 88))

    def distance(points: Points) -> Field:
        pleura = np.maximum(inner.distance(points) + 2, LUNG_BOTTOM_MM - points[2])
        return np.maximum(np.maximum(pleura, 3 - below.distance(points)), 2 - mediastinum.distance(points))

    return distance


def _lung_tissue(patient: Patient) -> Tissue:
    """Air with vessels, settled towards the back."""
    base = LUNG + patient.rng.normal(0, 25)

    def tissue(spot: Spot) -> Field:
        settled = 0.7 * np.clip(10 - spot.points[1], 0, 90)
        return base + settled + 25 * spot.lumps + 420 * smooth_step(spot.grain, 1.9, 2.8)

    return tissue
