"""One colour per organ, the same in every picture, page and label file."""

import hashlib
import re

Colour = tuple[int, int, int]

# Found by a greedy search for colours that lie far apart in CIE Lab for normal, deuteranope and protanope
# sight (Machado et al. 2009) at once: at least 18 units between any two, then given to organs that people
# know them from. With so many organs no palette is safe by colour alone: pages and pictures name them too.
_COLOURS: dict[str, Colour] = {
    "liver": (160, 32, 32),
    "spleen": (160, 0, 128),
    "stomach": (255, 128, 96),
    "kidneys": (224, 160, 0),
    "right kidney": (224, 160, 0),
    "left kidney": (224, 224, 96),
    "gallbladder": (0, 192, 160),
    "esophagus": (64, 192, 224),
    "aorta": (224, 64, 0),
    "inferior vena cava": (32, 32, 255),
    "portal and splenic veins": (0, 128, 255),
    "pancreas": (96, 255, 255),
    "right adrenal gland": (224, 32, 96),
    "left adrenal gland": (160, 96, 192),
    "duodenum": (0, 128, 96),
    "bladder": (255, 224, 0),
    "prostate": (64, 64, 192),
    "prostate/uterus": (64, 64, 192),
    "rectum": (208, 240, 208),
    "lungs": (128, 160, 255),
    "bones": (255, 224, 160),
}


def organ_colour(name: str) -> Colour:
    """Red, green, blue, each 0 to 255. Case, ``_`` and ``-`` do not matter; an unknown organ gets a fixed
    colour of its own, made from its name.

    >>> organ_colour("liver"), organ_colour("Left_Kidney")
    ((160, 32, 32), (224, 224, 96))
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
