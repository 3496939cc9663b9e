"""``configs/inference.json``: the same prediction by MONAI alone, for whoever has MONAI and not this program.

``python -m monai.bundle run --config_file configs/inference.json --bundle_root . --image SCAN.nii.gz`` writes a label
map on the scan's own grid. Every step is what ``autosam_inference`` does: the way to the network's grid and back
(``scans.resampling``, ``native_grid``), window and scaling (``scans.intensity``), windows and weights
(``sliding_window``, which are MONAI's own). Numbers stand in the expressions themselves, since a lambda of MONAI's
configurations cannot look anything up. There is no ``evaluator``, which would need pytorch-ignite.
"""

from typing import Any

import numpy as np

from autosam_inference.bundle.card import WEIGHTS
from autosam_inference.card import ModelCard
from autosam_inference.scans.intensity import normalise, offset_and_divisor
from autosam_models.published import OURS, Published


def inference(card: ModelCard, published: Published) -> dict[str, Any]:
    """The fields of the file."""
    low = np.array(card.hu_window[0])
    return {
        "imports": ["$from safetensors.torch import load_file"],
        "bundle_root": ".",
        "image": "scan.nii.gz",
        "output_dir": "./predictions",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "published": published.config,
        "network_def": _network(card, published),
        "weights": _weights(published),
        "network": "$@network_def.to(@device).eval().requires_grad_(False)",
        "preprocessing": {"_target_": "Compose", "transforms": _there(card)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': @image}]",
            "transform": "@preprocessing",
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(card.patch),
            "sw_batch_size": 1,
            "overlap": card.overlap,
            "mode": "gaussian",
            "padding_mode": "constant",
            "cval": float(normalise(low, card.hu_window, card.scaling)),
        },
        "postprocessing": {"_target_": "Compose", "transforms": _back()},
        "data": "$@dataset[0]",
        "pred": "$@inferer(@data['image'][None].to(@device), @network)[0].cpu()",
        "initialize": ["$monai.utils.set_determinism(seed=0)"],
        "run": ["$@published.load_state_dict(@weights, strict=False)", "$@postprocessing(@data | {'pred': @pred})"],
        "finalize": [],
    }


def _network(card: ModelCard, published: Published) -> str:
    """Padded at the far ends to a size that the network takes, and cropped, where the patch is none."""
    gaps = [size - edge for size, edge in zip(published.size, card.patch, strict=True)]
    if not any(gaps):
        return "$@published"
    pad = ", ".join(f"0, {gap}" for gap in reversed(gaps))
    crop = ", ".join(f"0, {-gap}" for gap in reversed(gaps))
    return (
        f"$torch.nn.Sequential(torch.nn.ReplicationPad3d(({pad})), @published, torch.nn.ConstantPad3d(({crop}), 0.0))"
    )


def _weights(published: Published) -> str:
    name = f"name.removeprefix('{OURS}')"
    for beginning, theirs in (published.renamed or {}).items():
        name += f".replace('{beginning}', '{theirs}')"
    return f"${{{name}: tensor for name, tensor in load_file(@bundle_root + '/{WEIGHTS}').items()}}"


def _there(card: ModelCard) -> list[Any]:
    """From a file to the network's grid: canonical axes, then D, H, W."""
    offset, divisor = offset_and_divisor(card.hu_window, card.scaling)
    low, high = card.hu_window
    sizes = (
        "[max(1, round(round(n * float(old) / new, 4))) "
        f"for n, old, new in zip(x.shape[1:], x.pixdim, {list(card.spacing_xyz)})]"
    )
    resize = f"monai.transforms.Resize({sizes}, mode='trilinear', align_corners=False, anti_aliasing=True)(x)"
    return [
        {"_target_": "LoadImaged", "keys": "image", "image_only": True, "ensure_channel_first": True},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
        "$lambda data: {'image': data['image'], 'scan': data['image'].clone()}",
        {"_target_": "Lambdad", "keys": "image", "func": f"$lambda x: {resize}"},
        {
            "_target_": "Lambdad",
            "keys": "image",
            "func": f"$lambda x: (x.clamp({low}, {high}).round() - {float(offset)!r}) / {float(divisor)!r}",
        },
        {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x.permute(0, 3, 2, 1).contiguous()"},
        {"_target_": "ToTensord", "keys": "image", "track_meta": False},
    ]


def _back() -> list[Any]:
    """From logits to a label map in the axes of the scan's file."""
    logits_KXYZ = "data['pred'].float().permute(0, 3, 2, 1)[None]"
    resized = f"torch.nn.functional.interpolate({logits_KXYZ}, data['scan'].shape[1:], mode='trilinear')"
    label = f"{resized}.argmax(1).to(torch.uint8)"
    return [
        f"$lambda data: {{'pred': monai.data.MetaTensor({label}, meta=data['scan'].meta)}}",
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_postfix": "seg",
            "output_dtype": "$numpy.uint8",
            "resample": True,
            "mode": "nearest",
            "separate_folder": False,
        },
    ]
