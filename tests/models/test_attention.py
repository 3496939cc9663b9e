"""Windows, shift, padding and relative positions against the form that is written out."""

import pytest
import torch
from reference.autosam_reference import attend, attend_by_groups, groups

from autosam_models.teacher import attention as attention_module
from autosam_models.teacher.attention import WindowAttention
from autosam_models.windows import FOREIGN, Windows, region_codes

GRIDS = [(4, 4, 4), (8, 4, 4), (5, 6, 7), (9, 3, 1), (2, 2, 2), (8, 8, 12)]


def random_attention() -> WindowAttention:
    torch.manual_seed(0)
    attention = WindowAttention(dim=6, heads=2, window=4)
    for table in (attention.rel_pos_d, attention.rel_pos_h, attention.rel_pos_w):
        torch.nn.init.normal_(table)
    return attention


def attended(attention: WindowAttention, x_BDHWC: torch.Tensor, shifted: bool) -> torch.Tensor:
    """What a block does for attention alone."""
    windows = Windows.cut(tuple(x_BDHWC.shape[1:4]), attention.window, shifted)
    codes = region_codes(windows, x_BDHWC.device)
    x_WNC = windows.partition(x_BDHWC)
    return windows.merge(attention(x_WNC, windows.size, None if codes is None else codes.repeat(len(x_BDHWC), 1, 1, 1)))


@pytest.mark.parametrize("written_out", [True, False])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_attention_equals_reference(grid, shifted, written_out, monkeypatch):
    monkeypatch.setattr(attention_module, "SMALL_WINDOW", 10**6 if written_out else 0)
    attention = random_attention()
    x = torch.randn(2, *grid, 6)
    expected = attend_by_groups(attention, x, shifted)
    torch.testing.assert_close(attended(attention, x, shifted), expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_published_form_equals_reference(grid, shifted):
    attention = random_attention()
    x = torch.randn(2, *grid, 6)
    expected = attend_by_groups(attention, x, shifted)
    torch.testing.assert_close(attend(attention, x, shifted), expected, atol=2e-6, rtol=1e-5)


def test_without_gradients_windows_of_any_size_are_written_out():
    attention = random_attention()
    x = torch.randn(2, 9, 9, 9, 6)
    with_gradients = attended(attention, x, shifted=True)
    with torch.no_grad():
        torch.testing.assert_close(attended(attention, x, shifted=True), with_gradients, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("written_out", [True, False])
def test_gradients_equal_reference(written_out, monkeypatch):
    monkeypatch.setattr(attention_module, "SMALL_WINDOW", 10**6 if written_out else 0)
    attention = random_attention()
    x = torch.randn(1, 5, 6, 4, 6)
    parameters = list(attention.parameters())
    ours = torch.autograd.grad(attended(attention, x, shifted=True).square().sum(), parameters)
    reference = torch.autograd.grad(attend_by_groups(attention, x, shifted=True).square().sum(), parameters)
    torch.testing.assert_close(ours, reference, atol=1e-4, rtol=1e-4)


def test_reference_groups_by_hand():
    along_depth = [[d for d, _, _ in group] for group in groups((7, 1, 1), window=4, shifted=True)]
    assert along_depth == [[0, 1], [2, 3, 4, 5], [6]]
    along_depth = [[d for d, _, _ in group] for group in groups((7, 1, 1), window=4, shifted=False)]
    assert along_depth == [[0, 1, 2, 3], [4, 5, 6]]


def test_partition_by_hand():
    x = torch.arange(7.0).reshape(1, 7, 1, 1, 1)
    windows = Windows.cut((7, 1, 1), window=4, shifted=True)
    # Padded by one zero at the end, rolled by two; axes of one token keep a window of one.
    assert windows.partition(x).squeeze(-1).tolist() == [[2, 3, 4, 5], [6, 0, 0, 1]]
    assert torch.equal(windows.merge(windows.partition(x)), x)


def mask_of(windows: Windows) -> torch.Tensor:
    """What the codes add to the logits: ``(windows, tokens, tokens)``."""
    queries_WNR, keys_WNR = region_codes(windows, torch.device("cpu")).unbind(2)
    return queries_WNR @ keys_WNR.transpose(1, 2)


def test_region_codes_by_hand():
    mask = mask_of(Windows.cut((7, 1, 1), window=4, shifted=True))
    # The second window is token 6, padding, token 0, token 1. What padding sees is cut off.
    real = [0, 2, 3]
    allowed = [[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert torch.equal(mask[1][real] == 0, torch.tensor(allowed, dtype=torch.bool))
    assert (mask[1][real][torch.tensor(allowed) == 0] <= FOREIGN).all()
    assert torch.equal(mask[0], torch.zeros(4, 4))


def test_no_token_is_left_with_nothing_to_attend_to():
    for grid in GRIDS:
        windows = Windows.cut(grid, window=4, shifted=True)
        if region_codes(windows, torch.device("cpu")) is not None:
            assert (mask_of(windows) == 0).any(dim=2).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_another_regions_share_is_exactly_nothing(dtype):
    assert torch.tensor([50.0, -50.0 + FOREIGN], dtype=dtype).softmax(0).tolist() == [1.0, 0.0]


def test_no_codes_where_none_are_needed():
    assert region_codes(Windows.cut((8, 8, 8), 4, shifted=False), torch.device("cpu")) is None
    assert region_codes(Windows.cut((4, 4, 4), 4, shifted=True), torch.device("cpu")) is None


def test_coordinates_by_hand():
    codes = attention_module.one_hot_coordinates((2, 1, 3), torch.float32, torch.device("cpu"))
    # depth | height | width, of the tokens (0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 0, 0), ...
    assert codes[1].tolist() == [1, 0, 1, 0, 1, 0]
    assert codes[5].tolist() == [0, 1, 1, 0, 0, 1]


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="embed_dim=10 cannot be split into heads=3"):
        WindowAttention(dim=10, heads=3, window=4)
