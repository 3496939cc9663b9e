"""The teacher's named sizes: SAM's three encoders, and a small one that is trained from scratch in minutes."""

from typing import Any

from autosam_models.registry import Model, register
from autosam_models.teacher.autosam import AutoSAM
from autosam_models.teacher.sam_weights import freeze_sam

PAPER = "AutoSAM Adapter, Sec. 3.2-3.4"

SWITCHES = (
    "patch",
    "checkpoint",
    "upsample",
    "adapter_ratio",
    "adapter_kernel",
    "adapter_blocks",
    "apg",
    "mlam",
    "fusion",
    "activation_checkpointing",
)

PAPER_SIZES: dict[str, Any] = {
    "patch": (128, 128, 128),
    "mlp_ratio": 4.0,
    "patch_kernel": 16,
    "upsample": 4,
    "plane_grid": (64, 64),
    "window": 8,
    "adapter_ratio": 0.5,
    "adapter_kernel": 3,
    "adapter_blocks": "all",
    "neck_channels": 256,
    "apg": True,
    "apg_widths": (16, 32, 64, 128, 160),
    "mlam": True,
    "head_widths": (128, 128),
    "fusion_width": 128,
    "fusion": "half",
}

ENCODERS: dict[str, dict[str, Any]] = {
    "ViT-B": {"embed_dim": 768, "depth": 12, "heads": 12},
    "ViT-L": {"embed_dim": 1024, "depth": 24, "heads": 16},
    "ViT-H": {"embed_dim": 1280, "depth": 32, "heads": 16},
}

DEMO_SIZES: dict[str, Any] = {
    "patch": (64, 64, 64),
    "embed_dim": 96,
    "depth": 4,
    "heads": 4,
    "mlp_ratio": 2.0,
    "patch_kernel": 16,
    "upsample": 4,
    "plane_grid": None,
    "window": 4,
    "adapter_ratio": 0.5,
    "adapter_kernel": 3,
    "adapter_blocks": "all",
    "neck_channels": 64,
    "apg": True,
    "apg_widths": (32, 48, 64),
    "mlam": True,
    "head_widths": (64, 16),
    "fusion_width": 16,
    "fusion": "full",
}


def _freeze(model: AutoSAM) -> None:
    freeze_sam(model.encoder)


for _name, _encoder in ENCODERS.items():
    register(
        Model(
            name="autosam_" + _name.lower().replace("-", "_"),
            role="teacher",
            source=f"{PAPER}; encoder of SAM {_name}",
            build=AutoSAM,
            defaults=PAPER_SIZES | _encoder,
            options=SWITCHES,
            as_trained=_freeze,
        )
    )

register(
    Model(
        name="autosam_demo",
        role="teacher",
        source=f"{PAPER}; small widths, trained from scratch",
        build=AutoSAM,
        defaults=DEMO_SIZES,
        options=("checkpoint", "activation_checkpointing", *DEMO_SIZES),
    )
)
