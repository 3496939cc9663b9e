"""Synthetic abdominal CT with the 13 organs of BTCV: seeded, no two cases alike, in BTCV's own layout."""

from autosam_platform.data.phantom.case import PHANTOM_VERSION, Phantom, make_phantom, write_phantom
from autosam_platform.data.phantom.patient import Organ

__all__ = ["PHANTOM_VERSION", "Organ", "Phantom", "make_phantom", "write_phantom"]
