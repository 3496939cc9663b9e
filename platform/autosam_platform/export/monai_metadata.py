"""``configs/metadata.json``: what MONAI's tools read of a bundle, by MONAI's own schema.

Source: MONAI bundle specification, https://docs.monai.io/en/latest/mb_specification.html. The schema itself lies where
``schema`` leads, and asks for ``authors`` where the specification has ``authorship``; ``python -m monai.bundle
verify_metadata`` fetches and compares it, ``verify_net_in_out`` asks the network for what ``network_data_format`` says.
"""

import importlib.metadata
from typing import Any

import numpy as np

from autosam_inference.bundle.card import BundleCard
from autosam_inference.card import ModelCard
from autosam_inference.scans.intensity import normalise
from autosam_models.sizes import size_text

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
INTENDED_USE = (
    "Research into the segmentation of organs in CT. This is no medical device: nothing in it was cleared for "
    "diagnosis or treatment, and a person who knows the anatomy has to look at every result."
)


def metadata(card: BundleCard) -> dict[str, Any]:
    """The fields of the file."""
    organs = ", ".join(each.name for each in card.classes)
    data = card.training_data
    return {
        "schema": SCHEMA,
        "version": card.written_by,
        "changelog": {card.written_by: f"exported from {card.run_id} on {card.written_on}"},
        "monai_version": _version("monai"),
        "pytorch_version": _version("torch").partition("+")[0],
        "numpy_version": _version("numpy"),
        "required_packages_version": {name: _version(name) for name in ("nibabel", "safetensors", "einops")},
        "optional_packages_version": {name: _version(name) for name in ("openvino", "onnxruntime")},
        "supported_apps": {},
        "name": card.run_id,
        "task": "Segmentation of organs in CT",
        "description": f"{card.model.name} for {organs}; voxels of {size_text(card.spacing_xyz)} mm (x, y, z).",
        "authors": "whoever trained it: see docs/README.md",
        "copyright": "see LICENSE",
        "data_source": "unknown" if data is None else data.title,
        "data_type": "nifti",
        "image_classes": "CT in Hounsfield units, one channel",
        "label_classes": "one channel: 0 is background, the others are network_data_format.outputs.pred.channel_def",
        "pred_classes": f"{card.num_classes} channels of logits",
        "eval_metrics": {} if card.scores is None else {"mean_dice": card.scores.mean_dice},
        "intended_use": " ".join(filter(None, (card.warning, INTENDED_USE))),
        "references": [],
        "network_data_format": {
            "inputs": {"image": _image(card)},
            "outputs": {"pred": _logits(card)},
        },
    }


def _image(card: ModelCard) -> dict[str, Any]:
    low, high = (float(normalise(np.array([hu]), card.hu_window, card.scaling)[0]) for hu in card.hu_window)
    return {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "spatial_shape": list(card.patch),
        "dtype": "float32",
        "value_range": [low, high],
        "is_patch_data": True,
        "channel_def": {"0": "image"},
    }


def _logits(card: ModelCard) -> dict[str, Any]:
    return {
        "type": "image",
        "format": "segmentation",
        "num_channels": card.num_classes,
        "spatial_shape": list(card.patch),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {"0": "background"} | {str(each.id): each.name for each in card.classes},
    }


def _version(name: str) -> str:
    return importlib.metadata.version(name)
