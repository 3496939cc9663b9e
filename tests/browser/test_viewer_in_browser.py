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

_PIXEL = """async (canvas, [right, down]) => {
    const frame = () => new Promise(requestAnimationFrame);
    for (let drawn = 0; drawn < 3; drawn++) await frame();
    const [left, top, width, height] = canvas.dataset.frame.split(",").map(Number);
    const dense = canvas.width / canvas.clientWidth;
    const at = [left + right * width, top + down * height].map((place) => Math.floor(place * dense));
    return [...canvas.getContext("2d").getImageData(...at, 1, 1).data].slice(0, 3);
}"""
"""A picture is drawn with a frame after the click that changes it."""

_LAID_OUT = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    const narrow = () => getComputedStyle(document.querySelector(".stMainBlockContainer")).paddingLeft === "24px";
    while (!narrow()) await frame();
    await frame();
    await frame();
}"""
"""Streamlit may bring a page's style after what is on it: only then is the viewer where it stays. It fits itself with
the frame in which it is told, and draws with the next."""


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
        page.evaluate(_LAID_OUT)
        return page

    return open_viewer


def _pixel(page: Page, plane: str, x: int, y: int) -> list[int]:
    """Red, green, blue in the middle of a voxel, counted on the picture from its left and top."""
    across, down = {"axial": (8, 6), "coronal": (8, 4), "sagittal": (6, 4)}[plane]
    return page.get_by_test_id(plane).evaluate(_PIXEL, [(x + 0.5) / across, (y + 0.5) / down])


def _voxel(page: Page, plane: str, x: int, y: int) -> tuple[float, float]:
    """Where that voxel's middle is on the page."""
    across, down = {"axial": (8, 6), "coronal": (8, 4), "sagittal": (6, 4)}[plane]
    canvas = page.get_by_test_id(plane)
    left, top, width, height = map(float, str(canvas.get_attribute("data-frame")).split(","))
    box = canvas.bounding_box()
    assert box is not None
    return box["x"] + left + (x + 0.5) * width / across, box["y"] + top + (y + 0.5) * height / down


def _says(page: Page, part: str, text: str) -> None:
    expect(page.get_by_test_id(part)).to_have_text(text)


def test_the_wheel_turns_slices_and_their_dice_without_the_server(opened: Open, page: Page) -> None:
    asked: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: asked.append(frame)))
    opened()
    _says(page, "slice-axial", "Axial 2/4")
    _says(page, "dice-axial", "Dice 100.00 %")
    before = len(asked)
    page.get_by_test_id("axial").hover()
    page.mouse.wheel(0, -100)
    _says(page, "slice-axial", "Axial 3/4")
    _says(page, "dice-axial", "Dice 54.55 %")  # 2 · 6 / (14 + 8)
    _says(page, "slice-coronal", "Coronal 2/6")
    page.mouse.wheel(0, -100)
    _says(page, "dice-axial", "Dice –")  # nothing is labelled there
    page.mouse.wheel(0, -100)
    _says(page, "slice-axial", "Axial 4/4")
    page.wait_for_url(re.compile(r"[?&]z=4(&|$)"))
    assert len(asked) == before > 0


def test_organs_can_be_switched_off(opened: Open) -> None:
    page = opened(z="3", y="1", x="1")
    spleen = _pixel(page, "axial", 7 - 2, 5 - 2)
    page.get_by_test_id("organ-6").click()
    assert _pixel(page, "axial", 7 - 2, 5 - 2) == spleen == [38, 0, 77]  # 0.4 of its colour, on air
    _says(page, "dice-axial", "Dice 60.00 %")  # spleen: 2 · 6 / (12 + 8)
    page.get_by_role("button", name="None", exact=True).click()
    _says(page, "dice-axial", "Dice –")
    page.get_by_test_id("organ-6").click()
    _says(page, "dice-axial", "Dice 0.00 %")
    assert _pixel(page, "axial", 7 - 2, 5 - 2) == [0, 0, 0]
    expect(page.get_by_test_id("organ-1")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_test_id("organ-4")).to_be_disabled()  # in no label map
    page.wait_for_url(re.compile(r"off=1%2C4"))
    page.get_by_role("button", name="All", exact=True).click()
    _says(page, "dice-axial", "Dice 54.55 %")


def test_the_slice_with_most_wrong_voxels_is_found(opened: Open) -> None:
    page = opened()
    page.get_by_test_id("worst-axial").click()
    _says(page, "slice-axial", "Axial 3/4")
    page.get_by_test_id("worst-axial").click()  # no other is wrong
    _says(page, "slice-axial", "Axial 3/4")
    page.get_by_test_id("worst-sagittal").click()
    # In sagittal slices 4 and 5 three voxels of spleen are missed: Dice 2 · 3 / (6 + 3). In 6 and 7 one voxel of liver
    # is taken for spleen, which has the lower Dice, 2 · 1 / (2 + 2), and is less wrong.
    _says(page, "slice-sagittal", "Sagittal 4/8")
    _says(page, "dice-sagittal", "Dice 66.67 %")
    inked = """canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const columns = Array.from({ length: 4 }, (_, slice) => Math.floor(((slice + 0.5) / 4) * canvas.width));
        const inked = (at, x) => at % 4 === 3 && (at >> 2) % canvas.width === x && data[at];
        return columns.map((x) => data.filter((_, at) => inked(at, x)).length);
    }"""
    assert page.get_by_test_id("strip-axial").evaluate(inked) == [0, 0, 10, 0]  # as high as the strip
    page.get_by_test_id("axial").hover()
    page.get_by_test_id("slider-axial").fill("1")
    page.get_by_test_id("slider-axial").evaluate("slider => slider.blur()")
    page.keyboard.press("n")
    _says(page, "slice-axial", "Axial 3/4")


def test_planes_and_organs_in_3d_fill_the_window_without_scrolling(opened: Open) -> None:
    page = opened()
    boxes = [page.get_by_test_id(each).bounding_box() for each in ("axial", "coronal", "slider-sagittal", "3d")]
    axial, coronal, last, solid = [box for box in boxes if box is not None]
    assert axial["y"] == coronal["y"] < solid["y"] and axial["x"] < coronal["x"] == solid["x"]
    assert 760 < max(box["y"] + box["height"] for box in (last, solid)) <= 800
    assert 1200 < solid["x"] + solid["width"] <= 1280


def test_ctrl_and_the_wheel_zoom_at_the_pointer_and_the_middle_button_pans(opened: Open) -> None:
    page = opened(z="3", y="1", x="1")
    place, edge = _voxel(page, "axial", 2, 1), _voxel(page, "axial", 3, 1)[0] - _voxel(page, "axial", 2, 1)[0]
    page.mouse.move(*place)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    page.wait_for_url(re.compile(r"zoom=2\.07"))  # 1.2 to the power of 4
    assert _voxel(page, "axial", 2, 1) == pytest.approx(place, abs=1)  # stays where it was
    assert _voxel(page, "axial", 3, 1)[0] - place[0] == pytest.approx(1.2**4 * edge, abs=1)  # and has grown
    page.mouse.down()
    page.mouse.up()
    _says(page, "slice-sagittal", "Sagittal 6/8")  # 7 − 2, counted from 1: what was under the pointer is
    _says(page, "slice-coronal", "Coronal 5/6")
    before = _voxel(page, "axial", 2, 1)
    page.mouse.down(button="middle")
    page.mouse.move(place[0] + 30, place[1] + 20)
    page.mouse.up(button="middle")
    page.wait_for_timeout(100)
    assert _voxel(page, "axial", 2, 1) == pytest.approx((before[0] + 30, before[1] + 20), abs=0.6)
    page.keyboard.press("r")
    page.wait_for_url(lambda url: "zoom=" not in url and "centre=" not in url)
    assert _voxel(page, "axial", 2, 1) == pytest.approx(place, abs=0.1)


def test_a_zoom_is_in_the_address(opened: Open) -> None:
    page = opened(z="3", zoom="2", centre="2,3,1", alone="axial")
    expect(page.get_by_test_id("coronal")).to_be_hidden()
    box = page.get_by_test_id("axial").bounding_box()
    assert box is not None
    # Voxel edge 1 of x is in the middle of the canvas; the picture's columns run against it.
    middle = box["x"] + box["width"] / 2
    left, right = (_voxel(page, "axial", 8 - edge, 0)[0] for edge in (2, 1))
    assert left < middle < right
    assert (left + right) / 2 == pytest.approx(middle, abs=1)


def test_keys_work_without_a_click(opened: Open) -> None:
    page = opened()
    page.mouse.move(*_voxel(page, "coronal", 2, 1))
    page.keyboard.press("PageUp")
    _says(page, "slice-coronal", "Coronal 3/6")
    _says(page, "slice-axial", "Axial 2/4")
    page.keyboard.press("?")
    expect(page.get_by_test_id("keys")).to_contain_text("zoom at the pointer")
    page.keyboard.press("?")
    expect(page.get_by_test_id("keys")).to_be_hidden()


def test_a_viewer_that_has_left_the_page_listens_no_longer(page: Page, address: App) -> None:
    """Each holds a whole case; a person opens many."""
    page.add_init_script("""
        window.heard = 0;
        const add = EventTarget.prototype.addEventListener;
        EventTarget.prototype.addEventListener = function (kind, does, options) {
            if (this === window && kind === "keydown" && options?.signal) {
                window.heard++;
                options.signal.addEventListener("abort", () => window.heard--);
            }
            return add.call(this, kind, does, options);
        };
    """)
    page.goto(address("viewer", run=FIRST, case=CASE))
    page.get_by_test_id("slice-axial").wait_for()
    assert page.evaluate("window.heard") == 1
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_test_id("slice-axial")).to_have_count(0)
    page.keyboard.press("r")
    assert page.evaluate("window.heard") == 0


def test_a_double_click_shows_one_plane_alone(opened: Open) -> None:
    page = opened()
    small = page.get_by_test_id("axial").bounding_box()
    page.get_by_test_id("axial").dblclick()
    expect(page.get_by_test_id("coronal")).to_be_hidden()
    large = page.get_by_test_id("axial").bounding_box()
    assert small is not None and large is not None
    assert large["width"] > 1.8 * small["width"] and large["y"] + large["height"] < 800
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("coronal")).to_be_visible()


def test_the_corner_reads_place_hounsfield_units_and_both_labels(opened: Open) -> None:
    page = opened(z="3", y="1", x="1")
    page.mouse.move(*_voxel(page, "axial", 7 - 5, 5 - 4))  # liver, taken for spleen
    told = "R 5.0  A 8.0  S 6.0 mm · -1002 HU · truth liver · prediction spleen"
    expect(page.get_by_test_id("readout-axial")).to_have_text(told)
    page.mouse.move(*_voxel(page, "coronal", 0, 0))
    _says(page, "readout-axial", "")
    _says(page, "readout-coronal", "R 7.0  A 0.0  S 9.0 mm · -1002 HU · truth – · prediction –")


def test_an_organs_name_shows_it_alone_at_its_largest_error(opened: Open) -> None:
    page = opened()
    # Spleen: truth 24 voxels of 6 mm³, prediction 20, both 18. Liver: 4, 2 and 2.
    expect(page.get_by_test_id("line-1")).to_have_text("spleen81.820.1")
    expect(page.get_by_test_id("line-6")).to_have_text("liver66.670.0")
    page.get_by_test_id("isolate-6").click()
    for plane, text in (("axial", "Axial 3/4"), ("coronal", "Coronal 5/6"), ("sagittal", "Sagittal 7/8")):
        _says(page, f"slice-{plane}", text)
    expect(page.get_by_test_id("organ-1")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_test_id("organ-6")).to_have_attribute("aria-pressed", "true")
    page.get_by_test_id("isolate-6").click()
    expect(page.get_by_test_id("organ-1")).to_have_attribute("aria-pressed", "true")
    page.wait_for_url(lambda url: "off=" not in url)
    linked = opened(organ="spleen")
    expect(linked.get_by_test_id("organ-6")).to_have_attribute("aria-pressed", "false")
    _says(linked, "slice-axial", "Axial 3/4")


def test_organs_in_3d_are_those_shown_and_turn(opened: Open) -> None:
    colours = """canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const found = { red: 0, purple: 0, sum: 0 };
        for (let at = 0; at < data.length; at += 4) {
            const [red, green, blue] = data.subarray(at, at + 3);
            if (red > 40 && blue < red / 2) found.red++;
            if (red > 40 && blue > red / 2) found.purple++;
            if (red) found.sum += at;
        }
        return found;
    }"""
    page = opened(show="truth")
    solid = page.get_by_test_id("3d")
    expect(page.get_by_test_id("model-3d")).to_contain_text("3D · truth")
    both = solid.evaluate(colours)
    assert both["purple"] > 1000  # of the spleen, behind which the small liver may hide
    page.get_by_test_id("isolate-6").click()
    page.wait_for_timeout(200)
    liver = solid.evaluate(colours)
    assert liver["red"] > 100 and liver["purple"] == 0
    box = solid.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 100)
    page.mouse.up()
    page.wait_for_url(re.compile(r"turn=0\.8"))
    assert solid.evaluate(colours)["sum"] != liver["sum"]


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
    _says(page, "slice-sagittal", "Sagittal 8/8")
    _says(page, "slice-coronal", "Coronal 6/6")
    box = axial.bounding_box()
    assert box is not None
    axial.click(position={"x": box["width"] - 2, "y": box["height"] - 2})
    _says(page, "slice-sagittal", "Sagittal 1/8")
    _says(page, "slice-coronal", "Coronal 1/6")
    axial.press("PageUp")
    _says(page, "slice-axial", "Axial 3/4")
    page.get_by_test_id("slider-axial").fill("1")
    _says(page, "slice-axial", "Axial 1/4")


def test_missed_extra_wrong_and_agreed_have_colours_of_their_own(opened: Open) -> None:
    page = opened(z="3", y="1", x="1", show="difference")
    page.get_by_test_id("opacity").fill("100")
    expect(page.get_by_test_id("legend")).to_contain_text("missed (truth only)")
    # The picture's column of voxel x is 7 − x, its row of voxel y is 5 − y.
    assert _pixel(page, "axial", 7 - 3, 5 - 2) == [213, 94, 0]  # spleen, missed
    assert _pixel(page, "axial", 7 - 2, 5 - 2) == pytest.approx([0, 48, 35], abs=1)  # spleen, agreed: three tenths
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
    _says(page, "model-axial", f"1 {FIRST}")
    whole = f"{SECOND} · Dice of the organs shown 100.00 %"
    expect(page.get_by_test_id("model-axial-2")).to_have_attribute("title", whole)
    expect(page.get_by_test_id("line-1")).to_have_text("spleen81.82100.000.1")
    page.get_by_test_id("axial-2").hover()
    page.mouse.wheel(0, -100)
    _says(page, "slice-axial", "Axial 3/4")
    _says(page, "slice-axial-2", "Axial 3/4")
    _says(page, "dice-axial", "Dice 54.55 %")
    _says(page, "dice-axial-2", "Dice 100.00 %")
    page.keyboard.press(" ")  # they change places
    _says(page, "model-axial", f"2 {SECOND}")
    _says(page, "dice-axial", "Dice 100.00 %")
    _says(page, "dice-axial-2", "Dice 54.55 %")


def test_the_next_case_keeps_the_look_and_has_its_own_slices(opened: Open) -> None:
    page = opened(z="3", window="-600,1500", show="truth")
    page.get_by_role("combobox", name="Case").click()
    page.get_by_role("option", name="tall").click()
    page.get_by_label(re.compile("^Axial plane of tall")).wait_for()
    _says(page, "slice-axial", "Axial 4/12")  # the first of those with all organs
    expect(page.get_by_test_id("window")).to_have_value("Lung")
    page.wait_for_url(re.compile(r"(?=.*case=tall)(?=.*[?&]z=4(&|$))(?=.*show=truth)"))


def test_the_picture_is_saved_with_its_name(opened: Open) -> None:
    page = opened()
    with page.expect_download() as download:
        page.get_by_test_id("save").click()
    assert download.value.suggested_filename == f"{CASE} · {FIRST}.png"
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
