"""Pieces, centres, cuts; and where organs lie: by hand, and a phantom that is mirrored."""

import numpy as np
import pytest
from small_calibrations import PLACES, organ, reference
from small_cards import organs, small_card

from autosam_inference.quality.anatomy import Frame, Organ, anatomy, steps_to_look
from autosam_inference.quality.place import constellation
from autosam_inference.quality.shape import body_middle, shapes
from autosam_inference.scans.grid import Volume


def test_pieces_centre_and_value() -> None:
    label_DHW = np.zeros((5, 6, 7), np.uint8)
    label_DHW[1:3, 1:3, 1:3] = 2  # 8 voxels, and beside them
    label_DHW[4, 4, 4:6] = 2  # two more
    label_DHW[4, 0, 0] = 2  # and a crumb
    image_DHW = np.where(label_DHW == 2, 60.0, -100.0)

    found = shapes(label_DHW, image_DHW)

    assert set(found) == {2}
    assert (found[2].voxels, found[2].pieces, found[2].value) == (11, 2, 60.0)
    assert found[2].islands == pytest.approx(3 / 11)
    assert found[2].centre_DHW == pytest.approx([(8 * 1.5 + 4 + 4 + 4) / 11, (8 * 1.5 + 8) / 11, (8 * 1.5 + 9) / 11])


def test_what_the_edge_of_the_scan_cuts() -> None:
    label_DHW = np.zeros((6, 6, 6), np.uint8)
    label_DHW[0, 2, 2:4] = 1  # 2 voxels on the lowest slice,
    label_DHW[1, 1:3, 2:4] = 1  # 4 above them
    label_DHW[2:4, 2:4, 2:4] = 2  # within
    label_DHW[5, 0:2, 0:2] = 3  # one slice, at the top, in a corner
    found = shapes(label_DHW, np.zeros(label_DHW.shape))
    assert [found[each].cut for each in (1, 2, 3)] == [0.5, 0.0, 1.0]


def test_the_bodys_middle_does_not_mind_a_table() -> None:
    image_DHW = np.full((4, 60, 60), -1.0)
    image_DHW[:, 20:50, 10:40] = 1.0
    image_DHW[:, 5, 0:60:30] = 1.0  # two rails
    assert body_middle(image_DHW, 0.0) == pytest.approx([1.5, 34.5, 24.5], abs=1)
    assert body_middle(np.full((4, 6, 8), -1.0), 0.0) == pytest.approx([1.5, 2.5, 3.5])


def test_an_anatomy_is_in_ml_and_mm_and_hu() -> None:
    card = small_card(organs(1), spacing_xyz=(2.0, 2.0, 1.0))  # 1 mm slices: every third is looked at
    assert steps_to_look(card) == (3, 2, 2)
    label_DHW = np.zeros((10, 10, 10), np.uint8)
    label_DHW[2:4, 5, 5:10] = 1
    image_DHW = np.where(label_DHW == 1, 0.5, -1.0)  # of [-1, 1] for -100 to 100 HU
    start, size, middle = np.array([6.0, 0, 0]), np.array([60.0, 40, 40]), np.array([30.0, 20, 20])

    found = anatomy(label_DHW, image_DHW, card, Frame(start, size, middle))

    organ = found.organs["organ 1"]
    assert organ.ml == pytest.approx(10 * 3 * 4 * 4 / 1000)
    assert organ.hu == pytest.approx(50)
    # Looked at are the first of each 3 slices and 2 rows and columns, whose middles are at 0.5 and 1 mm.
    assert organ.centre_DHW == pytest.approx([2.5 * 3 + 0.5 + 6 - 30, 5 * 4 + 1 - 20, 7 * 4 + 1 - 20])
    assert found.low_DHW == pytest.approx([-30, -20, -20]) and found.high_DHW == pytest.approx([30, 20, 20])


def test_the_bodys_middle_and_a_box_of_the_scan_in_mm() -> None:
    card = small_card(organs(1), spacing_xyz=(2.0, 2.0, 1.0))
    hu_DHW = np.full((40, 30, 30), -1000.0)
    hu_DHW[:, 10:20, 4:24] = 0.0
    frame = Frame.of(Volume(hu_DHW, (1.0, 4.0, 4.0)), card, (slice(5, 9), slice(0, 9), slice(3, 9)))
    assert frame.start_DHW == pytest.approx([5, 0, 6]) and frame.size_DHW == pytest.approx([40, 120, 120])
    assert frame.middle_DHW == pytest.approx([20, 60, 56], abs=2.5)


REFERENCES = {name: reference(place_DHW=place) for name, place in PLACES.items()}


def test_a_scan_that_begins_elsewhere_shifts_all_organs_alike() -> None:
    found = constellation({name: organ((d + 40, h, w - 7)) for name, (d, h, w) in PLACES.items()}, REFERENCES)
    assert found.shift_DHW == pytest.approx([40, 0, -7])
    assert set(found.off.values()) == {0.0} and found.mirrored == 0.0


def test_one_organ_that_is_elsewhere_is_told_in_deviations() -> None:
    off = {name: organ(place) for name, place in PLACES.items()} | {"aorta": organ((35, 5, 0))}
    found = constellation(off, REFERENCES)
    assert found.off["aorta"] == pytest.approx(3 / 3**0.5) and found.off["liver"] == 0.0


def test_the_liver_gives_a_mirrored_scan_away() -> None:
    """The network goes by place: kidneys and spleen are named as if nothing were wrong."""
    organs = {name: organ(place) for name, place in PLACES.items()}
    found = constellation(organs | {"liver": organ((0, 0, -30))}, REFERENCES)
    assert found.mirrored == pytest.approx(90 / 120)


@pytest.mark.parametrize("liver", [organ((0, 0, -30), ml=3.0), organ((0, 0, -30), cut=0.6)], ids=["a part", "cut"])
def test_what_is_left_of_a_liver_proves_nothing(liver: Organ) -> None:
    organs = {name: organ(place) for name, place in PLACES.items()}
    assert constellation(organs | {"liver": liver}, REFERENCES).mirrored == 0


def test_few_organs_are_judged_by_the_body() -> None:
    found = constellation({"liver": organ((500, 0, 60)), "unknown": organ((0, 0, 0))}, REFERENCES)
    assert np.isnan(found.shift_DHW[0]) and found.off == {"liver": 0.0}
    assert constellation({}, REFERENCES).off == {}
