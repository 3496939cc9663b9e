"""The one place that imports segment_anything (SAM's published code, Apache-2.0): prompted SAM is made of its modules.

The teacher does without them: this import takes 0.9 s, and building a small model 0.02 s.

segment_anything imports torchvision, and torchvision registers shape functions for its compiled operators when it
is imported. Beside a torch whose operators it was not compiled for (a CPU build of torch with torchvision's generic
wheel, for example) those operators are not loaded, and the import ends in "operator torchvision::nms does not exist".
Nothing of SAM's encoder runs them, so it is enough that their signatures are declared; calling one would still fail.
"""

import importlib
import sys
from types import ModuleType

import torch

__all__ = ["segment_anything"]

_SIGNATURES = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def _declare_missing_operators() -> None:
    """Declare the torchvision operators that its import asks for and that no library has registered."""
    for name, signature in _SIGNATURES.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", signature)


def _import_segment_anything() -> ModuleType:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_missing_operators()
    if "segment_anything" not in sys.modules:
        # Somebody else's import of it may have failed for the same reason (MONAI tries). Python then keeps the parts
        # that had succeeded, and would not hang them into the package again.
        for name in [each for each in sys.modules if each.startswith("segment_anything.")]:
            del sys.modules[name]
    return importlib.import_module("segment_anything")


segment_anything = _import_segment_anything()
