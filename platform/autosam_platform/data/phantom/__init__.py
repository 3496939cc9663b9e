"""Synthetic CT of the trunk: seeded, no two cases alike, in BTCV's layout, labelled as each of four datasets does."""

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.case import (
    PHANTOM_VERSION,
    Phantom,
    has_phantom,
    make_body,
    make_phantom,
    write_phantom,
)
from autosam_platform.data.phantom.parts import Part
from autosam_platform.data.phantom.schemas import SCHEMAS

__all__ = [
    "PHANTOM_VERSION",
    "SCHEMAS",
    "Organ",
    "Part",
    "Phantom",
    "has_phantom",
    "make_body",
    "make_phantom",
    "write_phantom",
]
