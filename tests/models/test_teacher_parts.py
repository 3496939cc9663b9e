"""Positions, adapter, fusion and prompt generator, each by itself."""

import pytest
import torch
from reference.autosam_reference import fuse

from autosam_models.teacher.adapter import SpatialAdapter
from autosam_models.teacher.fusion import Fusion, phase_matrix
from autosam_models.teacher.positions import PositionTables
from autosam_models.teacher.prompt_generator import AutoPromptGenerator, pad_for_halving


def test_larger_plane_is_average_pooled_to_the_patch():
    positions = PositionTables(embed_dim=1, plane_grid=(2, 4), patch_grid=(3, 1, 2))
    with torch.no_grad():
        positions.plane_HWC[..., 0] = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    assert positions.plane(1, 2).squeeze(-1).tolist() == [[3.5, 5.5]]


def test_smaller_plane_is_interpolated_to_the_patch():
    positions = PositionTables(embed_dim=1, plane_grid=(1, 2), patch_grid=(1, 1, 4))
    with torch.no_grad():
        positions.plane_HWC[..., 0] = torch.tensor([[0.0, 4.0]])
    assert positions.plane(1, 4).squeeze(-1).tolist() == [[0, 1, 3, 4]]


def test_positions_add_plane_and_depth():
    positions = PositionTables(embed_dim=1, plane_grid=(1, 2), patch_grid=(2, 1, 2))
    with torch.no_grad():
        positions.plane_HWC[..., 0] = torch.tensor([[10.0, 20.0]])
        positions.depth_DC[:, 0] = torch.tensor([1.0, 2.0])
    assert positions(torch.zeros(1, 2, 1, 2, 1)).flatten().tolist() == [11, 21, 12, 22]
    # Twice as deep as the patch: the depth table is stretched, the plane stays.
    assert positions(torch.zeros(1, 4, 1, 2, 1))[0, :, 0, 0, 0].tolist() == [11, 11.25, 11.75, 12]


def test_depth_table_starts_at_zero():
    assert not PositionTables(4, (2, 2), (3, 2, 2)).depth_DC.any()


def test_adapter_starts_as_identity_and_follows_its_formula():
    torch.manual_seed(0)
    adapter = SpatialAdapter(dim=4, ratio=0.5, kernel=3)
    x = torch.randn(1, 3, 4, 5, 4)
    assert torch.equal(adapter(x), x)
    torch.nn.init.normal_(adapter.up.weight)
    hidden = torch.nn.functional.conv3d(
        torch.einsum("bdhwc,kc->bkdhw", x, adapter.down.weight) + adapter.down.bias[:, None, None, None],
        adapter.conv.weight,
        adapter.conv.bias,
        padding=1,
        groups=2,
    )
    expected = x + torch.einsum("bkdhw,ck->bdhwc", hidden.relu(), adapter.up.weight)
    torch.testing.assert_close(adapter(x), expected)


@pytest.mark.parametrize(
    ("ratio", "kernel", "message"), [(0.5, 2, "adapter_kernel=2"), (0.01, 3, "adapter_ratio=0.01")]
)
def test_adapter_refuses(ratio, kernel, message):
    with pytest.raises(ValueError, match=message):
        SpatialAdapter(dim=4, ratio=ratio, kernel=kernel)


def test_phase_matrix_of_factor_two_by_hand():
    # Phase 0 sees upsampled voxels -1, 0, 1, at -0.75, -0.25, 0.25 of the map.
    expected = [[0.75, 0.25, 0], [0.25, 0.75, 0.75], [0, 0, 0.25]]
    torch.testing.assert_close(phase_matrix(2)[0], torch.tensor(expected))


@pytest.mark.parametrize("factor", [2, 4, 5])
def test_folded_fusion_equals_reference(factor):
    torch.manual_seed(0)
    fusion = Fusion(map_channels=3, image_channels=2, out_channels=4, factor=factor)
    maps, image = torch.randn(2, 3, 2, 3, 1), torch.randn(2, 2, 2 * factor, 3 * factor, factor)
    torch.testing.assert_close(fusion(maps, image), fuse(fusion, maps, image), atol=1e-5, rtol=1e-5)
    ours = torch.autograd.grad(fusion(maps, image).square().sum(), fusion.conv.weight)
    reference = torch.autograd.grad(fuse(fusion, maps, image).square().sum(), fusion.conv.weight)
    torch.testing.assert_close(ours, reference, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("grid", [(8, 8, 8), (5, 6, 7), (1, 2, 3)])
def test_prompt_generator_keeps_any_grid(grid):
    generator = AutoPromptGenerator(channels=3, widths=(4, 6, 8, 10))
    out = generator(torch.randn(2, 3, *grid))
    assert out.shape == (2, 3, *grid)
    assert out.isfinite().all()


def test_pad_for_halving_by_hand():
    x = torch.arange(5.0).reshape(1, 1, 5, 1, 1).expand(1, 1, 5, 4, 1)
    padded = pad_for_halving(x)
    assert padded.shape == (1, 1, 6, 4, 4)
    assert padded[0, 0, :, 0, 3].tolist() == [0, 1, 2, 3, 4, 4]


def test_prompt_generator_with_one_level_is_refused():
    with pytest.raises(ValueError, match="at least two widths"):
        AutoPromptGenerator(channels=3, widths=(4,))
