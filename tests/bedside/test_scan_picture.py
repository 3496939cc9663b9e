"""The picture of a segmented scan, read back as pixels: which way round, in which colours, and where."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_cards import small_card

from autosam_inference.card import LabelClass
from autosam_inference.picture import save_picture
from autosam_inference.prediction import Prediction
from autosam_inference.scans.colours import organ_colour
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.scan import Scan

LIVER, SPLEEN = LabelClass(id=1, name="liver"), LabelClass(id=2, name="spleen")
CARD = small_card((LIVER, SPLEEN), hu_window=(-125, 275))
SHAPE, SPACING = (20, 30, 40), (3.0, 2.0, 1.0)
SCALE = 1440 / (40 + 40 + 60)  # pixels a mm: the widths of the three planes are 40, 40 and 60 mm


def pictured(path: Path, label_DHW: np.ndarray, spacing: tuple[float, float, float] = SPACING) -> np.ndarray:
    scan = Scan.of(Volume(np.full(label_DHW.shape, -1000, np.int16), spacing))
    save_picture(path, Prediction(scan, label_DHW, CARD, {}), "Müller ≥ 1")
    return np.asarray(Image.open(path).convert("RGB"))


def panels(pixels: np.ndarray) -> list[np.ndarray]:
    """Axial, coronal, sagittal; heights are 60, 60 and 60 mm."""
    found, left = [], 10
    for width in (40, 40, 60):
        found.append(pixels[62 : 62 + round(60 * SCALE), left : left + round(width * SCALE)])
        left += round(width * SCALE) + 10
    return found


def test_outlines_lie_where_the_organ_does(tmp_path: Path) -> None:
    label_DHW = np.zeros(SHAPE, np.uint8)
    label_DHW[14:18, 20:26, 28:36] = LIVER.id  # superior, anterior, and right of the middle
    pixels = pictured(tmp_path / "case.png", label_DHW)
    # From the top and from the left, in mm: all axes are shown backwards.
    boxes = [((8, 20), (4, 12)), ((6, 18), (4, 12)), ((6, 18), (8, 20))]
    for panel, ((top, bottom), (left, right)) in zip(panels(pixels), boxes, strict=True):
        rows, columns = np.nonzero((panel == organ_colour("liver")).all(-1))
        found = np.array([rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]) / SCALE
        np.testing.assert_allclose(found, [top, bottom, left, right], atol=0.2)
        middle = panel[round((top + bottom) / 2 * SCALE), round((left + right) / 2 * SCALE)]
        assert not middle.any(), "the scan is seen inside the outline"


def test_the_legend_names_the_organs_that_are_there(tmp_path: Path) -> None:
    label_DHW = np.zeros(SHAPE, np.uint8)
    label_DHW[5:9, 5:9, 5:9] = SPLEEN.id
    legend = pictured(tmp_path / "case.png", label_DHW)[62:, 1480:]
    colours = {tuple(each) for each in legend.reshape(-1, 3).tolist()}
    assert organ_colour("spleen") in colours and organ_colour("liver") not in colours


@pytest.mark.parametrize("shape", [(2, 3, 4), (600, 3, 3)])
def test_nothing_found_and_odd_sizes_are_drawn(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    pixels = pictured(tmp_path / "case.png", np.zeros(shape, np.uint8), (5.0, 1.0, 1.0))
    assert 200 < pixels.shape[0] < 2600
