"""A small SAM, made with segment_anything's own classes, and the teacher's options that fit it."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autosam_models.sam_import import segment_anything


def small_encoder(window: int = 2, embed_dim: int = 24, depth: int = 4) -> nn.Module:
    """SAM's image encoder for 64 x 64 pixels (4 x 4 tokens); every tensor is random, the zero tables too."""
    torch.manual_seed(0)
    encoder = segment_anything.modeling.ImageEncoderViT(
        img_size=64,
        patch_size=16,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=2,
        out_chans=8,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=window,
        global_attn_indexes=(depth - 1,),
    )
    for name, parameter in encoder.named_parameters():
        if "pos" in name:
            nn.init.normal_(parameter)
    return encoder


def save_small_sam(path: Path, **encoder_options: int) -> dict[str, torch.Tensor]:
    """Write a whole SAM as its authors do, and return what was written."""
    modeling = segment_anything.modeling
    sam = modeling.Sam(
        image_encoder=small_encoder(**encoder_options),
        prompt_encoder=modeling.PromptEncoder(8, (4, 4), (64, 64), mask_in_chans=4),
        mask_decoder=modeling.MaskDecoder(
            transformer_dim=8,
            transformer=modeling.TwoWayTransformer(depth=1, embedding_dim=8, num_heads=2, mlp_dim=8),
            iou_head_hidden_dim=8,
        ),
    )
    torch.save(sam.state_dict(), path)
    return sam.state_dict()


def small_options() -> dict[str, Any]:
    """Options of ``autosam_demo`` that fit the small SAM."""
    return {
        "patch": (16, 16, 16),
        "embed_dim": 24,
        "depth": 4,
        "heads": 2,
        "mlp_ratio": 4.0,
        "patch_kernel": 16,
        "upsample": 4,
        "plane_grid": (4, 4),
        "window": 2,
        "neck_channels": 8,
        "apg_widths": (4, 6),
        "head_widths": (6, 4),
        "fusion_width": 4,
    }
