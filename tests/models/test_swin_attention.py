"""Our SwinUNETR is MONAI's: attention, logits and gradients; the slow side is MONAI's own code."""

import copy

import pytest
import torch
from monai.networks.nets.swin_unetr import SwinUNETR, compute_mask
from torch import Tensor, nn

from autosam_models import build_model, swin_attention
from autosam_models.convolution import with_our_layers
from autosam_models.swin_attention import Kind, kinds_of_windows, sides_of_tokens, windows_attention
from autosam_models.swin_blocks import FusableAttention, with_our_attention
from autosam_models.windows import Windows


def test_kinds_of_windows_by_hand():
    # Five tokens in windows of four, padded to eight and rolled by two: 2 3 4 - | - - 0 1.
    shifted = kinds_of_windows(Windows.cut((5, 1, 1), 4, shifted=True))
    assert shifted == (Kind((0,), (0, 1, 2), (0, 0, 0, 0)), Kind((1,), (2, 3), (0, 0, 4, 4)))
    # Not rolled: 0 1 2 3 | 4 - - -, and the same in both rows.
    plain = kinds_of_windows(Windows.cut((5, 1, 2), 4, shifted=False))
    assert plain == (Kind((0,), tuple(range(8)), (0,) * 8), Kind((1,), (0, 1), (0,) * 8))


def test_a_thousand_windows_are_of_few_kinds():
    # Along an axis of 64 tokens, rolled by three: eight full windows, one that ends at 65, and 66 to 69 with 0 to 2.
    kinds = kinds_of_windows(Windows.cut((64, 64, 64), 7, shifted=True))
    assert len(kinds) == 27
    assert sorted(number for kind in kinds for number in kind.numbers) == list(range(1000))


def written_out(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, windows: Windows) -> Tensor:
    logits_WMNN = q @ k.transpose(2, 3) + bias
    if any(windows.shift):
        mask_WNN = compute_mask(windows.padded, windows.size, windows.shift, q.device)
        logits_WMNN = logits_WMNN + mask_WNN.repeat(len(q) // len(mask_WNN), 1, 1)[:, None]
    return logits_WMNN.softmax(-1) @ v


@pytest.mark.parametrize("part", [1, 2**20])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid", [(4, 4, 4), (8, 4, 4), (5, 6, 7), (9, 3, 1), (2, 2, 2)])
def test_attention_of_real_tokens_is_the_one_written_out(grid, shifted, part, monkeypatch):
    monkeypatch.setattr(swin_attention, "PART", part)
    torch.manual_seed(0)
    windows = Windows.cut(grid, 4, shifted)
    count, heads = 2 * windows.count[0] * windows.count[1] * windows.count[2], 3
    q, k, v = (torch.randn(count, heads, windows.tokens, 2, requires_grad=True) for _ in range(3))
    bias = torch.randn(heads, windows.tokens, windows.tokens, requires_grad=True)
    weights_BDHWC = torch.randn(2, *grid, heads * 2)

    def result(attention):
        out_WMNC = attention(q, k, v, bias, windows)
        out_BDHWC = windows.merge(out_WMNC.transpose(1, 2).flatten(2))
        return out_BDHWC, *torch.autograd.grad((out_BDHWC * weights_BDHWC).sum(), (q, k, v, bias))

    torch.testing.assert_close(result(windows_attention), result(written_out), atol=1e-5, rtol=1e-5)


def networks(patch: tuple[int, int, int]) -> tuple[nn.Module, nn.Module]:
    """Ours and MONAI's, with the same weights, none of which is zero."""
    torch.manual_seed(0)
    theirs = SwinUNETR(1, 3, feature_size=12)
    for name, parameter in theirs.named_parameters():
        if name.endswith(("bias", "bias_table")):
            nn.init.normal_(parameter, std=0.3)
    ours = build_model("swin_unetr_tiny", in_channels=1, num_classes=3, patch=patch)
    ours.network.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize(("bf16", "tolerance"), [(False, 1e-3), (True, 0.05)])
@pytest.mark.parametrize("shape", [(2, 1, 64, 32, 32), (1, 1, 32, 64, 64)])
def test_the_network_is_monais(shape, bf16, tolerance):
    ours, theirs = networks(shape[2:])
    if bf16:  # else torch's convolutions now and then read memory that nobody has written
        theirs = with_our_layers(theirs)
    image_BCDHW = torch.randn(shape)
    label_BDHW = (image_BCDHW[:, 0] > 0).long()

    def result(network):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits_BKDHW = network(image_BCDHW)
        loss = nn.functional.cross_entropy(logits_BKDHW.float(), label_BDHW)
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        return logits_BKDHW.detach().float(), torch.cat([each.flatten() for each in gradients])

    for found, expected in zip(result(ours), result(theirs), strict=True):
        assert (found - expected).norm() < tolerance * expected.norm()


def test_without_gradients_it_answers_the_same():
    ours, theirs = networks((64, 32, 32))
    image_BCDHW = torch.randn(1, 1, 64, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(image_BCDHW), theirs(image_BCDHW), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(64, 32, 32), (96, 64, 64)])
def test_the_form_for_other_runtimes_is_the_same_network(size):
    """Grids of 48, 24, 12 and 6 tokens, or 32 to 2, in windows of 7: cut, padded, and smaller than a window."""
    _, theirs = networks((64, 32, 32))
    theirs.eval()
    fusable = with_our_attention(copy.deepcopy(theirs), fusable=True)
    assert sum(isinstance(module, FusableAttention) for module in fusable.modules()) == 8
    image_BCDHW = torch.randn(1, 1, *size)
    with torch.no_grad():
        torch.testing.assert_close(fusable(image_BCDHW), theirs(image_BCDHW), atol=1e-4, rtol=1e-4)


def test_sides_of_tokens_by_hand():
    # Five tokens in windows of four, padded to eight and rolled by two: 2 3 4 - | - - 0 1; the first axis counts four.
    assert sides_of_tokens(Windows.cut((5, 1, 1), 4, shifted=True)).tolist() == [[0, 0, 0, 0], [0, 0, 4, 4]]
