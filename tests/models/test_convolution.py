"""Convolution and instance norm: torch's own functions, and right where torch is not."""

import pytest
import torch
from torch import Tensor, nn

from autosam_models import convolution
from autosam_models.convolution import Conv3d, InstanceNorm, with_our_layers


def kernel_gradient(conv: nn.Module, x_BCDHW: Tensor, *, bf16: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        out = conv(x_BCDHW)
    return torch.autograd.grad(out.float().square().sum(), conv.weight)[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("stride", "grid"), [(1, (1, 4, 4)), (1, (2, 4, 4)), (1, (3, 4, 4)), (1, (2, 1, 1)), (2, (1, 1, 1)), (2, (4, 1, 2))]
)
def test_kernels_gradient_under_autocast_is_right_on_small_grids(seed, stride, grid):
    torch.manual_seed(seed)
    conv = with_our_layers(nn.Conv3d(24, 24, 3, stride=stride, padding=1, bias=False))
    x_BCDHW = torch.randn(1, 24, *grid)
    expected = kernel_gradient(conv, x_BCDHW, bf16=False)
    for _ in range(5):  # what was wrong came from memory that others had used
        torch.full_like(conv.weight, 1e30)
        found = kernel_gradient(conv, x_BCDHW, bf16=True)
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.02 * expected.abs().max().item())


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("grid", [(2, 1, 1), (2, 2, 2), (3, 2, 1)])
def test_transposed_kernels_need_no_such_care(seed, grid):
    torch.manual_seed(seed)
    conv = nn.ConvTranspose3d(24, 24, 2, stride=2, bias=False)
    x_BCDHW = torch.randn(1, 24, *grid)
    expected = kernel_gradient(conv, x_BCDHW, bf16=False)
    for _ in range(5):
        torch.full_like(conv.weight, 1e30)
        found = kernel_gradient(conv, x_BCDHW, bf16=True)
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.02 * expected.abs().max().item())


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"groups": 4},
        {"dilation": 2, "padding": 2},
        {"stride": 2, "padding": 1},
        {"padding": 1, "padding_mode": "replicate"},
        {"padding": "same"},
        {"bias": False},
    ],
)
def test_a_convolution_made_safe_is_the_same_function(options, trained):
    torch.manual_seed(0)
    theirs = nn.Conv3d(4, 8, 3, **options)
    ours = nn.Conv3d(4, 8, 3, **options)
    ours.load_state_dict(theirs.state_dict())
    with_our_layers(ours)
    x_BCDHW = torch.randn(2, 4, 5, 6, 7)
    with torch.set_grad_enabled(trained):
        torch.testing.assert_close(ours(x_BCDHW), theirs(x_BCDHW))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(
    ("channels", "kernel", "options", "size"),
    [
        ((3, 5), 3, {"padding": 1}, (1, 3, 6, 7, 8)),
        ((3, 5), 3, {"padding": 1}, (1, 3, 7, 6, 5)),  # halves of unequal depth
        ((3, 5), 3, {}, (1, 3, 5, 6, 7)),
        ((3, 5), 3, {"padding": 1, "stride": 2}, (1, 3, 8, 7, 6)),
        ((3, 5), 3, {"padding": 1, "stride": 2, "bias": False}, (1, 3, 11, 7, 6)),
        ((3, 5), 2, {"stride": 3}, (1, 3, 10, 9, 8)),  # slices at the end that no voxel of the result sees
        ((3, 5), 2, {"stride": (3, 1, 2)}, (1, 3, 12, 6, 6)),
        ((3, 5), (1, 3, 3), {"padding": (0, 1, 1)}, (1, 3, 4, 6, 7)),
        ((3, 5), 1, {}, (1, 3, 4, 6, 7)),
        ((3, 5), 1, {"padding": 1}, (1, 3, 4, 6, 7)),  # more padding than the kernel turned round can give back
        ((3, 5), 3, {"padding": 1}, (1, 3, 1, 6, 7)),  # nothing to halve
        ((3, 5), 3, {"padding": 1}, (2, 3, 6, 7, 8)),
        ((48, 32), 3, {"padding": 1}, (1, 48, 3, 3, 3)),  # a kernel larger than its map
        ((24, 4), 3, {"padding": 1}, (1, 24, 30, 30, 8)),  # torch takes oneDNN by itself
    ],
)
def test_a_convolutions_gradients_are_those_of_torch_in_double_precision(channels, kernel, options, size, layout):
    torch.manual_seed(0)
    theirs = nn.Conv3d(*channels, kernel, **options).double()
    ours = with_our_layers(nn.Conv3d(*channels, kernel, **options))
    ours.load_state_dict(theirs.state_dict())
    x_BCDHW = torch.randn(size).contiguous(memory_format=layout).requires_grad_()
    exact_BCDHW = x_BCDHW.detach().double().requires_grad_()
    out_BCDHW, expected_BCDHW = ours(x_BCDHW), theirs(exact_BCDHW)
    assert ("OneDnn" in out_BCDHW.grad_fn.name()) is (channels != (48, 32)), "torch has the kernel larger than its map"
    torch.testing.assert_close(out_BCDHW.double(), expected_BCDHW, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(expected_BCDHW)
    found = torch.autograd.grad((out_BCDHW * weights.float()).sum(), [x_BCDHW, *ours.parameters()])
    expected = torch.autograd.grad((expected_BCDHW * weights).sum(), [exact_BCDHW, *theirs.parameters()])
    for gradient, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient.double(), exact, rtol=1e-5, atol=1e-5 * exact.abs().max().item())


def test_an_image_that_learns_nothing_costs_no_gradient(monkeypatch):
    monkeypatch.setattr(convolution, "_image_gradient", None)  # calling it would be an error
    conv = with_our_layers(nn.Conv3d(2, 3, 3, padding=1))
    conv.bias.requires_grad_(False)
    image_BCDHW = torch.randn(1, 2, 4, 4, 4)
    conv(image_BCDHW).sum().backward()
    assert conv.bias.grad is None
    voxels_that_see_it = 4 * 4 * 4 - 4 * 4  # along one axis the first or last slice of the kernel misses one slice
    ones = torch.ones(1, 2, 4, 4, 4)
    conv.weight.grad = None
    conv(ones).sum().backward()
    torch.testing.assert_close(conv.weight.grad[:, :, 0, 1, 1], torch.full((3, 2), float(voxels_that_see_it)))


@pytest.mark.parametrize("output_size", [None, [9, 9, 9]])
def test_a_transposed_convolution_is_torchs_with_channels_last(output_size):
    torch.manual_seed(0)
    theirs, ours = nn.ConvTranspose3d(3, 2, 2, stride=2), nn.ConvTranspose3d(3, 2, 2, stride=2)
    ours.load_state_dict(theirs.state_dict())
    x_BCDHW = torch.randn(2, 3, 4, 4, 4)
    out_BCDHW = with_our_layers(ours)(x_BCDHW, output_size)
    torch.testing.assert_close(out_BCDHW, theirs(x_BCDHW, output_size))
    assert out_BCDHW.is_contiguous(memory_format=torch.channels_last_3d)


def test_only_torchs_own_layers_become_ours_and_names_stay():
    class Special(nn.Conv3d):
        pass

    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.Sequential(Special(2, 2, 1), nn.InstanceNorm3d(2, affine=True)))
    names = list(network.state_dict())
    with_our_layers(network)
    assert [type(each) for each in (network[0], *network[1])] == [Conv3d, Special, InstanceNorm]
    assert list(network.state_dict()) == names


def test_instance_norm_without_scale_and_with_running_statistics():
    x_BCDHW = torch.randn(2, 4, 3, 4, 5)
    torch.testing.assert_close(with_our_layers(nn.InstanceNorm3d(4))(x_BCDHW), nn.InstanceNorm3d(4)(x_BCDHW))
    with pytest.raises(ValueError, match="running statistics"):
        with_our_layers(nn.InstanceNorm3d(4, track_running_stats=True))


@pytest.mark.parametrize("batch", [1, 2])
def test_instance_norm_is_torchs_and_keeps_channels_last(batch):
    torch.manual_seed(0)
    x = torch.randn(batch, 4, 3, 4, 5).to(memory_format=torch.channels_last_3d)
    norm = InstanceNorm(4, affine=True)
    torch.nn.init.normal_(norm.weight)
    expected = torch.nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias)
    torch.testing.assert_close(norm(x), expected)
    assert norm(x).is_contiguous(memory_format=torch.channels_last_3d)
