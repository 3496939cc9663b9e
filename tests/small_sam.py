"""A small SAM as segment_anything's own classes make it, in a file as its authors write theirs."""

from functools import partial
from pathlib import Path

import torch
from torch import nn

from autosam_models import find_model
from autosam_models.sam_import import segment_anything

SIDE = 128


def small_sam(seed: int = 0, positions: float = 1.0) -> nn.Module:
    """Of the sizes of ``sam_demo``; every tensor is random, the zero tables too.

    Args:
        positions: standard deviation of the tables of positions.
    """
    torch.manual_seed(seed)
    sizes = find_model("sam_demo").defaults
    modeling = segment_anything.modeling
    channels, grid = sizes["prompt_channels"], (SIDE // 16, SIDE // 16)
    sam = modeling.Sam(
        modeling.ImageEncoderViT(
            img_size=SIDE,
            embed_dim=sizes["embed_dim"],
            depth=sizes["depth"],
            num_heads=sizes["heads"],
            out_chans=channels,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=sizes["global_blocks"],
        ),
        modeling.PromptEncoder(channels, grid, (SIDE, SIDE), mask_in_chans=16),
        modeling.MaskDecoder(
            transformer_dim=channels,
            transformer=modeling.TwoWayTransformer(
                depth=2, embedding_dim=channels, num_heads=8, mlp_dim=sizes["decoder_mlp"]
            ),
        ),
    )
    for name, parameter in sam.named_parameters():
        if "pos" in name:
            nn.init.normal_(parameter, std=positions)
    return sam.eval()


def save_small_sam(path: Path, seed: int = 0, positions: float = 1.0) -> nn.Module:
    """Write it under its real names, and return it."""
    sam = small_sam(seed, positions)
    torch.save(sam.state_dict(), path)
    return sam


def save_hollow_sam(path: Path, vit: str = "vit_b") -> dict[str, torch.Size]:
    """Write a file of segment_anything's own tensors in a released size, each of a single number that is repeated, so
    that it is small; return their shapes.
    """
    with torch.device("meta"):
        published = segment_anything.sam_model_registry[vit]()
    shapes = {name: tensor.shape for name, tensor in published.state_dict().items()}
    torch.save({name: torch.ones(1).expand(shape) for name, shape in shapes.items()}, path)
    return shapes
