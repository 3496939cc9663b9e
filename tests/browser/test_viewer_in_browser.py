"""The viewer in a real browser: slices, Dice, organs and pixels of a case whose voxels can be counted.

The case is in ``example_cases``. Dice over the organs shown, all their voxels together, of the first run: slice 2 is
right; in slice 3, truth has 12 voxels of spleen and 2 of liver, the prediction 8 of spleen, 6 of them right.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser_app import App, served
from example_cases import CASE, FIRST, SECOND, volumes, write_cases, write_evaluation, write_volume
from playwright.sync_api import Page, expect

Open = Callable[..., Page]

_PIXEL = """(canvas, [right, down]) => [...canvas.getContext("2d").getImageData(
    Math.floor(right * canvas.width), Math.floor(down * canvas.height), 1, 1).data].slice(0, 3)"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    root = tmp_path_factory.mktemp("cases")
    write_cases(root)
    tall = write_volume(root / "datasets" / "tall.nii.gz", volumes().scan.repeat(3, axis=0))
    labels = volumes().truth.repeat(3, axis=0)
    truth = write_volume(root / "datasets" / "tall-truth.nii.gz", labels)
    write_evaluation(root, FIRST, tall, truth, labels, case="tall")
    with served(root) as app:
        yield app


@pytest.fixture
def opened(page: Page, address: App) -> Open:
    def open_viewer(**more: str) -> Page:
        page.goto(address("viewer", **{"run": FIRST, "case": CASE, **more}))
        page.get_by_test_id("slice-axial").wait_for()
        return page

    return open_viewer


def _pixel(page: Page, plane: str, x: int, y: int) -> list[int]:
    """Red, green, blue in the middle of a voxel, counted on the picture from its left and top."""
    across, down = {"axial": (8, 6), "coronal": (8, 4), "sagittal": (6, 4)}[plane]
    return page.get_by_test_id(plane).evaluate(_PIXEL, [(x + 0.5) / across, (y + 0.5) / down])


def _says(page: Page, part: str, text: str) -> None:
    expect(page.get_by_test_id(part)).to_have_text(text)


def test_the_wheel_turns_slices_and_their_dice_without_the_server(opened: Open, page: Page) -> None:
    asked: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: asked.append(frame)))
    opened()
    _says(page, "slice-axial", "Axial · slice 2/4")
    _says(page, "dice-axial", "Dice in this slice 1.000")
    before = len(asked)
    page.get_by_test_id("axial").hover()
    page.mouse.wheel(0, -100)
    _says(page, "slice-axial", "Axial · slice 3/4")
    _says(page, "dice-axial", "Dice in this slice 0.545")  # 2 · 6 / (14 + 8)
    _says(page, "slice-coronal", "Coronal · slice 2/6")
    page.mouse.wheel(0, -100)
    _says(page, "dice-axial", "Dice in this slice –")  # nothing is labelled there
    page.mouse.wheel(0, -100)
    _says(page, "slice-axial", "Axial · slice 4/4")
    page.wait_for_url(re.compile(r"[?&]z=4(&|$)"))
    assert len(asked) == before > 0


def test_organs_can_be_switched_off(opened: Open) -> None:
    page = opened(z="3", y="1", x="1")
    spleen = _pixel(page, "axial", 7 - 2, 5 - 2)
    page.get_by_test_id("organ-6").click()
    assert _pixel(page, "axial", 7 - 2, 5 - 2) == spleen == [64, 0, 51]  # 0.4 of its colour, on air
    _says(page, "dice-axial", "Dice in this slice 0.600")  # spleen: 2 · 6 / (12 + 8)
    page.get_by_role("button", name="None", exact=True).click()
    _says(page, "dice-axial", "Dice in this slice –")
    page.get_by_test_id("organ-6").click()
    _says(page, "dice-axial", "Dice in this slice 0.000")
    assert _pixel(page, "axial", 7 - 2, 5 - 2) == [0, 0, 0]
    expect(page.get_by_test_id("organ-1")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_test_id("organ-4")).to_be_disabled()  # in no label map
    page.wait_for_url(re.compile(r"off=1%2C4"))
    page.get_by_role("button", name="All", exact=True).click()
    _says(page, "dice-axial", "Dice in this slice 0.545")


def test_the_worst_slice_is_found(opened: Open) -> None:
    page = opened()
    page.get_by_test_id("worst-axial").click()
    _says(page, "slice-axial", "Axial · slice 3/4")
    page.get_by_test_id("worst-sagittal").click()
    # In sagittal slices 4 and 5 half of the spleen is missed, 2 · 3 / (6 + 3); in 6 and 7 half of the liver is taken
    # for spleen, 2 · 1 / (2 + 2).
    _says(page, "slice-sagittal", "Sagittal · slice 6/8")
    _says(page, "dice-sagittal", "Dice in this slice 0.500")


def test_right_is_left_and_superior_and_anterior_are_up_and_left(opened: Open) -> None:
    page = opened(z="4", y="6", x="8", show="none")  # where the bright voxel is: right, anterior, superior
    for plane, far in (("axial", (7, 5)), ("coronal", (7, 3)), ("sagittal", (5, 3))):
        assert min(_pixel(page, plane, 0, 0)) > 200
        others = [_pixel(page, plane, *place) for place in (far, (far[0], 0), (0, far[1]))]
        assert max(max(colour) for colour in others) < 200  # the crosshair's lines are half as bright


def test_a_click_moves_the_crosshair_of_all_planes(opened: Open) -> None:
    page = opened()
    axial = page.get_by_test_id("axial")
    axial.click(position={"x": 1, "y": 1})  # right and anterior
    _says(page, "slice-sagittal", "Sagittal · slice 8/8")
    _says(page, "slice-coronal", "Coronal · slice 6/6")
    box = axial.bounding_box()
    assert box is not None
    axial.click(position={"x": box["width"] - 2, "y": box["height"] - 2})
    _says(page, "slice-sagittal", "Sagittal · slice 1/8")
    _says(page, "slice-coronal", "Coronal · slice 1/6")
    axial.press("PageUp")
    _says(page, "slice-axial", "Axial · slice 3/4")
    page.get_by_test_id("slider-axial").fill("1")
    _says(page, "slice-axial", "Axial · slice 1/4")


def test_missed_extra_wrong_and_agreed_have_colours_of_their_own(opened: Open) -> None:
    page = opened(z="3", y="1", x="1", show="difference")
    page.get_by_test_id("opacity").fill("100")
    expect(page.get_by_test_id("legend")).to_contain_text("missed (truth only)")
    # The picture's column of voxel x is 7 − x, its row of voxel y is 5 − y.
    assert _pixel(page, "axial", 7 - 3, 5 - 2) == [213, 94, 0]  # spleen, missed
    assert _pixel(page, "axial", 7 - 2, 5 - 2) == [0, 158, 115]  # spleen, agreed
    assert _pixel(page, "axial", 7 - 5, 5 - 4) == [240, 228, 66]  # liver, taken for spleen
    page.get_by_test_id("organ-6").click()
    assert _pixel(page, "axial", 7 - 5, 5 - 4) == [86, 180, 233]  # spleen where no shown organ is


def test_windows_are_preset_or_free(opened: Open) -> None:
    page = opened(show="none", window="-600,1500")
    expect(page.get_by_test_id("window")).to_have_value("Lung")
    assert _pixel(page, "axial", 6, 4) == [59, 59, 59]  # −1000 HU travels as −1002.4: 255 · (−402.4 / 1500 + 1/2)
    page.get_by_test_id("window").select_option("Bone")
    expect(page.get_by_test_id("width")).to_have_value("1800")
    page.get_by_test_id("level").fill("-1000")
    page.get_by_test_id("level").press("Enter")
    expect(page.get_by_test_id("window")).to_have_value("Free")
    page.get_by_test_id("axial").hover()
    page.mouse.down(button="right")
    page.mouse.move(0, 0)
    page.mouse.up(button="right")
    expect(page.get_by_test_id("level")).not_to_have_value("-1000")


def test_two_models_are_scrolled_together(opened: Open) -> None:
    page = opened(**{"with": SECOND})
    expect(page.get_by_test_id("model-1")).to_contain_text(FIRST)
    expect(page.get_by_test_id("model-2")).to_have_text(f"{SECOND} · Dice of the organs shown 1.000")
    page.get_by_test_id("axial-2").hover()
    page.mouse.wheel(0, -100)
    _says(page, "slice-axial", "Axial · slice 3/4")
    _says(page, "slice-axial-2", "Axial · slice 3/4")
    _says(page, "dice-axial", "Dice in this slice 0.545")
    _says(page, "dice-axial-2", "Dice in this slice 1.000")


def test_the_next_case_keeps_the_look_and_has_its_own_slices(opened: Open) -> None:
    page = opened(z="3", window="-600,1500", show="truth")
    page.get_by_role("combobox", name="Case").click()
    page.get_by_role("option", name="tall").click()
    page.get_by_label(re.compile("^Axial plane of tall")).wait_for()
    _says(page, "slice-axial", "Axial · slice 4/12")  # the first of those with all organs
    expect(page.get_by_test_id("window")).to_have_value("Lung")
    page.wait_for_url(re.compile(r"(?=.*case=tall)(?=.*[?&]z=4(&|$))(?=.*show=truth)"))


def test_the_picture_is_saved_with_its_name(opened: Open) -> None:
    page = opened()
    with page.expect_download() as download:
        page.get_by_test_id("save").click()
    assert download.value.suggested_filename == f"{CASE} · {FIRST}.png"
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
