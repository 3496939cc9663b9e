"""MONAI's Swin stages with our attention: the same parameters, names and function.

Importing this imports MONAI, which takes seconds.
"""

from monai.networks.nets.swin_unetr import BasicLayer, SwinTransformerBlock, WindowAttention
from torch import Tensor, nn

from autosam_models.swin_attention import windows_attention
from autosam_models.windows import Windows


class SwinAttention(WindowAttention):
    """MONAI's ``WindowAttention``, told of the windows in place of a mask."""

    def forward(self, x_WNC: Tensor, windows: Windows) -> Tensor:
        """Attend within each window; the shape stays."""
        count, tokens, dim = x_WNC.shape
        qkv = self.qkv(x_WNC).reshape(count, tokens, 3, self.num_heads, dim // self.num_heads)
        q_WMNC, k_WMNC, v_WMNC = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        # As in MONAI, a grid smaller than the window uses the table of the window's first tokens.
        index_NN = self.get_buffer("relative_position_index")[:tokens, :tokens]
        bias_NNM = self.relative_position_bias_table.index_select(0, index_NN.flatten()).view(tokens, tokens, -1)
        out_WMNC = windows_attention(
            q_WMNC * self.scale, k_WMNC, v_WMNC, bias_NNM.permute(2, 0, 1).contiguous(), windows
        )
        return self.proj(out_WMNC.transpose(1, 2).reshape(count, tokens, dim))


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


def with_our_attention(network: nn.Module) -> nn.Module:
    """Let our classes do the work of MONAI's in a built network; its parameters and their names stay."""
    for module in network.modules():
        if type(module) in OURS:
            module.__class__ = OURS[type(module)]
    return network
