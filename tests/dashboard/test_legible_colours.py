"""Lines and points of charts stand out from the pages' backgrounds, the light and the dark one."""

import pytest
from plotly.colors import hex_to_rgb, qualitative

from autosam_inference.scans.colours import organ_colour
from autosam_platform.data.description import description_names, load_description
from dashboard.components.charts.legible import legible, luminance

WHITE, DARK = (255, 255, 255), (14, 17, 23)  # Streamlit's two themes


def _contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """As WCAG 2.1 defines it."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_known_colours() -> None:
    assert _contrast((0, 0, 0), WHITE) == pytest.approx(21)
    assert _contrast((119, 119, 119), WHITE) == pytest.approx(4.48, abs=0.01)  # #777777, known as just too light


def test_whatever_a_chart_draws_has_three_to_one_on_both_backgrounds() -> None:
    organs = {each.name for name in description_names() for each in load_description(name).classes}
    drawn = [organ_colour(each) for each in organs] + [hex_to_rgb(each) for each in qualitative.D3]
    assert len(drawn) > 20
    for colour in drawn:
        for background in (WHITE, DARK):
            assert _contrast(legible(colour), background) >= 3, (colour, background)


def test_what_stands_out_already_stays() -> None:
    assert legible((31, 119, 180)) == (31, 119, 180)
