"""Colours of lines and points that can be seen on the pages' backgrounds, the light and the dark one."""

from autosam_inference.scans.colours import Colour

_DARKEST, _LIGHTEST = 0.12, 0.295
"""Relative luminance of what has a contrast of 3 : 1 with the dark theme's background (#0e1117) and with white."""


def legible(colour: Colour) -> Colour:
    """The colour, made lighter or darker until it has a contrast of 3 : 1 with both backgrounds (WCAG 2.1, 1.4.11).

    >>> legible((255, 255, 0))
    (153, 153, 0)
    """
    linear = [_linear(channel / 255) for channel in colour]
    bright = luminance(colour)
    if bright > _LIGHTEST:
        linear = [channel * _LIGHTEST / bright for channel in linear]
    elif bright < _DARKEST:
        white = (_DARKEST - bright) / (1 - bright)
        linear = [channel + white * (1 - channel) for channel in linear]
    red, green, blue = (round(255 * _encoded(channel)) for channel in linear)
    return red, green, blue


def luminance(colour: Colour) -> float:
    """Relative luminance (WCAG 2.1), from 0 for black to 1 for white."""
    red, green, blue = (_linear(channel / 255) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def css(colour: Colour) -> str:
    """A colour for a line or point of a chart.

    >>> css((153, 153, 0))
    'rgb(153, 153, 0)'
    """
    return f"rgb{legible(colour)}"


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def _encoded(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
