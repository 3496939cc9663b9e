"""The whole teacher: sizes in and out, its switches, training, determinism."""

import pytest
import torch
from sam_checkpoint import save_small_sam, small_options
from torch.nn import functional as F

from autosam_models import build_model
from autosam_models.catalogue import DEMO_SIZES


def small_model(**options):
    torch.manual_seed(0)
    return build_model("autosam_demo", in_channels=1, num_classes=3, **small_options() | options)


def shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 9, 30), (5, 1, 3), (32, 16, 8)])
@pytest.mark.parametrize("fusion", ["half", "full"])
def test_logits_have_the_size_of_the_image(size, fusion):
    logits = small_model(fusion=fusion)(torch.rand(2, 1, *size))
    assert logits.shape == (2, 3, *size)
    assert logits.isfinite().all()


def test_padding_to_whole_tokens_is_replication():
    model = small_model()
    image = torch.rand(1, 1, 15, 16, 14)
    padded = F.pad(image, (0, 2, 0, 0, 0, 1), mode="replicate")
    assert torch.equal(model(image), model(padded)[:, :, :15, :, :14])


def test_single_token_is_refused():
    with pytest.raises(ValueError, match="4 × 4 × 4 voxels is a single token"):
        small_model()(torch.rand(1, 1, 4, 4, 4))


VARIANTS = {
    "patch": (32, 16, 16),
    "embed_dim": 32,
    "depth": 8,
    "mlp_ratio": 2.0,
    "patch_kernel": 8,
    "plane_grid": (8, 8),
    "window": 4,
    "adapter_ratio": 0.25,
    "adapter_kernel": 5,
    "adapter_blocks": "even",
    "neck_channels": 12,
    "apg": False,
    "apg_widths": (4, 6, 8),
    "mlam": False,
    "head_widths": (6, 5),
    "fusion_width": 8,
}


@pytest.mark.parametrize("option", VARIANTS)
def test_option_changes_the_parameters(option):
    assert shapes(small_model(**{option: VARIANTS[option]})) != shapes(small_model())


def test_fusion_changes_the_result_only():
    half, full = small_model(fusion="half"), small_model(fusion="full")
    assert shapes(half) == shapes(full)
    image = torch.rand(1, 1, 16, 16, 16)
    assert not torch.allclose(half(image), full(image))
    assert (half.decoder.fuse.factor, full.decoder.fuse.factor) == (2, 4)  # a token's edge is 16 / 4


def test_upsampling_changes_the_voxels_of_a_token():
    assert [small_model(upsample=factor).token_edge for factor in (1, 2, 4)] == [16, 8, 4]


def test_heads_share_the_width():
    assert small_model(heads=4).encoder.blocks[0].attn.rel_pos_d.shape[1] == 24 // 4


def test_options_are_all_tried():
    assert {*VARIANTS, "upsample", "fusion", "heads"} == set(DEMO_SIZES)


def test_checkpoint_makes_it_pretrained(tmp_path):
    save_small_sam(tmp_path / "sam.pth")
    assert small_model(checkpoint=tmp_path / "sam.pth").pretrained


def test_without_apg_stage_four_goes_straight_to_the_decoder():
    names = set(small_model(apg=False).state_dict())
    assert {name for name in small_model().state_dict() if not name.startswith("prompt_generator.")} == names


def test_without_mlam_only_the_last_map_is_made_and_decoded():
    model = small_model(mlam=False)
    assert len(model.encoder.necks) == len(model.decoder.heads) == 1
    assert model.decoder.fuse.conv.in_channels == 4 + 1


def test_maps_come_after_each_quarter_of_the_blocks():
    model = small_model(depth=8)
    image = torch.rand(1, 1, 16, 16, 16)
    tokens = model.encoder.positions(model.encoder.patch_embedding(image))
    expected = []
    for index, block in enumerate(model.encoder.blocks):
        tokens = block(tokens)
        if index in (1, 3, 5, 7):
            expected.append(model.encoder.necks[index // 2](tokens.permute(0, 4, 1, 2, 3)))
    torch.testing.assert_close(model.encoder(image), expected)


def test_every_second_block_is_shifted():
    assert [block.shifted for block in small_model().encoder.blocks] == [False, True, False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsample": 3}, "upsample=3 is not supported"),
        ({"depth": 6}, "depth=6 cannot be cut into 4 stages"),
        ({"fusion": "third"}, "fusion='third'"),
        ({"patch": (16, 0, 16)}, "patch=0 must be 1 or more"),
        ({"window": 0}, "window=0 must be 1 or more"),
        ({"patch_kernel": 4}, "token of one voxel"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small_model(**options)


@pytest.mark.parametrize("autocast", [False, True])
def test_every_parameter_gets_a_finite_gradient(autocast):
    model = small_model(patch=(20, 16, 16))
    for block in model.encoder.blocks:  # while these are zero, nothing before them in the adapter has a gradient
        torch.nn.init.normal_(block.adapter.up.weight, std=0.1)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(torch.rand(1, 1, 20, 16, 16))
    F.cross_entropy(logits.float(), torch.randint(3, (1, 20, 16, 16))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.dtype == torch.float32, name


def test_one_step_lowers_the_loss():
    model = small_model()
    image, label = torch.rand(1, 1, 16, 16, 16), torch.randint(3, (1, 16, 16, 16))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = F.cross_entropy(model(image), label)
    before.backward()
    optimiser.step()
    assert F.cross_entropy(model(image), label) < before


def test_bitwise_deterministic():
    def gradients():
        model = small_model()
        image = torch.rand(1, 1, 20, 12, 16, generator=torch.Generator().manual_seed(1))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(image)
        logits.float().square().mean().backward()
        return [logits, *(parameter.grad for parameter in model.parameters())]

    assert all(torch.equal(first, second) for first, second in zip(gradients(), gradients(), strict=True))


def test_save_and_load_is_identity(tmp_path):
    model, other = small_model(), small_model()
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    image = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(other(image), model(image))


def test_samples_of_a_batch_do_not_see_each_other():
    model = small_model()
    images = torch.rand(2, 1, 20, 16, 12)
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone, atol=1e-5, rtol=1e-4)
