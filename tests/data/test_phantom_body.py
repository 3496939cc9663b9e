"""The body from chest to thighs: what its parts show, where its organs lie, and what four datasets call them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from autosam_platform.data.description import load_description
from autosam_platform.data.phantom import (
    SCHEMAS,
    Organ,
    Part,
    Phantom,
    make_body,
    make_phantom,
    patient,
    write_phantom,
)
from autosam_platform.data.phantom.canvas import Spot
from autosam_platform.data.phantom.parts import REACH_MM
from autosam_platform.data.phantom.pelvis import prostate_ml
from autosam_platform.data.phantom.schemas import Schema
from autosam_platform.data.phantom.tissue import CYST, with_spots
from autosam_platform.data.preparation import CasePlan, prepare_case
from autosam_platform.data.readers import survey
from autosam_platform.experiment import PHANTOMS
from autosam_platform.workspace import Workspace

COARSE_MM, WOMEN, MEN = 4.0, "women", "men"
SEEDS = range(3)

# Smallest and largest plausible volume in ml of a whole organ in adults; women and men below.
PELVIC_ML = {
    Organ.BLADDER: (25, 480),
    Organ.RECTUM: (20, 170),
    Organ.SACRUM: (100, 330),
    Organ.PSOAS: (250, 1100),
    Organ.COLON: (200, 1100),
    Organ.SMALL_BOWEL: (200, 1500),
    Organ.DUODENUM: (15, 120),
}

ABDOMEN = {Organ.LIVER, Organ.PANCREAS, Organ.AORTA, Organ.CAVA, Organ.LEFT_ADRENAL, Organ.STOMACH, Organ.DUODENUM}
PELVIS = {Organ.BLADDER, Organ.RECTUM, Organ.SACRUM, Organ.HIPS, Organ.FEMURS, Organ.GLUTEI}
CHEST = {Organ.HEART, Organ.LUNGS, Organ.STERNUM}


class Drawn:
    """A coarse body turned to RAS."""

    def __init__(self, phantom: Phantom) -> None:
        images = [
            nib.as_closest_canonical(nib.Nifti1Image(array, phantom.affine))
            for array in (phantom.image_xyz, phantom.label_xyz)
        ]
        self.hu, self.organs = (np.asarray(image.dataobj) for image in images)
        self.spacing = np.array(images[0].header.get_zooms(), float)
        self.shown = set(np.unique(self.organs).tolist())

    def ml(self, organ: Organ) -> float:
        return float((self.organs == organ).sum() * self.spacing.prod() / 1000)

    def middle(self, organ: Organ) -> NDArray[np.float64]:
        """Mean position in mm: right, front, up."""
        return np.argwhere(self.organs == organ).mean(0) * self.spacing


@pytest.fixture(scope="module")
def drawn() -> Callable[[int, str, Part], Drawn]:
    """Draws a body of a seed and sex, as a scan of a part in coarse voxels, once each."""
    made: dict[tuple[int, str, Part], Drawn] = {}

    def draw(seed: int, sex: str, part: Part) -> Drawn:
        if (seed, sex, part) not in made:
            with pytest.MonkeyPatch.context() as patched:
                patched.setitem(SCHEMAS, "coarse", _coarse(SCHEMAS["phantom"], female_share=float(sex == WOMEN)))
                made[seed, sex, part] = Drawn(make_body(seed, "coarse", part))
        return made[seed, sex, part]

    return draw


def _coarse(schema: Schema, **changes: float) -> Schema:
    limits = {"in_plane_mm": (COARSE_MM, COARSE_MM), "slice_mm": (COARSE_MM, COARSE_MM)}
    return dataclasses.replace(schema, **limits, **changes)


def test_a_part_shows_what_it_says(drawn: Callable[[int, str, Part], Drawn]) -> None:
    shown = {part: drawn(0, MEN, part).shown for part in Part}
    assert shown[Part.CHEST_ABDOMEN] >= ABDOMEN | CHEST and not shown[Part.CHEST_ABDOMEN] & {
        Organ.BLADDER,
        Organ.FEMURS,
    }
    assert shown[Part.ABDOMEN] >= ABDOMEN and not shown[Part.ABDOMEN] & {Organ.BLADDER, Organ.FEMURS}
    assert shown[Part.ABDOMEN_PELVIS] >= ABDOMEN | PELVIS
    assert shown[Part.PELVIS] >= PELVIS and not shown[Part.PELVIS] & (
        CHEST | {Organ.LIVER, Organ.SPLEEN, Organ.PANCREAS}
    )
    for part, ((lowest, low), (high, highest)) in REACH_MM.items():
        height = drawn(0, MEN, part).organs.shape[2] * COARSE_MM
        assert 0.8 * (high - low) < height < 1.25 * (highest - lowest), part


def test_parts_of_a_seed_are_of_one_body(drawn: Callable[[int, str, Part], Drawn]) -> None:
    both, below = drawn(0, MEN, Part.ABDOMEN_PELVIS), drawn(0, MEN, Part.PELVIS)
    for organ in (Organ.BLADDER, Organ.PROSTATE, Organ.RECTUM):
        assert below.ml(organ) == pytest.approx(both.ml(organ), rel=0.06)
    apart = [each.middle(Organ.BLADDER) - each.middle(Organ.RECTUM) for each in (both, below)]
    np.testing.assert_allclose(*apart, atol=0.75 * COARSE_MM)  # the scans may end above the rectum's end
    above, beside = drawn(0, MEN, Part.ABDOMEN), drawn(0, MEN, Part.CHEST_ABDOMEN)
    for organ in (Organ.LIVER, Organ.SPLEEN, Organ.PANCREAS):
        assert above.ml(organ) == pytest.approx(both.ml(organ), rel=0.06)
        assert beside.ml(organ) == pytest.approx(both.ml(organ), rel=0.06)


def test_women_and_men(drawn: Callable[[int, str, Part], Drawn]) -> None:
    women, men = ([drawn(seed, sex, Part.ABDOMEN_PELVIS) for seed in SEEDS] for sex in (WOMEN, MEN))
    for woman, man in zip(women, men, strict=True):
        assert woman.ml(Organ.PROSTATE) == man.ml(Organ.UTERUS) == 0
        assert 10 < man.ml(Organ.PROSTATE) < 120
        assert 12 < woman.ml(Organ.UTERUS) < 170
    assert np.mean([each.ml(Organ.LIVER) for each in women]) < np.mean([each.ml(Organ.LIVER) for each in men])


def test_prostates_grow_with_age() -> None:
    assert prostate_ml(25, 0.0) == pytest.approx(18)
    assert prostate_ml(70, 0.0) == pytest.approx(18 + 0.55 * 40)
    assert 14 <= prostate_ml(25, -3.0) < prostate_ml(90, 3.0) <= 110


def test_volumes_of_the_lower_body_are_plausible(drawn: Callable[[int, str, Part], Drawn]) -> None:
    for seed in SEEDS:
        for sex in (WOMEN, MEN):
            body = drawn(seed, sex, Part.ABDOMEN_PELVIS)
            for organ, (least, most) in PELVIC_ML.items():
                assert least < body.ml(organ) < most, f"{sex} {seed}: {organ.name} has {body.ml(organ):.0f} ml"


def test_organs_of_the_pelvis_lie_where_they_should(drawn: Callable[[int, str, Part], Drawn]) -> None:
    for seed in SEEDS:
        for sex, gland in ((WOMEN, Organ.UTERUS), (MEN, Organ.PROSTATE)):
            body = drawn(seed, sex, Part.ABDOMEN_PELVIS)
            at = {organ: body.middle(organ) for organ in Organ if organ in body.shown}
            bladder, rectum = at[Organ.BLADDER], at[Organ.RECTUM]
            assert bladder[1] > rectum[1] + 20  # in front of it
            assert at[Organ.SACRUM][1] < min(rectum[1] + 8, at[gland][1] - 10)  # its upper end lies far in front
            assert sex == WOMEN or rectum[1] < at[gland][1]  # a full bladder pushes a womb back
            assert (at[gland][2] < bladder[2]) == (sex == MEN)  # the prostate below the bladder, the uterus above
            assert at[Organ.GLUTEI][1] < at[Organ.HIPS][1]
            assert at[Organ.FEMURS][2] < at[Organ.HIPS][2] < at[Organ.SPINE][2]
            assert abs(bladder[0] - at[Organ.SPINE][0]) < 35  # in the middle
            spread = np.ptp(np.argwhere(body.organs == Organ.FEMURS)[:, 0]) * COARSE_MM
            across = np.ptp(np.argwhere(body.organs == Organ.BLADDER)[:, 0]) * COARSE_MM
            assert across < 150 < spread  # between the hip joints


def test_bowel_stays_in_the_body(drawn: Callable[[int, str, Part], Drawn]) -> None:
    """No voxel of bowel touches air outside: all around it is wall or fat."""
    for seed in SEEDS:
        body = drawn(seed, MEN, Part.ABDOMEN_PELVIS)
        outside = (body.hu < -400) & (body.organs == Organ.NONE)
        bowel = np.isin(body.organs, [Organ.SMALL_BOWEL, Organ.COLON, Organ.RECTUM])
        touching = sum((bowel & np.roll(outside, step, axis)).sum() for axis in (0, 1) for step in (1, -1))
        assert touching <= 0.002 * bowel.sum()


def test_tissues_of_the_pelvis_measure_what_they_should(drawn: Callable[[int, str, Part], Drawn]) -> None:
    for seed in SEEDS:
        body = drawn(seed, MEN, Part.ABDOMEN_PELVIS)
        median = {organ: float(np.median(body.hu[body.organs == organ])) for organ in Organ if organ in body.shown}
        assert -10 < median[Organ.BLADDER] < 40 or median[Organ.BLADDER] > 100  # urine, or contrast in the late phase
        assert 25 < median[Organ.PROSTATE] < 110
        assert median[Organ.HIPS] > 130 and median[Organ.FEMURS] > 130
        assert 30 < median[Organ.PSOAS] < 75


ONE_OF_EACH = np.array(
    [
        *(Organ.NONE, Organ.LIVER, Organ.RIGHT_KIDNEY, Organ.LEFT_KIDNEY, Organ.PORTAL, Organ.PANCREAS, Organ.DUODENUM),
        *(
            Organ.BLADDER,
            Organ.PROSTATE,
            Organ.UTERUS,
            Organ.RECTUM,
            Organ.LUNGS,
            Organ.SPINE,
            Organ.FEMURS,
            Organ.HEART,
        ),
    ],
    np.uint8,
)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("phantom", [0, 6, 2, 3, 10, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("phantom_amos", [0, 6, 2, 3, 0, 10, 13, 14, 15, 15, 0, 0, 0, 0, 0]),
        ("phantom_ct_org", [0, 1, 4, 4, 0, 0, 0, 2, 0, 0, 0, 3, 5, 5, 0]),
        ("phantom_pelvic", [0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 3, 0, 0, 0, 0]),
    ],
)
def test_a_schema_gives_organs_their_classes(schema: str, expected: list[int]) -> None:
    assert SCHEMAS[schema].label(ONE_OF_EACH).tolist() == expected


@pytest.mark.parametrize("name", PHANTOMS)
def test_schemas_have_the_classes_of_their_descriptions(name: str) -> None:
    names = {each.id: each.name for each in load_description(name).classes}
    assert set(SCHEMAS[name].classes.values()) == set(names)
    called = {"cava": "inferior vena cava", "portal": "portal and splenic veins", "rectum": "rectum"}
    called |= {"right adrenal": "right adrenal gland", "left adrenal": "left adrenal gland"}
    called |= dict.fromkeys(("prostate", "uterus"), "prostate/uterus") if name == "phantom_amos" else {}
    if name == "phantom_ct_org":
        called |= dict.fromkeys(("right kidney", "left kidney"), "kidneys")
        called |= dict.fromkeys(("spine", "ribs", "sternum", "sacrum", "hips", "femurs", "arm bones"), "bones")
    for organ, class_id in SCHEMAS[name].classes.items():
        plain = organ.name.lower().replace("_", " ")
        assert names[class_id] == called.get(plain, plain)
    assert sum(SCHEMAS[name].parts.values()) == pytest.approx(1)


def test_all_drawn_descriptions_have_a_schema() -> None:
    assert set(SCHEMAS) == set(PHANTOMS)


@pytest.mark.parametrize(
    ("name", "paper", "splits"),
    [
        ("phantom_amos", "amos", {"train": 64, "test": 32}),
        ("phantom_ct_org", "ct_org", {"test": 19, "train": 81}),
        ("phantom_pelvic", "pelvic", {"train": 75, "val": 10, "test": 15}),
    ],
)
def test_twins_are_prepared_and_split_as_their_data_sets(name: str, paper: str, splits: dict[str, int]) -> None:
    twin, original = load_description(name), load_description(paper)
    for field in ("classes", "spacing_xyz", "hu_window", "scaling", "augmentation", "foreground_fraction"):
        assert getattr(twin, field) == getattr(original, field), field
    assert twin.split.rule == "in_order"
    assert {part.split: part.cases for part in twin.split.parts} == splits


@pytest.mark.parametrize("name", [each for each in PHANTOMS if each != "phantom"])
def test_a_case_of_every_twin_prepares(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMAS, name, _coarse(SCHEMAS[name]))
    write_phantom(tmp_path / "raw", 1, seed=10_001, schema=name)
    description = load_description(name)
    plan = CasePlan(description, (6.0, 6.0, 6.0), Workspace(tmp_path).prepared("few"))
    (case,) = survey(description, tmp_path / "raw").cases
    record, damage = prepare_case(case, plan)
    assert (record.status, record.reasons, damage) == ("ok", (), "")


def test_the_same_body_in_all_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one grid, the classes of a schema are those of the organs, voxel by voxel."""
    limits = {each: _coarse(SCHEMAS[each], female_share=0.0) for each in PHANTOMS}
    for name, schema in limits.items():
        monkeypatch.setitem(SCHEMAS, name, schema)
    organs = make_body(4, "phantom_pelvic", Part.PELVIS)
    for name in PHANTOMS:
        labelled = make_phantom(4, name, Part.PELVIS)
        np.testing.assert_array_equal(labelled.image_xyz, organs.image_xyz)
        np.testing.assert_array_equal(labelled.label_xyz, SCHEMAS[name].label(organs.label_xyz))


def test_what_is_there_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arms, clips and free fluid, in one body that has them and in the same without."""
    monkeypatch.setitem(SCHEMAS, "coarse", _coarse(SCHEMAS["phantom"], female_share=0.0))
    drawn = {}
    for share in (0.0, 1.0):
        for name in ("ASCITES", "CLIPS", "ARMS_DOWN"):
            assert 0 < getattr(patient, name) < 0.15 or drawn
            monkeypatch.setattr(patient, name, share)
        monkeypatch.setattr(patient, "MISSING", {})
        drawn[share] = Drawn(make_body(6, "coarse", Part.ABDOMEN_PELVIS))
    without, having = drawn[0.0], drawn[1.0]
    flesh = [(body.hu > -200).sum() * COARSE_MM**3 / 1000 for body in (having, without)]
    assert flesh[0] > flesh[1] + 50  # ml of arms, as far as the field of view reaches
    assert having.hu.max() > 1500 > 1300 > without.hu.max()  # metal, blurred over voxels of 4 mm; dense bone
    fluid = [((body.hu > -10) & (body.hu < 40) & (body.organs == Organ.NONE)).sum() for body in (having, without)]
    assert (fluid[0] - fluid[1]) * COARSE_MM**3 / 1000 > 200  # ml


def test_lesions_are_balls_in_their_tissue() -> None:
    flat = np.zeros(3, np.float32)
    at = np.array([0, 4, 9], np.float32), flat, flat  # in the middle, inside, and outside of a ball of 5 mm
    spot = Spot(depth=flat, points=at, bumps=flat, lumps=flat, grain=flat)
    tissue = with_spots(50.0, [(np.zeros(3), 5.0, CYST)])
    assert callable(tissue)
    np.testing.assert_allclose(tissue(spot), [CYST, CYST, 50], atol=1e-4)
    assert with_spots(50.0, []) == 50.0
