"""What is said of an organ: flags and words."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_calibrations import PLACES, organ, reference, small_calibration

from autosam_inference.card import LabelClass
from autosam_inference.quality.anatomy import Anatomy, Organ
from autosam_inference.quality.calibration import Curve
from autosam_inference.quality.judging import judge
from autosam_inference.quality.measures import ScanMeasures, Sureness
from autosam_inference.quality.place import constellation
from autosam_inference.quality.signals import signals
from autosam_inference.quality.verdict import OrganQuality

CLASSES = tuple(
    LabelClass(id=number, name=name, mirror={"left": "right", "right": "left"}.get(name))
    for number, name in enumerate(PLACES, start=1)
)
CURVES = (
    Curve(signal="agreement", knots=(0.0, 0.5, 1.0), effects=(-4.0, -2.0, 0.0)),
    Curve(signal="volume", knots=(1.0, 3.0), effects=(0.0, -2.0)),
    Curve(signal="islands", knots=(0.0, 1.0), effects=(0.0, -3.0)),
    Curve(signal="thickness", knots=(0.0, 1.0), effects=(0.0, -2.0)),
)
CALIBRATION = small_calibration(
    levels=dict.fromkeys(PLACES, 2.0),
    curves=CURVES,
    organs={name: reference(place_DHW=place) for name, place in PLACES.items()},
)
SURE = Sureness(agreement=1.0, certainty=0.9, margin=0.5)


def scan(agreement: float = 1.0, liver: Organ | None = None, without: str = "", **changes: Any) -> ScanMeasures:
    """A scan in which all is as in the training set, but what is asked for."""
    organs = {name: organ(place) for name, place in PLACES.items() if name != without}
    if liver is not None:
        organs["liver"] = liver
    low, high = np.array([-100.0, -100, -150]), np.array([100.0, 100, 150])
    sureness = {name: replace(SURE, agreement=agreement if name == "liver" else 1.0) for name in organs}
    return replace(ScanMeasures(Anatomy(organs, low, high), sureness, 1.0, 5.0), **changes)


def liver_of(found: ScanMeasures) -> OrganQuality:
    return next(each for each in judge(CALIBRATION, found, CLASSES) if each.organ == "liver")


def test_all_is_well() -> None:
    said = judge(CALIBRATION, scan(), CLASSES)
    assert [each.words for each in said] == [f"{name}: ok" for name in PLACES]
    assert said[0].expected_dice == pytest.approx(1 / (1 + math.exp(-2))) and said[0].interval is not None


def test_windows_that_disagree() -> None:
    assert liver_of(scan(agreement=0.5)).words == "liver: do not use: windows disagree"  # expected: 0.5
    doubted = liver_of(scan(agreement=0.8))  # sigmoid(2 - 0.8) = 0.77, and 0.17 less at worst: below 0.7
    assert (doubted.flag, doubted.reasons) == ("check", ("windows disagree",))


def test_the_weightiest_reason_comes_first() -> None:
    small = replace(organ((0, 0, 60)), ml=7.389 / math.e, islands=0.5, pieces=3)  # two deviations: -1; islands: -1.5
    assert liver_of(scan(liver=small)).reasons == ("in 3 pieces", "unusually small")
    assert liver_of(scan(thickest_mm=5 * math.e)).reasons == ("slices of 14 mm, thicker than in training",)


def test_an_organ_that_is_never_good_has_no_other_reason() -> None:
    poor = CALIBRATION.model_copy(update={"levels": dict.fromkeys(PLACES, 0.0)})
    assert judge(poor, scan(), CLASSES)[0].words == "liver: do not use: seldom better with this model"


def test_what_the_edge_cuts_is_not_whole() -> None:
    cut = liver_of(scan(liver=organ((0, 0, 60), cut=0.6)))
    assert cut.words == "liver: check: cut by the edge of the scan" and cut.expected_dice == pytest.approx(
        0.88, abs=0.01
    )


def test_in_a_mirrored_scan_organs_with_a_side_are_not_to_be_used() -> None:
    said = {each.organ: each for each in judge(CALIBRATION, scan(liver=organ((0, 0, -30))), CLASSES)}
    assert said["left"].words == "left: do not use: left and right look exchanged"
    assert said["aorta"].words == "aorta: check: left and right look exchanged"


def test_an_organ_that_is_not_found_is_missing_where_its_place_is_seen() -> None:
    missing = liver_of(scan(without="liver"))
    assert (missing.expected_dice, missing.interval) == (None, None)
    assert missing.words == "liver: check: not found, its place is in the scan"

    beyond = scan(without="liver")
    low = np.array([-100.0, -100, -150])
    narrow = replace(beyond, anatomy=replace(beyond.anatomy, low_DHW=low, high_DHW=np.array([100.0, 100, 50])))
    assert liver_of(narrow).words == "liver: ok: not found, its place is not in the scan"


def test_of_an_empty_result_nothing_is_known() -> None:
    empty = ScanMeasures(Anatomy({}, -np.ones(3), np.ones(3)), {}, math.nan, 5.0)
    assert {each.words for each in judge(CALIBRATION, empty, CLASSES)} == {
        f"{name}: check: not found, its place may be in the scan" for name in PLACES
    }


def test_only_what_was_asked_for() -> None:
    assert [each.organ for each in judge(CALIBRATION, scan(), CLASSES, {"spleen"})] == ["spleen"]


def test_signals_count_deviations_from_the_training_set() -> None:
    off = scan(liver=Organ(7.389056 * math.e, 85.0, np.array([0.0, 0, 60]), 0.25, 2, 0.4), common=0.6, thickest_mm=10.0)
    place = constellation(off.anatomy.organs, CALIBRATION.organs)
    told = signals(off, place, CALIBRATION.organs, thickest_mm=5.0)["liver"]
    assert told["volume"] == pytest.approx(2.0) and told["brightness"] == pytest.approx(2.5)
    assert (told["cut"], told["islands"], told["histogram"], told["company"]) == (0.4, 0.25, 0.6, 0.9)
    assert told["thickness"] == pytest.approx(math.log(2)) and told["place"] == 0.0 and told["mirrored"] == 0.0
