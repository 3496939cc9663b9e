"""Pictures are drawn the right way round; read back as pixels."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from autosam_inference.card import LabelClass
from autosam_inference.picture import telling_slice
from autosam_inference.scans.colours import organ_colour
from autosam_inference.scans.grid import Volume
from autosam_platform.evaluation.metrics import ClassMetrics
from autosam_platform.evaluation.pictures import (
    _FILL,
    save_case_picture,
    save_organ_picture,
    save_overlap_picture,
)
from autosam_platform.evaluation.table import Row, summarise

LIVER, SPLEEN = LabelClass(id=1, name="liver"), LabelClass(id=2, name="spleen")
PANELS_PX, HEADER_PX, GAP_PX = 1440, 62, 10


def scan(shape: tuple[int, int, int] = (20, 30, 40), spacing: tuple[float, float, float] = (3.0, 2.0, 1.0)) -> Volume:
    return Volume(np.full(shape, -1000, np.int16), spacing)


def panels(path: Path, volume: Volume) -> list[np.ndarray]:
    """The pixels (rows, columns, RGB) of the axial, coronal and sagittal panel."""
    pixels = imread(path)[..., :3]
    depth, height, width = (n * mm for n, mm in zip(volume.array_DHW.shape, volume.spacing_DHW, strict=True))
    sides = [(height, width), (depth, width), (depth, height)]
    scale = PANELS_PX / sum(side[1] for side in sides)
    found, left = [], GAP_PX
    for rows, columns in sides:
        bottom, right = HEADER_PX + round(scale * rows), left + round(scale * columns)
        found.append(pixels[HEADER_PX:bottom, round(left) : round(right)])
        left += scale * columns + GAP_PX
    return found


def centre_of(panel: np.ndarray, colour: tuple[float, ...]) -> tuple[float, float]:
    """Where a colour's pixels lie, as shares of the panel's height and width."""
    rows, columns = np.nonzero((np.abs(panel - colour) < 0.02).all(-1))
    assert rows.size, "the colour is not in this panel"
    return float(rows.mean() / panel.shape[0]), float(columns.mean() / panel.shape[1])


def test_superior_and_anterior_are_up_and_the_patients_right_is_left(tmp_path: Path) -> None:
    volume = scan()
    label_DHW = np.zeros(volume.array_DHW.shape, np.uint8)
    # W grows to the patient's right, H to anterior, D to superior: a block right, anterior and superior of
    # the middle
    label_DHW[14:18, 20:26, 28:36] = LIVER.id
    path = tmp_path / "case.png"
    save_case_picture(path, volume, label_DHW, None, [LIVER, SPLEEN], hu_window=(-125, 275), title="case")

    fill = tuple(_FILL * channel / 255 for channel in organ_colour("liver"))  # over black
    axial, coronal, sagittal = (centre_of(panel, fill) for panel in panels(path, volume))
    assert axial == pytest.approx((1 - 23 / 30, 1 - 32 / 40), abs=0.02)
    assert coronal == pytest.approx((1 - 16 / 20, 1 - 32 / 40), abs=0.02)
    assert sagittal == pytest.approx((1 - 16 / 20, 1 - 23 / 30), abs=0.02)


def test_truth_is_outlined_and_prediction_filled(tmp_path: Path) -> None:
    volume = scan()
    truth_DHW, prediction_DHW = np.zeros((2, *volume.array_DHW.shape), np.uint8)
    truth_DHW[4:16, 5:25, 22:36] = LIVER.id  # the patient's right, missed
    prediction_DHW[4:16, 5:25, 4:18] = SPLEEN.id  # the patient's left, invented
    path = tmp_path / "case.png"
    classes = [LIVER, SPLEEN]
    save_case_picture(path, volume, prediction_DHW, truth_DHW, classes, hu_window=(-125, 275), title="case")

    axial = panels(path, volume)[0]
    outline = tuple(channel / 255 for channel in organ_colour("liver"))
    fill = tuple(_FILL * channel / 255 for channel in organ_colour("spleen"))
    assert centre_of(axial, outline) == pytest.approx((0.5, 1 - 29 / 40), abs=0.02)
    assert centre_of(axial, fill) == pytest.approx((0.5, 1 - 11 / 40), abs=0.02)
    inside = axial[axial.shape[0] // 2, round(axial.shape[1] * (1 - 29 / 40))]
    assert inside == pytest.approx([0, 0, 0], abs=0.01)  # an outline leaves its inside free


def test_the_slice_shows_most_of_most_organs() -> None:
    label_DHW = np.zeros((6, 4, 4), np.uint8)
    label_DHW[1] = 1  # one organ's largest slice, and none of the other
    label_DHW[3, :3] = 1  # three quarters of it with
    label_DHW[3, 3, :2] = 2  # half of the other's largest
    label_DHW[5, 0, :4] = 2
    assert telling_slice(label_DHW, 0, 3) == 3  # 0.75 + 0.5 against 1 and 1
    assert telling_slice(np.zeros((7, 4, 4), np.uint8), 0, 3) == 3


def test_nothing_predicted_and_nothing_true_is_still_a_picture(tmp_path: Path) -> None:
    volume = scan()
    empty_DHW = np.zeros(volume.array_DHW.shape, np.uint8)
    path = tmp_path / "case.png"
    save_case_picture(path, volume, empty_DHW, empty_DHW, [LIVER], hu_window=(-125, 275), title="case")
    assert imread(path).shape[1] == PANELS_PX + 4 * GAP_PX + 300
    assert [each.name for each in tmp_path.iterdir()] == ["case.png"]


def test_organs_without_and_with_many_scores_share_a_picture(tmp_path: Path) -> None:
    rows = [
        Row.of(f"case {case}", ClassMetrics(organ.id, organ.name, dice, dice, 1.0, 1.0, 1.0), 2.0)
        for case in range(6)
        for organ, dice in ((LIVER, 0.5 + case / 20), (SPLEEN, float("nan")))
    ]
    save_organ_picture(tmp_path / "organs.png", rows, "run: 6 cases")
    pixels = imread(tmp_path / "organs.png")[..., :3]
    colour = np.array(organ_colour("liver")) / 255
    assert (np.abs(pixels - colour) < 0.02).all(-1).sum() > 6 * 2 * 20  # six points, two panels
    assert not (np.abs(pixels - np.array(organ_colour("spleen")) / 255) < 0.02).all(-1).any()


def test_overlaps_are_two_lines_that_rise_to_the_right(tmp_path: Path) -> None:
    found = {
        overlap: summarise(
            [Row.of("case", ClassMetrics(1, "liver", dice, dice - 0.3, 1.0, 1.0, 1.0), 2.0)], {"network": seconds}
        )
        for overlap, dice, seconds in ((0.0, 0.5, 1.0), (0.25, 0.6, 8.0), (0.5, 0.8, 9.0))
    }
    save_overlap_picture(tmp_path / "overlap.png", found, "run")
    pixels = imread(tmp_path / "overlap.png")[..., :3]
    for colour in ((0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)):  # matplotlib's first two
        rows, columns = np.nonzero((np.abs(pixels - np.array(colour) / 255) < 0.02).all(-1))
        first, last = rows[columns == columns.min()], rows[columns == columns.max()]
        assert first.mean() > last.mean() and len(rows) > 300
