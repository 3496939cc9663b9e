"""SAM's attention on windows of a 3D token grid (Sec. 3.2), with its relative positions extended to depth."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autosam_models.windows import Size

SMALL_WINDOW = 128
"""Tokens of a window up to which attention on a CPU is written out in training too."""


def one_hot_coordinates(size: Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``(tokens, d + h + w)``: for each token of a window the one-hot codes of its three coordinates, side by side."""
    d, h, w = (torch.eye(n, dtype=dtype, device=device) for n in size)
    codes = (d[:, None, None], h[None, :, None], w[None, None, :])
    return torch.cat([code.expand(*size, -1) for code in codes], dim=-1).flatten(0, 2)


def softmax_attention(q_WMNE: Tensor, k_WMNE: Tensor, v_WMNC: Tensor) -> Tensor:
    """``softmax(q k^T) v``, for values that may be narrower than queries and keys.

    A CPU is faster with the logits written out, window by window, than with the fused kernel (docs/benchmarks.md);
    but then they are all kept for the backward pass, which only small windows can afford.
    """
    tokens, width = v_WMNC.shape[2:]
    if q_WMNE.device.type == "cpu" and (tokens <= SMALL_WINDOW or not torch.is_grad_enabled()):
        logits_WMNN = q_WMNE @ k_WMNE.transpose(2, 3)
        return logits_WMNN.softmax(dim=-1) @ v_WMNC
    # The fused kernels want values as wide as keys, and multiples of 8; without the padding torch takes its slow path.
    missing = -q_WMNE.shape[-1] % 8
    q_WMNE, k_WMNE = (F.pad(columns, (0, missing)) if missing else columns for columns in (q_WMNE, k_WMNE))
    v_WMNE = F.pad(v_WMNC, (0, q_WMNE.shape[-1] - width))
    return F.scaled_dot_product_attention(q_WMNE, k_WMNE, v_WMNE, scale=1.0)[..., :width]


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with SAM's decomposed relative positions.

    The logit of query q at (d, h, w) and key k at (d', h', w') is ``q.k / sqrt(c) + q.Rd[d - d'] + q.Rh[h - h'] +
    q.Rw[w - w']`` (SAM's ``add_decomposed_rel_pos`` with a third table). The three position terms are products too:
    of the query's term for every d' with the one-hot code of the key's d', and so on. So they are appended to
    queries and keys as extra columns, and a fused kernel can do the rest: no tokens-by-tokens bias, forward or
    backward. Where regions of a window are to be kept apart, that is a product of a few columns more
    (``windows.region_codes``). Softmax is computed in fp32 also under autocast.

    Args:
        dim: width of a token.
        heads: number of heads; divides ``dim``.
        window: largest edge of a window in tokens; the position tables have ``2 * window - 1`` rows.
    """

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"embed_dim={dim} cannot be split into heads={heads}: choose a divisor of {dim}.")
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_d = nn.Parameter(torch.zeros(2 * window - 1, dim // heads))
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * window - 1, dim // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * window - 1, dim // heads))

    def forward(self, x_WNC: Tensor, size: Size, codes_WN2R: Tensor | None = None) -> Tensor:
        """Attend within each window; the shape stays.

        Args:
            x_WNC: the tokens of some windows.
            size: a window's edges (D, H, W); their product is N.
            codes_WN2R: what to append to queries and to keys to keep regions apart (``windows.region_codes``).
        """
        count, tokens, dim = x_WNC.shape
        head_dim = dim // self.heads
        qkv = self.qkv(x_WNC).reshape(count, tokens, 3, self.heads, head_dim)
        q_WMNC, k_WMNC, v_WMNC = qkv.permute(2, 0, 3, 1, 4).unbind(0)

        codes_NE = one_hot_coordinates(size, q_WMNC.dtype, q_WMNC.device)
        queries = [q_WMNC * head_dim**-0.5, self._position_terms(q_WMNC, size)]
        keys = [k_WMNC, codes_NE.expand(count, self.heads, -1, -1)]
        if codes_WN2R is not None:
            for columns, codes_WNR in zip((queries, keys), codes_WN2R.to(q_WMNC.dtype).unbind(2), strict=True):
                columns.append(codes_WNR[:, None].expand(-1, self.heads, -1, -1))
        out_WMNC = softmax_attention(torch.cat(queries, dim=-1), torch.cat(keys, dim=-1), v_WMNC)
        return self.proj(out_WMNC.transpose(1, 2).reshape(count, tokens, dim))

    def _position_terms(self, q_WMNC: Tensor, size: Size) -> Tensor:
        """``q . R[own - other]`` for every other coordinate of each axis: ``(W, heads, N, d + h + w)``."""
        q = q_WMNC.unflatten(2, size)
        terms = (
            torch.einsum("wmdhvc,dkc->wmdhvk", q, self._rows(self.rel_pos_d, size[0])),
            torch.einsum("wmdhvc,hkc->wmdhvk", q, self._rows(self.rel_pos_h, size[1])),
            torch.einsum("wmdhvc,vkc->wmdhvk", q, self._rows(self.rel_pos_w, size[2])),
        )
        return torch.cat(terms, dim=-1).flatten(2, 4)

    def _rows(self, table: Tensor, size: int) -> Tensor:
        """The table by (own, other) coordinate: ``(size, size, head_dim)``; row ``window - 1`` is distance zero."""
        own = torch.arange(size, device=table.device)
        return table[own[:, None] - own[None, :] + self.window - 1]
