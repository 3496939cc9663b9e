"""The AutoSAM Adapter and its parts written out literally: slow, short, with the weights of the real ones."""

from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor

from autosam_models.teacher.attention import WindowAttention
from autosam_models.teacher.autosam import AutoSAM
from autosam_models.teacher.encoder import ImageEncoder
from autosam_models.teacher.fusion import Fusion
from autosam_models.teacher.mask_decoder import MaskDecoder
from autosam_models.teacher.patch_embedding import PatchEmbedding


def embed(embedding: PatchEmbedding, image_BCDHW: Tensor, upsample: int) -> Tensor:
    """``tokens_BDHWC``: upsample the whole image, convolve its slices, then along depth."""
    if upsample > 1:
        image_BCDHW = F.interpolate(image_BCDHW, scale_factor=upsample, mode="trilinear", align_corners=False)
    return embedding.depth_conv(embedding.slice_conv(image_BCDHW)).permute(0, 2, 3, 4, 1)


def groups(grid: tuple[int, int, int], window: int, shifted: bool) -> list[list[tuple[int, int, int]]]:
    """The tokens that attend to one another, group by group, by their coordinates.

    Along an axis longer than the window, cuts are at 0, w, 2w, ... or, shifted, at 0, w/2, w/2 + w, ...; a shifted
    grid's first half window shares its window with the last tokens, but not its region, so it is a group of its own.
    """
    axes = []
    for n in grid:
        first = window // 2 if shifted and n > window else window
        cuts = [0, *range(first, n, window), n]
        axes.append([range(start, stop) for start, stop in pairwise(cuts)])
    return [list(product(*ranges)) for ranges in product(*axes)]


def attend(attention: WindowAttention, x_BDHWC: Tensor) -> Tensor:
    """Attention group by group, with every relative position looked up and a plain softmax."""
    out = torch.zeros_like(x_BDHWC)
    grid = (x_BDHWC.shape[1], x_BDHWC.shape[2], x_BDHWC.shape[3])
    for group in groups(grid, attention.window, attention.shifted):
        d, h, w = torch.tensor(group).T
        out[:, d, h, w] = attention.proj(_attend_group(attention, x_BDHWC[:, d, h, w], torch.tensor(group)))
    return out


def _attend_group(attention: WindowAttention, x_BNC: Tensor, coordinates_N3: Tensor) -> Tensor:
    q_BNC, k_BNC, v_BNC = attention.qkv(x_BNC).chunk(3, dim=-1)
    distance_NN3 = coordinates_N3[:, None] - coordinates_N3[None, :] + attention.window - 1
    tables = (attention.rel_pos_d, attention.rel_pos_h, attention.rel_pos_w)
    heads = []
    for q, k, v in zip(*(t.chunk(attention.heads, dim=-1) for t in (q_BNC, k_BNC, v_BNC)), strict=True):
        logits_BNN = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        for axis, table in enumerate(tables):
            logits_BNN = logits_BNN + torch.einsum("bqc,qkc->bqk", q, table[distance_NN3[..., axis]])
        heads.append(logits_BNN.softmax(dim=-1) @ v)
    return torch.cat(heads, dim=-1)


def fuse(fusion: Fusion, maps_BCDHW: Tensor, image_BCDHW: Tensor) -> Tensor:
    """Upsample the maps, put the image beside them, convolve."""
    upsampled = F.interpolate(maps_BCDHW, scale_factor=fusion.factor, mode="trilinear", align_corners=False)
    return fusion.conv(torch.cat([upsampled, image_BCDHW], dim=1))


def forward(model: AutoSAM, image_BCDHW: Tensor) -> Tensor:
    """The whole model: ``logits_BKDHW`` as ``AutoSAM.forward`` gives them, nothing folded, fused or skipped."""
    depth, height, width = image_BCDHW.shape[2:]
    missing = [-n % model.token_edge for n in (width, height, depth)]
    image_BCDHW = F.pad(image_BCDHW, [side for gap in missing for side in (0, gap)], mode="replicate")
    maps = encode(model.encoder, image_BCDHW)
    if model.prompt_generator is not None:
        maps[-1] = model.prompt_generator(maps[-1])
    return decode(model.decoder, maps, image_BCDHW)[:, :, :depth, :height, :width]


def encode(encoder: ImageEncoder, image_BCDHW: Tensor) -> list[Tensor]:
    """The maps after each quarter of the blocks; the last ones, where there are fewer necks than quarters."""
    embedding = encoder.patch_embedding
    upsample = embedding.slice_conv.kernel_size[1] // embedding.stride
    tokens_BDHWC = encoder.positions(embed(embedding, image_BCDHW, upsample))
    quarters = []
    for number, block in enumerate(encoder.blocks, start=1):
        tokens_BDHWC = block.adapter(tokens_BDHWC)
        tokens_BDHWC = tokens_BDHWC + attend(block.attn, block.norm1(tokens_BDHWC))
        tokens_BDHWC = tokens_BDHWC + block.mlp(block.norm2(tokens_BDHWC))
        if number % (len(encoder.blocks) // 4) == 0:
            quarters.append(tokens_BDHWC.permute(0, 4, 1, 2, 3))
    return [neck(x) for neck, x in zip(encoder.necks, quarters[-len(encoder.necks) :], strict=True)]


def decode(decoder: MaskDecoder, maps: list[Tensor], image_BCDHW: Tensor) -> Tensor:
    """Heads, upsampling, the image beside them, two convolutions; upsampled to the image where it is larger."""
    heads_BCDHW = torch.cat([head(x) for head, x in zip(decoder.heads, maps, strict=True)], dim=1)
    size = [decoder.fuse.factor * n for n in heads_BCDHW.shape[2:]]
    fused = fuse(decoder.fuse, heads_BCDHW, F.interpolate(image_BCDHW, size, mode="area"))
    logits = decoder.classify(F.relu(F.instance_norm(fused, weight=decoder.norm.weight, bias=decoder.norm.bias)))
    return F.interpolate(logits, image_BCDHW.shape[2:], mode="trilinear", align_corners=False)
