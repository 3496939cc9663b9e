"""The students that a teacher's knowledge is distilled into: SwinUNETR in two small widths."""

from autosam_models.registry import Model, register
from autosam_models.swin_unetr import OPTIONS, PATCH, swin_unetr

_WIDTHS = {"tiny": 12, "small": 24}

for _name, _width in _WIDTHS.items():
    register(
        Model(
            name=f"swin_unetr_{_name}",
            role="student",
            source=f"AutoSAM Adapter, Sec. 3.5; MONAI's SwinUNETR, feature size {_width}",
            build=swin_unetr,
            defaults={"patch": PATCH, "feature_size": _width},
            options=OPTIONS,
        )
    )
