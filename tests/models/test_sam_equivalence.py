"""What the blocks share with SAM's own before any training, and what they do not.

Equal to SAM's are blocks with one window over all tokens, unshifted: a volume that is constant along depth is then
encoded as SAM encodes its slice. Attention over D copies of a slice gives each key 1/D of the weight that it has in
the slice, and the D copies of its value add up again: the output is the slice's, whatever D is, and whatever the table
of relative depths holds.

As the teacher is built, every second block's windows are shifted and none is global, so its tokens are not SAM's; that
they do not change along depth still holds. By how much they differ depends on weights and image: docs/design.md.
"""

from pathlib import Path

import pytest
import torch
from sam_checkpoint import small_encoder, small_options
from torch import Tensor, nn
from torch.nn import functional as F

from autosam_models import build_model


def _encoder_with(sam: nn.Module, folder: Path, **options: object) -> nn.Module:
    """Our encoder with the weights of a SAM."""
    path = folder / "sam.pth"
    torch.save({f"image_encoder.{name}": tensor for name, tensor in sam.state_dict().items()}, path)
    return build_model(
        "autosam_demo", in_channels=1, num_classes=3, checkpoint=path, **small_options() | options
    ).encoder.eval()


def _tokens(sam: nn.Module, ours: nn.Module, edge: int, depth: int) -> tuple[Tensor, Tensor]:
    """What the first block gets: SAM's of a random slice, and ours of that slice ``depth`` times."""
    slice_11HW = torch.rand(1, 1, edge, edge)
    image_13HW = F.interpolate(slice_11HW, size=(64, 64), mode="bilinear").expand(-1, 3, -1, -1)
    volume_11DHW = slice_11HW[:, :, None].expand(-1, -1, depth, -1, -1)
    return sam.patch_embed(image_13HW) + sam.pos_embed, ours.positions(ours.patch_embedding(volume_11DHW))


def _after_blocks(encoder: nn.Module, tokens: Tensor) -> Tensor:
    for block in encoder.blocks:
        tokens = block(tokens)
    return tokens


@pytest.mark.parametrize("upsample", [1, 2, 4])
@torch.no_grad()
def test_blocks_of_one_unshifted_window_give_what_sam_gives(tmp_path: Path, upsample: int) -> None:
    # SAM: an image of 64 x 64 and 4 x 4 tokens, all blocks global. Ours: one window over all 3 x 4 x 4 tokens.
    sam = small_encoder(window=0).eval()
    edge = 64 // upsample
    depth = 3 * edge // 4
    ours = _encoder_with(sam, tmp_path, patch=(depth, edge, edge), upsample=upsample, window=4)
    start_BHWC, start_BDHWC = _tokens(sam, ours, edge, depth)
    expected_BHWC, tokens_BDHWC = _after_blocks(sam, start_BHWC), _after_blocks(ours, start_BDHWC)

    assert tokens_BDHWC.shape == (1, 3, 4, 4, 24)
    assert (expected_BHWC - start_BHWC).abs().max() > 0.1  # the blocks do something
    for slice_BHWC in tokens_BDHWC.unbind(1):
        torch.testing.assert_close(slice_BHWC, expected_BHWC, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("slices", [3, 4, 8])
@torch.no_grad()
def test_as_built_nothing_changes_along_depth_and_tokens_are_not_sams(tmp_path: Path, slices: int) -> None:
    """Windows of 2 × 2 × 2 tokens, every second block's shifted, for 4 × 4 tokens a slice; SAM's last block is global.

    An odd number of slices is padded to the windows, an even one is not.
    """
    sam = small_encoder(window=2).eval()
    ours = _encoder_with(sam, tmp_path, patch=(4 * slices, 16, 16), window=2)
    start_BHWC, start_BDHWC = _tokens(sam, ours, 16, 4 * slices)
    tokens_BDHWC = _after_blocks(ours, start_BDHWC)

    assert [block.shifted for block in ours.blocks] == [False, True, False, True]
    largest = tokens_BDHWC.abs().max()
    assert (tokens_BDHWC - tokens_BDHWC[:, :1]).abs().max() <= 3e-6 * largest
    assert (tokens_BDHWC[:, 0] - _after_blocks(sam, start_BHWC)).abs().max() > 0.01 * largest, "SAM as published"
    sam.blocks[-1].window_size = 2
    assert (tokens_BDHWC[:, 0] - _after_blocks(sam, start_BHWC)).abs().max() > 0.01 * largest, (
        "SAM without global blocks"
    )
