"""SAM's checkpoint, inflated to 3D (Sec. 3.2): every tensor of its image encoder is used, or dropped with a reason."""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autosam_models.sam_file import WHERE, require_sam_file
from autosam_models.teacher.encoder import Block, ImageEncoder

PREFIX = "image_encoder."
DROPPED = {
    "image_encoder.neck.": "the necks are 3D convolutions trained from scratch (Sec. 3.2)",
    "prompt_encoder.": "the auto prompt generator takes its place (Sec. 3.3)",
    "mask_decoder.": "the mask decoder is 3D and trained from scratch (Sec. 3.4)",
}
"""What of a checkpoint is not used, by the beginning of its name, and why."""

UNCHANGED = (
    *(f"{layer}.{kind}" for layer in ("norm1", "norm2") for kind in ("weight", "bias")),
    *(f"{layer}.{kind}" for layer in ("attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2") for kind in ("weight", "bias")),
)
"""What a block takes over as it is; a block here names its layers as SAM's does."""


@dataclass(frozen=True)
class SamWeights:
    """What became of a checkpoint: names of tensors used, and the reason for each one dropped."""

    path: Path
    used: tuple[str, ...]
    dropped: dict[str, str]


def load_sam(encoder: ImageEncoder, path: str | Path) -> SamWeights:
    """Copy the image encoder of a SAM checkpoint into ``encoder``.

    Kernels of the patch embedding are summed over SAM's colours (CT is grey: the same value in all three) and followed
    by a mean along depth; tables of relative positions are resized linearly to the window, and the table for depth
    starts as the mean of both.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read as tensors only, is no SAM checkpoint, or is one of another size.
    """
    path = Path(path)
    state = read_checkpoint(path)
    dropped = {name: _reason(name) for name in state}
    wanted = {name: tensor for name, tensor in state.items() if not dropped[name]}
    inflated = _inflate(wanted, encoder, path)
    _check_shapes(inflated, encoder, path)
    encoder.load_state_dict(inflated, strict=False)
    return SamWeights(path, tuple(wanted), {name: reason for name, reason in dropped.items() if reason})


def freeze_sam(encoder: ImageEncoder) -> None:
    """Freeze what comes from SAM, except normalisation (Sec. 3.2).

    Left to train are the depth-wise convolution of the patch embedding, the adapters, normalisation, the necks, and
    the tables of positions along depth.
    """
    frozen: list[nn.Module | nn.Parameter] = [encoder.patch_embedding.slice_conv, encoder.positions.plane_HWC]
    for block in encoder.blocks:
        assert isinstance(block, Block)
        frozen += [block.mlp, block.attn.qkv, block.attn.proj, block.attn.rel_pos_h, block.attn.rel_pos_w]
    for part in frozen:
        part.requires_grad_(False)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read a file of named tensors without running any code in it.

    Raises:
        FileNotFoundError, ValueError: see ``load_sam``.
    """
    require_sam_file(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"PK"  # as torch writes since 1.6; what nobody asks for then stays on disk
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=packed)
    except pickle.UnpicklingError as error:
        called = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it would run {called[1]}" if called else "it is damaged, or no checkpoint"
        raise ValueError(f"{path}: refused, it holds more than tensors ({what}). {WHERE}") from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{path}: cannot be read, it may be cut off ({_short(error)}). {WHERE}") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError(f"{path}: is not a dictionary of tensors, so no SAM checkpoint. {WHERE}")
    if not any(name.startswith(PREFIX) for name in state):
        raise ValueError(f"{path}: has no tensor named {PREFIX}*, so it is no SAM checkpoint. {WHERE}")
    return state


def _reason(name: str) -> str:
    return next((reason for beginning, reason in DROPPED.items() if name.startswith(beginning)), "")


def _inflate(wanted: Mapping[str, Tensor], encoder: ImageEncoder, path: Path) -> dict[str, Tensor]:
    """SAM's tensors under the names and in the shapes that they have in ``encoder``."""
    left = {name.removeprefix(PREFIX): tensor.float() for name, tensor in wanted.items()}
    try:
        inflated = _inflate_embedding(left, encoder)
        for index, block in enumerate(encoder.blocks):
            assert isinstance(block, Block)
            inflated |= _inflate_block(left, f"blocks.{index}.", block)
    except KeyError as error:
        raise ValueError(
            f"{path}: {PREFIX}{error.args[0]} is missing, so this is no SAM encoder of {len(encoder.blocks)} blocks. "
            f"Choose the checkpoint of the model's own size. {WHERE}"
        ) from error
    if left:
        raise ValueError(
            f"{path}: holds {min(left)} (and {len(left) - 1} more) that an encoder of {len(encoder.blocks)} "
            f"blocks has no place for. Choose the checkpoint of the model's own size. {WHERE}"
        )
    return inflated


def _inflate_embedding(left: dict[str, Tensor], encoder: ImageEncoder) -> dict[str, Tensor]:
    kernel_CIHW = left.pop("patch_embed.proj.weight")
    channels = encoder.patch_embedding.slice_conv.in_channels
    grey = kernel_CIHW.sum(dim=1, keepdim=True) / channels
    depth_kernel = encoder.patch_embedding.depth_conv.weight
    return {
        "patch_embedding.depth_conv.weight": torch.full_like(depth_kernel, 1 / depth_kernel.shape[2]),
        "patch_embedding.slice_conv.weight": grey.repeat(1, channels, 1, 1)[:, :, None],
        "patch_embedding.slice_conv.bias": left.pop("patch_embed.proj.bias"),
        "positions.plane_HWC": left.pop("pos_embed")[0],
    }


def _inflate_block(left: dict[str, Tensor], prefix: str, block: Block) -> dict[str, Tensor]:
    inflated = {prefix + name: left.pop(prefix + name) for name in UNCHANGED}
    rows = block.attn.rel_pos_d.shape[0]
    height = resize_rows(left.pop(prefix + "attn.rel_pos_h"), rows)
    width = resize_rows(left.pop(prefix + "attn.rel_pos_w"), rows)
    tables = {"rel_pos_h": height, "rel_pos_w": width, "rel_pos_d": (height + width) / 2}
    return inflated | {f"{prefix}attn.{name}": table for name, table in tables.items()}


def resize_rows(table_RC: Tensor, rows: int) -> Tensor:
    """A table of relative positions, resized linearly to ``rows`` as SAM's ``get_rel_pos`` does."""
    return F.interpolate(table_RC.T[None], rows, mode="linear")[0].T


def _check_shapes(inflated: Mapping[str, Tensor], encoder: ImageEncoder, path: Path) -> None:
    own = encoder.state_dict()
    for name, tensor in inflated.items():
        if own[name].shape != tensor.shape:
            raise ValueError(
                f"{path}: gives {name} the shape {tuple(tensor.shape)}, but the model's is {tuple(own[name].shape)}. "
                f"Choose the checkpoint of the model's own size. {WHERE}"
            )


def _short(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:160] or type(error).__name__
