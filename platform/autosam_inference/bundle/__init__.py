"""A model as it leaves the lab: one folder, or one zip, that holds all a scan needs, laid out as a MONAI bundle.

``card`` says what is in it, ``files`` reads them and lets none lead out, ``opened`` puts both together.
"""

from autosam_inference.bundle.card import BundleCard, BundleError
from autosam_inference.bundle.opened import Bundle, is_bundle

__all__ = ["Bundle", "BundleCard", "BundleError", "is_bundle"]
