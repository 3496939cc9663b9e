"""From a trained model and a scan to a label map on the scan's own grid.

::

    model = TrainedModel.load("runs/btcv-1a2b3c4d/model")   # network and card, on a GPU where there is one
    scan = read_scan("scan.nii.gz")                         # canonical volume in HU, its own grid, its source
    result = predict(model, scan)                           # label map, volumes in ml, seconds per phase
    write_nifti(result, "labels.nii.gz")                    # on the scan's own grid

Windows, grids and resampling need numpy and nibabel. torch is one of the runtimes that may compute the logits
(``runtimes``), imported when a model is loaded with it. What is named here is imported when it is first used.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autosam_inference.bundle import Bundle as Bundle
    from autosam_inference.bundle import BundleCard as BundleCard
    from autosam_inference.card import ModelCard as ModelCard
    from autosam_inference.card import read_card as read_card
    from autosam_inference.errors import UserError as UserError
    from autosam_inference.model import TrainedModel as TrainedModel
    from autosam_inference.prediction import Prediction as Prediction
    from autosam_inference.prediction import predict as predict
    from autosam_inference.runtimes import Runtime as Runtime
    from autosam_inference.scans.dicom_seg import write_dicom_seg as write_dicom_seg
    from autosam_inference.scans.grid import Volume as Volume
    from autosam_inference.scans.label_files import require_writable as require_writable
    from autosam_inference.scans.label_files import write_nifti as write_nifti
    from autosam_inference.scans.scan import Scan as Scan
    from autosam_inference.scans.scan import read_scan as read_scan

# OpenVINO's Python package brings one that tells Google Analytics of its use; without it, it uses a stub. Nothing may
# leave a hospital's machine unasked, so it is not to be found, before any module of ours imports OpenVINO.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

_PLACES = {
    "Bundle": "bundle",
    "BundleCard": "bundle",
    "ModelCard": "card",
    "Prediction": "prediction",
    "Runtime": "runtimes",
    "Scan": "scans.scan",
    "TrainedModel": "model",
    "UserError": "errors",
    "Volume": "scans.grid",
    "predict": "prediction",
    "read_card": "card",
    "read_scan": "scans.scan",
    "require_writable": "scans.label_files",
    "write_dicom_seg": "scans.dicom_seg",
    "write_nifti": "scans.label_files",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
