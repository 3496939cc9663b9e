"""Before any training, a volume that is constant along depth is encoded as SAM's own encoder encodes its slice.

Attention over D copies of a slice gives each key 1/D of the weight that it has in the slice, and the D copies of its
value add up again: the output is the slice's, whatever D is.
"""

import pytest
import torch
from sam_checkpoint import small_encoder, small_options
from torch.nn import functional as F

from autosam_models import build_model


@pytest.mark.parametrize("upsample", [1, 2, 4])
def test_blocks_give_what_sam_gives(tmp_path, upsample):
    # SAM: an image of 64 x 64 and 4 x 4 tokens, all blocks global. Ours: one window over all 3 x 4 x 4 tokens.
    sam = small_encoder(window=0).eval()
    path = tmp_path / "sam.pth"
    torch.save({f"image_encoder.{name}": tensor for name, tensor in sam.state_dict().items()}, path)
    edge = 64 // upsample
    options = small_options() | {"patch": (3 * edge // 4, edge, edge), "upsample": upsample, "window": 4}
    encoder = build_model("autosam_demo", in_channels=1, num_classes=3, checkpoint=path, **options).encoder
    for block in encoder.blocks:
        torch.nn.init.zeros_(block.attn.rel_pos_d)

    slice_11HW = torch.rand(1, 1, edge, edge)
    with torch.no_grad():
        image = F.interpolate(slice_11HW, size=(64, 64), mode="bilinear").expand(-1, 3, -1, -1)
        expected_BHWC = sam.patch_embed(image) + sam.pos_embed
        tokens_BDHWC = encoder.positions(
            encoder.patch_embedding(slice_11HW[:, :, None].expand(-1, -1, 3 * edge // 4, -1, -1))
        )
        for sam_block, block in zip(sam.blocks, encoder.blocks, strict=True):
            expected_BHWC = sam_block(expected_BHWC)
            tokens_BDHWC = block(tokens_BDHWC)

    assert tokens_BDHWC.shape == (1, 3, 4, 4, 24)
    assert (expected_BHWC - (sam.patch_embed(image) + sam.pos_embed)).abs().max() > 0.1  # the blocks do something
    for depth in range(3):
        torch.testing.assert_close(tokens_BDHWC[:, depth], expected_BHWC, atol=2e-5, rtol=1e-4)
