"""Abdomens in which left and right are exchanged, against what the training set is like."""

import nibabel as nib
import numpy as np
import pytest
from small_calibrations import small_calibration
from small_cards import small_card

from autosam_inference.card import Scaling
from autosam_inference.quality.anatomy import Anatomy, Frame, anatomy, steps_to_look
from autosam_inference.quality.judging import EXCHANGED, judge
from autosam_inference.quality.measures import ScanMeasures, Sureness
from autosam_inference.scans.grid import Volume
from autosam_platform.data.description import load_description
from autosam_platform.data.phantom import Part, make_phantom
from autosam_platform.export.references import reference

CLASSES = load_description("btcv").classes
CARD = small_card(CLASSES, spacing_xyz=(2.0, 2.0, 4.0), hu_window=(-125, 275), scaling=Scaling(to=(0.0, 1.0)))


def phantom(seed: int, mirrored: bool = False) -> Anatomy:
    """What a network would see of it that makes no mistakes, on a grid near enough to the card's."""
    made, (d, h, w) = make_phantom(seed, part=Part.ABDOMEN), steps_to_look(CARD)
    arrays = [
        np.asarray(nib.as_closest_canonical(nib.Nifti1Image(each, made.affine)).dataobj).transpose(2, 1, 0)
        for each in (made.label_xyz, made.image_xyz)
    ]
    if mirrored:
        arrays = [each[:, :, ::-1] for each in arrays]
    label_DHW, hu_DHW = arrays
    frame = Frame.of(Volume(hu_DHW, CARD.spacing_DHW), CARD)
    image_DHW = np.clip((hu_DHW + 125) / 400, 0, 1)
    return anatomy(label_DHW[::d, ::h, ::w], image_DHW[::d, ::h, ::w], CARD, frame)


def said(found: Anatomy, references: dict) -> dict[str, tuple[str, tuple[str, ...]]]:
    calibration = small_calibration(
        levels={each.name: 4.0 for each in CLASSES}, curves=(), organs=references, thickest_mm=5.0
    )
    sureness = {name: Sureness(1.0, 1.0, 1.0) for name in found.organs}
    judged = judge(calibration, ScanMeasures(found, sureness, 1.0, 5.0), CLASSES)
    return {each.organ: (each.flag, each.reasons) for each in judged}


@pytest.fixture(scope="module")
def references() -> dict:
    seen = [phantom(seed).organs for seed in range(3)]
    return {each.name: reference([organs[each.name] for organs in seen if each.name in organs]) for each in CLASSES}


def test_a_mirrored_phantom_is_flagged_and_others_are_not(references: dict) -> None:
    straight, mirrored = said(phantom(100), references), said(phantom(100, mirrored=True), references)

    assert not any(EXCHANGED in reasons for _, reasons in straight.values())
    assert all(
        flag != "ok" and reasons[0] == EXCHANGED for flag, reasons in mirrored.values() if "not found" not in reasons[0]
    )
    assert mirrored["left kidney"][0] == mirrored["right adrenal gland"][0] == "do not use"
