"""What a body is made of: ids of all that is painted, apart from any data set's classes."""

from enum import IntEnum


class Organ(IntEnum):
    """Ids of the painter's own; `schemas.py` says which class of a data set each of them is, if any.

    What has no id here (fat, skin, the wall's muscles, vessels that nobody labels) is ``NONE``.
    """

    NONE = 0
    SPLEEN = 1
    RIGHT_KIDNEY = 2
    LEFT_KIDNEY = 3
    GALLBLADDER = 4
    ESOPHAGUS = 5
    LIVER = 6
    STOMACH = 7
    AORTA = 8
    CAVA = 9
    PORTAL = 10
    PANCREAS = 11
    RIGHT_ADRENAL = 12
    LEFT_ADRENAL = 13
    DUODENUM = 14
    SMALL_BOWEL = 15
    COLON = 16
    RECTUM = 17
    BLADDER = 18
    PROSTATE = 19
    UTERUS = 20
    LUNGS = 21
    HEART = 22
    SPINE = 23
    RIBS = 24
    STERNUM = 25
    SACRUM = 26
    HIPS = 27
    FEMURS = 28
    ARM_BONES = 29
    PSOAS = 30
    GLUTEI = 31
