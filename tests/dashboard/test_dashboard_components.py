"""Ids and paths, text, charts and slices, on values that can be checked by hand."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example_runs import CASE, DONE

from autosam_platform.evaluation.table import Row
from dashboard.components import planes, records
from dashboard.components.places import ReadingError, checked_id, inside, run_folder
from dashboard.components.text import duration, millimetres, plain, score
from dashboard.components.volumes import load_image, load_labels


@pytest.mark.parametrize("name", ["demo-1f0c22aa", "img 01", "Fall_ä.1", "a..b"])
def test_names_of_runs_and_cases_are_accepted(name: str) -> None:
    assert checked_id("run", name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "x\x00y", "x\ny", "a" * 201]
)
def test_what_could_lead_elsewhere_is_no_name(name: str) -> None:
    with pytest.raises(ReadingError, match="not the name of a run"):
        checked_id("run", name)


def test_a_link_out_of_the_workspace_is_not_followed(tmp_path: Path) -> None:
    outside, workspace = tmp_path / "outside", tmp_path / "workspace"
    outside.mkdir()
    (workspace / "runs").mkdir(parents=True)
    (workspace / "runs" / "demo").symlink_to(outside)
    with pytest.raises(ReadingError, match="not opened"):
        run_folder(workspace, "demo")
    with pytest.raises(ReadingError, match="not opened"):
        inside(workspace / ".." / "outside", [workspace])
    assert inside(workspace / "runs" / "demo", [workspace, outside]) == outside


def test_markup_in_names_stays_text() -> None:
    assert plain("**a** [x](y)\n:red[z] <b>") == r"\*\*a\*\* \[x\]\(y\) \:red\[z\] \<b\>"


def test_times_and_scores() -> None:
    assert (duration(3725.4), duration(None)) == ("1:02:05", "")
    assert (score(0.81249), score(None), score(float("nan"))) == ("0.812", "–", "–")
    assert (millimetres(4.25), millimetres(None), millimetres(float("nan"))) == ("4.2 mm", "–", "–")


def test_the_metrics_of_a_run_are_the_evaluation_s(example: Path) -> None:
    table = records.read_metrics(example / "runs" / DONE)
    assert table is not None
    assert list(table.columns) == [field.name for field in fields(Row)]
    case = records.read_case(example, example / "runs" / DONE, CASE)
    pd.testing.assert_frame_equal(case.rows[table.columns], table)


def test_cases_are_ranked_by_their_mean_dice_without_undefined_classes() -> None:
    nan = float("nan")
    rows = [
        ("a", "liver", 0.9, 0.8, 3.0),
        ("a", "spleen", 0.7, 0.6, 5.0),
        ("b", "liver", 0.5, 0.4, nan),
        ("b", "spleen", nan, nan, nan),
        ("c", "liver", nan, nan, nan),
    ]
    table = pd.DataFrame(rows, columns=["case", "class_name", "dice", "nsd", "hd95_mm"])
    ranked = records.per_case(table)
    assert ranked["case"].tolist() == ["b", "a", "c"]
    assert ranked["dice"].tolist()[:2] == pytest.approx([0.5, 0.8])
    assert ranked["worst"].tolist() == ["liver", "spleen", ""]
    assert ranked["n"].tolist() == [1, 2, 0]
    assert ranked["hd95_mm"].tolist() == pytest.approx([nan, 4.0, nan], nan_ok=True)
    assert ranked["n_hd95"].tolist() == [0, 2, 0]


# A bright corner: its index in D, H, W, and for each plane the half of rows and of columns where it is seen.
SIDES = {
    "right anterior superior": ((1, 1, 1), {"Axial": (0, 0), "Coronal": (0, 0), "Sagittal": (0, 0)}),
    "left posterior inferior": ((0, 0, 0), {"Axial": (1, 1), "Coronal": (1, 1), "Sagittal": (1, 1)}),
    "left anterior inferior": ((0, 1, 0), {"Axial": (0, 1), "Coronal": (1, 1), "Sagittal": (1, 0)}),
}


@pytest.mark.parametrize("plane", planes.PLANES, ids=lambda plane: plane.name)
@pytest.mark.parametrize("corner", SIDES)
def test_right_is_left_and_superior_and_anterior_are_up_and_left(plane: planes.Plane, corner: str) -> None:
    index_DHW, expected = SIDES[corner]
    image_DHW = np.full((2, 2, 2), -1000, np.int16)
    image_DHW[index_DHW] = 1000
    picture = planes.draw(plane, index_DHW[plane.axis], image_DHW, (100.0, 100.0, 100.0), (40, 400))
    quarter = picture.shape[0] // 8
    shades = {
        (row, column): picture[quarter + row * 6 * quarter, quarter + column * 6 * quarter].mean()
        for row in (0, 1)
        for column in (0, 1)
    }
    assert max(shades, key=lambda place: shades[place]) == expected[plane.name]


def test_pictures_are_to_scale_in_millimetres() -> None:
    image_DHW = np.zeros((2, 3, 4), np.int16)
    sizes = [planes.draw(plane, 0, image_DHW, (5.0, 2.0, 1.0), (40, 400)).shape for plane in planes.PLANES]
    assert sizes == [(432, 288, 3), (720, 288, 3), (720, 432, 3)]  # 72 pixels a mm of 10 × 6 × 4 mm


def test_the_window_maps_its_ends_to_black_and_white() -> None:
    image_DHW = np.array([[[-160, -160, 40, 40, 240, 240]]], np.int16).repeat(6, axis=1)
    picture = planes.draw(planes.AXIAL, 0, image_DHW, (1.0, 100.0, 100.0), (40, 400))
    assert picture[150, [660, 420, 60], 0].tolist() == pytest.approx(
        [0, 127.5, 255], abs=1
    )  # the patient's left is right


def _painted(manner: planes.Manner, dashed: bool = False) -> np.ndarray:
    labels_DHW = np.zeros((1, 4, 4), np.int16)
    labels_DHW[0, 1:3, 1:3] = 5
    labels_DHW[0, 0, 0] = 7  # no colour: not shown
    layer = planes.Layer(labels_DHW, {5: (200, 100, 50)}, manner, 0.5, dashed)
    black_DHW = np.full((1, 4, 4), -1000, np.int16)
    return planes.draw(planes.AXIAL, 0, black_DHW, (1.0, 100.0, 100.0), (40, 400), [layer])


def test_labels_are_filled_with_the_opacity_and_outlined_with_full_colour() -> None:
    filled, outlined = _painted("filled"), _painted("outlined")
    assert filled[360, 360].tolist() == filled[181, 300].tolist() == [100, 50, 25]
    assert outlined[181, 300].tolist() == [200, 100, 50]  # the square begins at 180, its line has 2 pixels
    assert outlined[360, 360].tolist() == outlined[179, 300].tolist() == [0, 0, 0]
    assert filled[600, 600].tolist() == [0, 0, 0]


def test_a_dashed_line_is_a_part_of_the_whole_one() -> None:
    whole, dashed = (_painted("outlined", part)[..., 0] == 200 for part in (False, True))
    assert not (dashed & ~whole).any()
    assert 0.4 < dashed.sum() / whole.sum() < 0.6


def test_volumes_are_canonical_and_cannot_be_changed(example: Path) -> None:
    scan = load_image(example / "datasets" / "scan.nii.gz")
    truth = load_labels(example / "datasets" / "truth.nii.gz", scan)
    assert scan.array_DHW.shape == (8, 11, 14)
    assert scan.spacing_DHW == (3.0, 2.0, 1.0)
    assert scan.array_DHW[3, 4, 13 - 3] == 60  # stored right → left
    assert truth.telling_DHW == (2, 3, 8)  # the first slices of the only organ
    with pytest.raises(ValueError, match="read-only"):
        scan.array_DHW[0, 0, 0] = 1
