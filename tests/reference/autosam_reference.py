"""The AutoSAM Adapter and its parts written out literally: slow, short, with the weights of the real ones.

``forward`` is the model as it is published: the image upsampled, its slices embedded by SAM's 2D convolution, attention
with SAM's decomposed position bias and SwinUNETR's mask as tokens-by-tokens tensors. It is what the benchmarks compare
with. ``attend_by_groups`` is slower still, and checks its attention without windows, rolls and masks.
"""

from itertools import pairwise, product

import torch
import torch.nn.functional as F
from monai.networks.nets.swin_unetr import window_partition, window_reverse
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


def attend(attention: WindowAttention, x_BDHWC: Tensor, shifted: bool) -> Tensor:
    """Pad, roll, cut into windows, add position bias and mask to the logits, softmax, and all the way back."""
    batch, *grid, dim = x_BDHWC.shape
    size = [min(attention.window, n) for n in grid]
    shift = [attention.window // 2 if shifted and n > attention.window else 0 for n in grid]
    padding = [side for n, w in zip(grid[::-1], size[::-1], strict=True) for side in (0, -n % w)]
    # A number per token, equal where both ends of each axis are on the same side of the roll; padding gets 0.
    d, h, w = (torch.arange(n) < s for n, s in zip(grid, shift, strict=True))
    regions_1DHW1 = (1 + d[:, None, None] + 2 * h[:, None] + 4 * w)[None, ..., None].to(x_BDHWC.device)
    x_BDHWC, regions_1DHW1 = (F.pad(t, (0, 0, *padding)) for t in (x_BDHWC, regions_1DHW1))
    padded = x_BDHWC.shape[1:4]
    x_WNC, regions_WN1 = (
        window_partition(t.roll([-s for s in shift], (1, 2, 3)), size) for t in (x_BDHWC, regions_1DHW1)
    )
    foreign_WNN = regions_WN1 != regions_WN1.transpose(1, 2)
    mask_WNN = torch.zeros(foreign_WNN.shape, device=x_WNC.device).masked_fill(foreign_WNN, float("-inf"))

    q_WMNC, k_WMNC, v_WMNC = attention.qkv(x_WNC).unflatten(2, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
    logits_WMNN = (q_WMNC * q_WMNC.shape[-1] ** -0.5) @ k_WMNC.transpose(2, 3)
    logits_WMNN = logits_WMNN + position_bias(attention, q_WMNC, size)
    logits_WMNN = logits_WMNN + mask_WNN.repeat(batch, 1, 1)[:, None]
    x_WNC = attention.proj((logits_WMNN.softmax(dim=-1).to(v_WMNC.dtype) @ v_WMNC).transpose(1, 2).flatten(2))
    x_BDHWC = window_reverse(x_WNC.reshape(-1, *size, dim), size, (batch, *padded)).roll(shift, (1, 2, 3))
    return x_BDHWC[:, : grid[0], : grid[1], : grid[2]]


def position_bias(attention: WindowAttention, q_WMNC: Tensor, size: list[int]) -> Tensor:
    """SAM's ``add_decomposed_rel_pos`` with a third axis: ``(W, heads, N, N)``."""
    rows = []
    for table, n in zip((attention.rel_pos_d, attention.rel_pos_h, attention.rel_pos_w), size, strict=True):
        place = torch.arange(n)
        rows.append(table[place[:, None] - place + attention.window - 1])
    q = q_WMNC.unflatten(2, size)
    d = torch.einsum("wmdhvc,dkc->wmdhvk", q, rows[0])[..., :, None, None]
    h = torch.einsum("wmdhvc,hkc->wmdhvk", q, rows[1])[..., None, :, None]
    w = torch.einsum("wmdhvc,vkc->wmdhvk", q, rows[2])[..., None, None, :]
    return (d + h + w).flatten(5).flatten(2, 4)


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


def attend_by_groups(attention: WindowAttention, x_BDHWC: Tensor, shifted: bool) -> Tensor:
    """Attention group by group, with every relative position looked up and a plain softmax."""
    out = torch.zeros_like(x_BDHWC)
    grid = (x_BDHWC.shape[1], x_BDHWC.shape[2], x_BDHWC.shape[3])
    for group in groups(grid, attention.window, shifted):
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
        tokens_BDHWC = tokens_BDHWC + attend(block.attn, block.norm1(tokens_BDHWC), block.shifted)
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
