"""Every model there is: its name, sizes, options and place in the paper. Nothing here imports a network.

Parameters are written down, since counting them takes seconds and torch: ``tests/models/test_registry.py`` builds every
model and holds them true.
"""

from dataclasses import asdict, fields
from typing import Any

from autosam_models.prompted.asking import Asking
from autosam_models.registry import Model, register
from autosam_models.sizes import Size

PAPER = "AutoSAM Adapter, Sec. 3.2-3.4"
PATCH: Size = (128, 128, 128)

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
"""What can be told to a teacher that has SAM's sizes."""

PAPER_SIZES: dict[str, Any] = {
    "patch": PATCH,
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


def _teacher(vit: str, parameters: int, trained: int, **encoder: int) -> None:
    """The paper's model around one of SAM's three encoders."""
    register(
        Model(
            name="autosam_" + vit.lower().replace("-", "_"),
            role="teacher",
            source=f"{PAPER}; encoder of SAM {vit}",
            builder="autosam_models.teacher.autosam:AutoSAM",
            defaults=PAPER_SIZES | encoder,
            options=SWITCHES,
            parameters=parameters,
            trained_parameters=trained,
            freezer="autosam_models.teacher.autosam:freeze",
        )
    )


_teacher("ViT-B", 114_943_102, 26_559_358, embed_dim=768, depth=12, heads=12)
_teacher("ViT-L", 351_947_646, 45_233_022, embed_dim=1024, depth=24, heads=16)
_teacher("ViT-H", 708_268_414, 73_105_534, embed_dim=1280, depth=32, heads=16)

register(
    Model(
        name="autosam_demo",
        role="teacher",
        source=f"{PAPER}; small widths, trained from scratch",
        builder="autosam_models.teacher.autosam:AutoSAM",
        defaults=DEMO_SIZES,
        options=("checkpoint", "activation_checkpointing", *DEMO_SIZES),
        parameters=2_141_806,
        trained_parameters=2_141_806,
    )
)


def _other(
    name: str,
    role: str,
    source: str,
    builder: str,
    parameters: int,
    options: tuple[str, ...] = (),
    *,
    published: str | None = None,
    **sizes: bool | float | tuple[int, ...] | tuple[Size, ...],
) -> None:
    """Another network, of which everything is trained.

    Args:
        published: what describes it in ``autosam_models.published``; None where it has no class but ours.
    """
    register(
        Model(
            name=name,
            role=role,
            source=source,
            builder=builder,
            defaults={"patch": PATCH} | sizes,
            options=("patch", *options),
            parameters=parameters,
            trained_parameters=parameters,
            publisher=published and f"autosam_models.published:{published}",
        )
    )


for _name, _width, _count in (("tiny", 12, 4_078_220), ("small", 24, 15_703_304)):
    _other(
        f"swin_unetr_{_name}",
        "student",
        f"AutoSAM Adapter, Sec. 3.5; MONAI's SwinUNETR, feature size {_width}",
        "autosam_models.students:student",
        _count,
        ("activation_checkpointing", "deep_supervision"),
        published="swin_unetr",
        feature_size=_width,
        deep_supervision=False,
    )

for _name, _widths, _count in (("nano", (32, 48, 64, 48), 461_342), ("micro", (32, 64, 128, 256), 1_962_158)):
    _other(
        f"unet_{_name}",
        "student",
        f"MONAI's UNet, {len(_widths)} floors of {', '.join(map(str, _widths))} channels",
        "autosam_models.students:slim_unet",
        _count,
        published="slim_unet",
        widths=_widths,
    )

_other(
    "swin_unetr",
    "baseline",
    "MONAI's SwinUNETR, feature size 48",
    "autosam_models.swin_unetr:swin_unetr",
    62_187_296,
    ("activation_checkpointing",),
    published="swin_unetr",
    feature_size=48,
)
_other(
    "unetr",
    "baseline",
    "MONAI's UNETR, ViT-B, feature size 16",
    "autosam_models.baselines.unetr:unetr",
    93_011_374,
    ("width", "heads"),
    published="unetr",
    width=768,
    heads=12,
)
_other(
    "nnformer",
    "baseline",
    "Zhou et al. 2023, its authors' sizes for Synapse, with deep supervision",
    "autosam_models.baselines.nnformer:nnformer",
    150_054_210,
    ("width", "heads", "drop_path", "deep_supervision"),
    width=192,
    heads=6,
    drop_path=0.2,
    deep_supervision=True,
)
_other(
    "nnunet",
    "baseline",
    "nnU-Net's PlainConvUNet, six stages, without deep supervision",
    "autosam_models.baselines.nnunet:nnunet",
    31_194_446,
    ("width", "deep_supervision"),
    published="nnunet",
    width=32,
    deep_supervision=False,
)

_HALVED, _HALVED_IN_PLANE = (2, 2, 2), (1, 2, 2)
_other(
    "nnunet_resenc_m",
    "baseline",
    "nnU-Net's ResidualEncoderUNet, preset M for CT at 1 × 1 × 1.5 mm, with deep supervision",
    "autosam_models.baselines.nnunet:resenc",
    102_354_936,
    ("deep_supervision",),
    published="resenc",
    blocks=(1, 3, 4, 6, 6, 6),
    widths=(32, 64, 128, 256, 320, 320),
    kernels=((3, 3, 3),) * 6,
    strides=((1, 1, 1), *(_HALVED,) * 5),
    deep_supervision=True,
)
_other(
    "nnunet_resenc_l",
    "baseline",
    "nnU-Net's ResidualEncoderUNet, preset L for BTCV at 0.76 × 0.76 × 3 mm, with deep supervision",
    "autosam_models.baselines.nnunet:resenc",
    141_406_534,
    ("deep_supervision",),
    published="resenc",
    blocks=(1, 3, 4, 6, 6, 6, 6),
    widths=(32, 64, 128, 256, 320, 320, 320),
    kernels=((1, 3, 3), *((3, 3, 3),) * 6),
    strides=((1, 1, 1), _HALVED_IN_PLANE, *(_HALVED,) * 4, _HALVED_IN_PLANE),
    deep_supervision=True,
)

_ASKING = tuple(each.name for each in fields(Asking))


def _prompted(name: str, parameters: int, source: str, side: int, **sizes: int | tuple[int, ...]) -> None:
    """SAM itself, asked slice by slice; nothing of it is trained unless its option ``tune`` says so."""
    register(
        Model(
            name=name,
            role="prompted",
            source=source,
            builder="autosam_models.prompted.sam:build_prompted",
            defaults={"patch": (1, side, side)} | sizes | asdict(Asking()),
            options=("patch", "checkpoint", *_ASKING),
            parameters=parameters,
            trained_parameters=0,
        )
    )


_PUBLISHED = {"side": 1024, "prompt_channels": 256, "decoder_mlp": 2048}
_ENCODERS: dict[str, tuple[int, dict[str, Any]]] = {
    "b": (93_735_472, {"embed_dim": 768, "depth": 12, "heads": 12, "global_blocks": (2, 5, 8, 11)}),
    "l": (312_342_832, {"embed_dim": 1024, "depth": 24, "heads": 16, "global_blocks": (5, 11, 17, 23)}),
    "h": (641_090_608, {"embed_dim": 1280, "depth": 32, "heads": 16, "global_blocks": (7, 15, 23, 31)}),
}

for _vit, (_count, _encoder) in _ENCODERS.items():
    _prompted(
        f"sam_vit_{_vit}", _count, f"SAM ViT-{_vit.upper()}, segment_anything's; Table 2", **_PUBLISHED, **_encoder
    )

_prompted(
    "sam_demo",
    809_576,
    "SAM of segment_anything, small, trained from scratch",
    side=128,
    embed_dim=96,
    depth=4,
    heads=4,
    global_blocks=(1, 3),
    prompt_channels=64,
    decoder_mlp=128,
)
