"""MONAI's Swin stages with our attention: the same parameters, names and function.

Two ways of attending: ``SwinAttention`` for training, in parts that stay in a cache, and ``FusableAttention`` of plain
operators, for runtimes that compile a whole graph.

Importing this imports MONAI, which takes seconds.
"""

import math

import torch
import torch.nn.functional as F
from monai.networks.nets.swin_unetr import BasicLayer, SwinTransformerBlock, WindowAttention
from torch import Tensor, nn

from autosam_models.swin_attention import FOREIGN, SIDES, sides_of_tokens, windows_attention
from autosam_models.windows import Windows


class SwinAttention(WindowAttention):
    """MONAI's ``WindowAttention``, told of the windows in place of a mask."""

    def forward(self, x_WNC: Tensor, windows: Windows) -> Tensor:
        """Attend within each window; the shape stays."""
        q_WMNC, k_WMNC, v_WMNC = _queries_keys_values(self, x_WNC)
        bias_MNN = _position_bias(self, x_WNC.shape[1])
        out_WMNC = windows_attention(q_WMNC, k_WMNC, v_WMNC, bias_MNN, windows)
        return self.proj(out_WMNC.transpose(1, 2).reshape(x_WNC.shape))


class FusableAttention(WindowAttention):
    """MONAI's attention in the plain form product, bias, softmax, product, which OpenVINO makes one operation of.

    MONAI adds a mask of windows × tokens × tokens in a shape of five axes. No runtime fuses that, and OpenVINO computes
    its 40 million constants whenever a model is loaded (7 s). Here the mask is eight more columns of queries and keys,
    whose product is 0 on the same side of a cut and ``FOREIGN`` else.
    """

    def forward(self, x_WNC: Tensor, windows: Windows) -> Tensor:
        """Attend within each window of one image; the shape stays."""
        q_WMNC, k_WMNC, v_WMNC = _queries_keys_values(self, x_WNC)
        if any(windows.shift):
            side_WMNS = (
                F.one_hot(sides_of_tokens(windows), SIDES).to(x_WNC.dtype)[:, None].expand(-1, len(q_WMNC[0]), -1, -1)
            )
            root = math.sqrt(-FOREIGN)
            q_WMNC = torch.cat([q_WMNC, root * (side_WMNS - 1)], dim=-1)
            k_WMNC = torch.cat([k_WMNC, root * side_WMNS], dim=-1)
        logits_WMNN = q_WMNC @ k_WMNC.transpose(-2, -1) + _position_bias(self, x_WNC.shape[1])[None]
        out_WMNC = logits_WMNN.softmax(-1) @ v_WMNC
        return self.proj(out_WMNC.transpose(1, 2).reshape(x_WNC.shape))


def _queries_keys_values(attention: WindowAttention, x_WNC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``(W, heads, N, C)`` each, queries scaled."""
    count, tokens, dim = x_WNC.shape
    qkv = attention.qkv(x_WNC).reshape(count, tokens, 3, attention.num_heads, dim // attention.num_heads)
    q_WMNC, k_WMNC, v_WMNC = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return q_WMNC * attention.scale, k_WMNC, v_WMNC


def _position_bias(attention: WindowAttention, tokens: int) -> Tensor:
    """``(heads, N, N)``; as in MONAI, a grid smaller than the window uses the table of the window's first tokens."""
    index_NN = attention.get_buffer("relative_position_index")[:tokens, :tokens]
    bias_NNM = attention.relative_position_bias_table.index_select(0, index_NN.flatten()).view(tokens, tokens, -1)
    return bias_NNM.permute(2, 0, 1).contiguous()


class SwinBlock(SwinTransformerBlock):
    """MONAI's block; only how it attends differs."""

    def forward_part1(self, x_BDHWC: Tensor, mask_matrix: None) -> Tensor:
        """Normalise and attend; the shape stays."""
        depth, height, width = x_BDHWC.shape[1:4]
        windows = Windows.cut((depth, height, width), self.window_size[0], shifted=any(self.shift_size))
        return windows.merge(self.attn(windows.partition(self.norm1(x_BDHWC)), windows))


class SwinStage(BasicLayer):
    """MONAI's stage without the mask, which our attention does not need."""

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Two blocks and the merging of patches: twice the channels, half the grid."""
        x_BDHWC = x_BCDHW.permute(0, 2, 3, 4, 1)
        for block in self.blocks:
            x_BDHWC = block(x_BDHWC, None)
        assert self.downsample is not None
        return self.downsample(x_BDHWC).permute(0, 4, 1, 2, 3)


OURS: dict[type[nn.Module], type[nn.Module]] = {
    WindowAttention: SwinAttention,
    SwinTransformerBlock: SwinBlock,
    BasicLayer: SwinStage,
}


def with_our_attention(network: nn.Module, *, fusable: bool = False) -> nn.Module:
    """Let our classes do the work of MONAI's in a built network; its parameters and their names stay.

    Args:
        fusable: the form to convert for other runtimes, of one image at a time; else the form to train.
    """
    for module in network.modules():
        if fusable and type(module) is WindowAttention:
            module.__class__ = FusableAttention
        elif type(module) in OURS:
            module.__class__ = OURS[type(module)]
    return network
