"""The folded patch embedding is the literal one."""

import pytest
import torch
from reference.autosam_reference import embed

from autosam_models.teacher.patch_embedding import PatchEmbedding, upsampling_matrix


def test_upsampling_matrix_of_factor_two_by_hand():
    # Upsampled voxels lie at -0.25, 0.25, 0.75, 1.25 of the original grid; columns are voxels -1, 0, 1, 2.
    expected = [[0.25, 0.75, 0, 0], [0, 0.75, 0.25, 0], [0, 0.25, 0.75, 0], [0, 0, 0.75, 0.25]]
    torch.testing.assert_close(upsampling_matrix(kernel=4, upsample=2), torch.tensor(expected))


def test_sams_kernel_becomes_six_taps_with_stride_four():
    embedding = PatchEmbedding(in_channels=1, embed_dim=2, kernel=16, upsample=4)
    assert embedding.stride == 4
    assert embedding.folded()[0].shape == (2, 6**3)


@pytest.mark.parametrize(
    ("kernel", "upsample", "channels"), [(16, 4, 1), (16, 2, 1), (16, 1, 1), (8, 4, 2), (8, 2, 3), (14, 2, 1)]
)
def test_folded_equals_literal_everywhere(kernel, upsample, channels):
    torch.manual_seed(0)
    embedding = PatchEmbedding(channels, 5, kernel, upsample)
    torch.nn.init.normal_(embedding.depth_conv.weight)
    torch.nn.init.normal_(embedding.depth_conv.bias)
    edge = kernel // upsample
    image = torch.rand(2, channels, 2 * edge, 3 * edge, edge)
    folded, literal = embedding(image), embed(embedding, image, upsample)
    assert folded.shape == (2, 2, 3, 1, 5)
    assert (folded - literal).abs().max() <= 1e-5 * max(1.0, literal.abs().max().item())


def test_every_weight_gets_the_gradient_of_the_literal_form():
    torch.manual_seed(0)
    embedding = PatchEmbedding(1, 3, 8, 4).double()
    image = torch.rand(1, 1, 4, 4, 4, dtype=torch.float64)
    parameters = list(embedding.parameters())
    folded = torch.autograd.grad(embedding(image).square().sum(), parameters)
    literal = torch.autograd.grad(embed(embedding, image, 4).square().sum(), parameters)
    torch.testing.assert_close(folded, literal)


def test_from_scratch_a_token_tells_where_along_depth_something_lies():
    torch.manual_seed(0)
    embedding = PatchEmbedding(1, 4, 8, 2)
    slices = torch.zeros(2, 1, 4, 4, 4)
    slices[0, :, 1], slices[1, :, 2] = 1, 1  # the same slice, one voxel apart
    lower, upper = embedding(slices)
    assert not torch.allclose(lower, upper, atol=0.01)


def test_factor_that_leaves_part_of_a_voxel_is_refused():
    with pytest.raises(ValueError, match="upsample=4 does not divide the patch kernel 14"):
        PatchEmbedding(1, 4, 14, 4)
