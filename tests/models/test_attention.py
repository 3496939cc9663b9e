"""Windows, shift, padding and relative positions against the form that is written out."""

import pytest
import torch
from reference.autosam_reference import attend, groups

from autosam_models.teacher import attention as attention_module
from autosam_models.teacher.attention import WindowAttention
from autosam_models.teacher.windows import Windows, region_mask

GRIDS = [(4, 4, 4), (8, 4, 4), (5, 6, 7), (9, 3, 1), (2, 2, 2), (8, 8, 12)]


def random_attention(window: int, shifted: bool) -> WindowAttention:
    torch.manual_seed(0)
    attention = WindowAttention(dim=6, heads=2, window=window, shifted=shifted)
    for table in (attention.rel_pos_d, attention.rel_pos_h, attention.rel_pos_w):
        torch.nn.init.normal_(table)
    return attention


@pytest.mark.parametrize("written_out", [True, False])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_attention_equals_reference(grid, shifted, written_out, monkeypatch):
    monkeypatch.setattr(attention_module, "SMALL_WINDOW", 10**6 if written_out else 0)
    attention = random_attention(window=4, shifted=shifted)
    x = torch.randn(2, *grid, 6)
    torch.testing.assert_close(attention(x), attend(attention, x), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("written_out", [True, False])
def test_gradients_equal_reference(written_out, monkeypatch):
    monkeypatch.setattr(attention_module, "SMALL_WINDOW", 10**6 if written_out else 0)
    attention = random_attention(window=4, shifted=True)
    x = torch.randn(1, 5, 6, 4, 6)
    ours = torch.autograd.grad(attention(x).square().sum(), list(attention.parameters()))
    reference = torch.autograd.grad(attend(attention, x).square().sum(), list(attention.parameters()))
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


def test_mask_by_hand():
    mask = region_mask(Windows.cut((7, 1, 1), window=4, shifted=True), torch.float32, torch.device("cpu"))
    # The second window is token 6, padding, token 0, token 1.
    allowed = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert torch.equal(mask[1, 0] == 0, torch.tensor(allowed, dtype=torch.bool))
    assert torch.equal(mask[0, 0], torch.zeros(4, 4))


def test_no_mask_where_none_is_needed():
    assert region_mask(Windows.cut((8, 8, 8), 4, shifted=False), torch.float32, torch.device("cpu")) is None
    assert region_mask(Windows.cut((4, 4, 4), 4, shifted=True), torch.float32, torch.device("cpu")) is None


def test_mask_made_while_validating_serves_training():
    region_mask.cache_clear()
    attention_module.one_hot_coordinates.cache_clear()
    attention = random_attention(window=4, shifted=True)
    x = torch.randn(1, 6, 6, 6, 6)
    with torch.inference_mode():
        attention(x)
    attention(x).sum().backward()
    assert attention.qkv.weight.grad.isfinite().all()


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="embed_dim=10 cannot be split into heads=3"):
        WindowAttention(dim=10, heads=3, window=4, shifted=False)
