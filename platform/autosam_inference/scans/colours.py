"""One colour per organ, the same in every picture, page and label file."""

import hashlib
import re

Colour = tuple[int, int, int]

# Found by a local search, from the colours that people know organs by, in steps of 32 a channel and none of them grey.
# Any two differ by 29 units or more in CIE Lab. Organs that touch one another do by 20 or more where they lie over soft
# tissue at the viewer's default opacity, in normal and in deuteranope, protanope and tritanope sight (Machado et al.
# 2009): tests/inference/test_colours.py. That leaves no liberty to be prettier, and pages name the organs too.
_COLOURS: dict[str, Colour] = {
    "liver": (160, 0, 0),
    "spleen": (96, 0, 192),
    "stomach": (192, 128, 0),
    "kidneys": (255, 192, 0),
    "right kidney": (255, 192, 0),
    "left kidney": (192, 255, 160),
    "gallbladder": (0, 32, 96),
    "esophagus": (64, 192, 224),
    "aorta": (255, 64, 0),
    "inferior vena cava": (64, 0, 255),
    "portal and splenic veins": (224, 255, 0),
    "pancreas": (0, 255, 255),
    "right adrenal gland": (96, 0, 96),
    "left adrenal gland": (0, 64, 96),
    "duodenum": (32, 128, 255),
    "bladder": (128, 192, 0),
    "prostate": (160, 0, 160),
    "prostate/uterus": (160, 0, 160),
    "rectum": (255, 192, 160),
    "lungs": (128, 160, 224),
    "bones": (64, 255, 160),
}


def organ_colour(name: str) -> Colour:
    """Red, green, blue, each 0 to 255. Case, ``_`` and ``-`` do not matter; an unknown organ gets a fixed
    colour of its own, made from its name.

    >>> organ_colour("liver"), organ_colour("Left_Kidney")
    ((160, 0, 0), (192, 255, 160))
    """
    key = organ_key(name)
    if key in _COLOURS:
        return _COLOURS[key]
    red, green, blue = hashlib.sha256(key.encode()).digest()[:3]
    return 64 + red * 3 // 4, 64 + green * 3 // 4, 64 + blue * 3 // 4  # light enough to be seen on dark grey


def organ_key(name: str) -> str:
    """An organ's name as tables have it: in small letters, words with one space between.

    >>> organ_key("Left_Kidney")
    'left kidney'
    """
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def organ_rgb(name: str) -> tuple[float, float, float]:
    """The colour of an organ as matplotlib takes it: red, green, blue, each 0 to 1.

    >>> organ_rgb("inferior vena cava")[2]
    1.0
    """
    red, green, blue = organ_colour(name)
    return red / 255, green / 255, blue / 255
