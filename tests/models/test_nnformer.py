"""nnFormer's pieces against plain formulations, token by token; its size and shape against what its authors state."""

from itertools import pairwise, product
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from autosam_models import build_model
from autosam_models.baselines.nnformer import NNFormer
from autosam_models.baselines.nnformer_blocks import (
    Block,
    SkipAttention,
    SkipBlock,
    WindowAttention,
    cut,
    position_index,
)
from autosam_models.sizes import Size
from autosam_models.windows import Windows

DIM, HEADS = 6, 2
_M = TypeVar("_M", bound=nn.Module)


@pytest.mark.parametrize(("edge", "used"), [(1, 1), (2, 19), (4, 115), (8, 547)])
def test_offsets_share_rows_of_the_position_table_as_published(edge: int, used: int) -> None:
    """115 of 343 rows at edge 4 and 547 of 3375 at edge 8: the factor of depth is 3w - 1."""
    index_NN = position_index(edge)
    places = list(product(range(edge), repeat=3))
    for row in {0, len(places) // 3, len(places) - 1}:
        expected = [_row(places[row], key, edge) for key in places]
        assert index_NN[row].tolist() == expected
    assert len(index_NN.unique()) == used <= (2 * edge - 1) ** 3


def _row(query: Size, key: Size, edge: int) -> int:
    depth, height, width = (q - k + edge - 1 for q, k in zip(query, key, strict=True))
    return depth * (3 * edge - 1) + height * (2 * edge - 1) + width


def test_windows_are_cubes_of_the_smallest_edge_and_not_shifted_where_the_grid_is_no_larger() -> None:
    grid = (12, 6, 6)
    assert cut(grid, 4, shifted=True) == Windows(grid, (4, 4, 4), (2, 2, 2))
    assert cut(grid, 4, shifted=False) == Windows(grid, (4, 4, 4), (0, 0, 0))
    for edge in (6, 8):
        assert cut(grid, edge, shifted=True) == Windows(grid, (6, 6, 6), (0, 0, 0))


CUTS = [
    cut((3, 4, 5), 2, shifted=True),  # padded to 4, 4, 6 and rolled by 1
    cut((3, 4, 5), 2, shifted=False),
    cut((2, 4, 3), 4, shifted=True),  # windows of 2
]


@pytest.mark.parametrize("windows", CUTS, ids=str)
def test_attention_is_the_one_written_out_pair_by_pair(windows: Windows) -> None:
    attention = _scattered(WindowAttention(DIM, HEADS, windows))
    x_DHWC = _tokens(windows.grid, seed=1)

    def written_out(x_DHWC: Tensor) -> Tensor:
        q_DHWC, k_DHWC, v_DHWC = attention.qkv(_padded(x_DHWC, windows)).chunk(3, dim=-1)
        return attention.proj(_pair_by_pair(q_DHWC, k_DHWC, v_DHWC, attention.positions.table, windows))

    _assert_same(attention, lambda x_DHWC: attention(x_DHWC[None])[0], written_out, x_DHWC)


@pytest.mark.parametrize("windows", CUTS, ids=str)
def test_skip_attention_asks_without_a_projection_and_is_the_one_written_out(windows: Windows) -> None:
    attention = _scattered(SkipAttention(DIM, HEADS, windows))

    def written_out(up_DHWC: Tensor, skip_DHWC: Tensor) -> Tensor:
        k_DHWC, v_DHWC = attention.kv(_padded(skip_DHWC, windows)).chunk(2, dim=-1)
        table = attention.positions.table
        return attention.proj(_pair_by_pair(_padded(up_DHWC, windows), k_DHWC, v_DHWC, table, windows))

    up_DHWC, skip_DHWC = (_tokens(windows.grid, seed) for seed in (1, 2))
    _assert_same(
        attention,
        lambda up_DHWC, skip_DHWC: attention(up_DHWC[None], skip_DHWC[None])[0],
        written_out,
        up_DHWC,
        skip_DHWC,
    )


def _pair_by_pair(q_DHWC: Tensor, k_DHWC: Tensor, v_DHWC: Tensor, table: Tensor, windows: Windows) -> Tensor:
    """Softmax over the keys of a query's window, of tokens on a padded grid that is rolled to cut it."""
    padded, shift, edge, width = windows.padded, windows.shift, windows.size[0], DIM // HEADS

    def rolled(place: Size) -> Size:
        return tuple((at - by) % n for at, by, n in zip(place, shift, padded, strict=True))  # type: ignore[return-value]

    def window(place: Size) -> list[int]:
        return [at // edge for at in rolled(place)]

    def side(place: Size) -> list[bool]:
        return [by > 0 and at >= n - by for at, by, n in zip(rolled(place), shift, padded, strict=True)]

    def inside(place: Size) -> Size:
        return tuple(at % edge for at in rolled(place))  # type: ignore[return-value]

    places = list(product(*(range(n) for n in padded)))
    rows = []
    for query in product(*(range(n) for n in windows.grid)):
        keys = [key for key in places if window(key) == window(query)]
        assert len(keys) == edge**3
        by_head = []
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            logits = [
                q_DHWC[query][part] @ k_DHWC[key][part] / width**0.5
                + table[_row(inside(query), inside(key), edge), head]
                - 100 * (side(key) != side(query))
                for key in keys
            ]
            by_head.append(torch.stack(logits).softmax(0) @ torch.stack([v_DHWC[key][part] for key in keys]))
        rows.append(torch.cat(by_head))
    return torch.stack(rows).view(*windows.grid, DIM)


def _padded(x_DHWC: Tensor, windows: Windows) -> Tensor:
    depth, height, width = (more - n for more, n in zip(windows.padded, windows.grid, strict=True))
    return nn.functional.pad(x_DHWC, (0, 0, 0, width, 0, height, 0, depth))


def _tokens(grid: Size, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*grid, DIM, generator=generator, dtype=torch.float64).requires_grad_()


def _scattered(module: _M) -> _M:
    """In float64, with weights of which none is small."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double()


def _assert_same(module: nn.Module, found, expected, *inputs: Tensor) -> None:
    """Values, and gradients by inputs and weights."""
    weight = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def result(function) -> tuple[Tensor, ...]:
        out = function(*inputs)
        return out, *torch.autograd.grad((out * weight).sum(), [*inputs, *module.parameters()])

    torch.testing.assert_close(result(found), result(expected), atol=1e-10, rtol=1e-8)


def test_a_skip_block_normalises_both_alike_and_adds_to_their_sum() -> None:
    windows = cut((2, 2, 4), 2, shifted=False)
    block = _scattered(SkipBlock(DIM, HEADS, windows, drop_path=0.0))
    up, skip = (_tokens(windows.grid, seed)[None] for seed in (1, 2))
    x = up + skip + block.attention(block.norm1(up), block.norm1(skip))
    first, _, second = block.perceptron
    expected = x + second(nn.functional.gelu(first(block.norm2(x))))
    torch.testing.assert_close(block(up, skip), expected)


@pytest.mark.parametrize(
    ("classes", "deep", "count"), [(14, True, 150_054_210), (16, True, 150_140_232), (14, False, 149_538_086)]
)
@pytest.mark.parametrize("patch", [(64, 128, 128), (128, 128, 128)])
def test_parameters_are_those_of_the_published_code(patch: Size, classes: int, deep: bool, count: int) -> None:
    """150.14 M is the paper's figure."""
    with torch.device("meta"):
        model = build_model("nnformer", in_channels=1, num_classes=classes, patch=patch, deep_supervision=deep)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def _network(size: Size, drop_path: float = 0.2) -> NNFormer:
    torch.manual_seed(0)
    return NNFormer(1, 3, size, width=12, heads=1, drop_path=drop_path, deep_supervision=True)


def test_stochastic_depth_rises_through_the_encoder_and_again_from_the_coarsest_level() -> None:
    network = _network((16, 32, 32))
    rates = [block.drop_path.drop_prob for stage in network.stages for block in stage.blocks]
    up = [block.drop_path.drop_prob for level in reversed(network.levels) for block in (level.skip_block, level.block)]
    assert rates == pytest.approx([0.2 * number / 7 for number in range(8)])
    assert up == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2])


def test_windows_of_a_patch_of_96_are_those_of_its_grids() -> None:
    """Tokens: 48, 24, 24 and their halves; the third stage has windows of 6 and the last of 3, both unshifted."""
    with torch.device("meta"):
        network = _network((96, 96, 96))
    blocks = [[block for block in stage.blocks if isinstance(block, Block)] for stage in network.stages]
    windows = [
        [(block.attention.windows.size[0], block.attention.windows.shift[0]) for block in each] for each in blocks
    ]
    assert windows == [[(4, 0), (4, 2)], [(4, 0), (4, 2)], [(6, 0), (6, 0)], [(3, 0), (3, 0)]]
    levels = [(level.skip_block.attention.windows, level.block.attention.windows) for level in network.levels]
    assert [(skip.size[0], skip.shift[0], own.size[0], own.shift[0]) for skip, own in levels] == [
        (4, 0, 4, 2),
        (4, 0, 4, 2),
        (6, 0, 6, 0),
    ]


def test_skips_are_normalised_and_what_goes_down_is_not() -> None:
    network = _network((16, 32, 32), drop_path=0.0).eval()
    image_BCDHW = torch.randn(1, 1, 16, 32, 32)
    with torch.no_grad():
        down, skips = network.embedding(image_BCDHW), []
        for number, stage in enumerate(network.stages):
            down = stage(down)
            skips.append(network.norms[number](down))
            down = network.mergings[number](down) if number < 3 else skips.pop()
        finest = down
        for level in (network.levels[2], network.levels[1], network.levels[0]):
            finest = level(finest, skips.pop())
        torch.testing.assert_close(network(image_BCDHW), network.heads[0](finest))
    channels = [norm.weight.numel() for norm in network.norms]
    assert channels == [12, 24, 48, 96] and all(2 * fine == coarse for fine, coarse in pairwise(channels))


def test_sizes_that_cannot_be_are_refused_with_the_options_to_change() -> None:
    def build(**options: float) -> None:
        build_model("nnformer", in_channels=1, num_classes=3, patch=(16, 32, 32), **options)

    with pytest.raises(ValueError, match="width=50 cannot be split into heads=3"):
        build(width=50, heads=3)
    with pytest.raises(ValueError, match=r"drop_path=1\.0 is no rate"):
        build(width=12, heads=1, drop_path=1.0)
