"""Which blocks have a spatial adapter, and what its sizes cost."""

import pytest
import torch
from reference.autosam_reference import forward
from sam_checkpoint import save_small_sam, small_options

from autosam_models import build_model, find_model, trained_parameters
from autosam_models.teacher.adapter import SpatialAdapter, blocks_with_adapter


def small_model(**options):
    torch.manual_seed(0)
    return build_model("autosam_demo", in_channels=1, num_classes=3, **small_options() | options)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("choice", "blocks"),
    [
        ("all", {0, 1, 2, 3, 4, 5, 6, 7}),
        ("none", set()),
        ("even", {0, 2, 4, 6}),
        ("odd", {1, 3, 5, 7}),
        ("first_half", {0, 1, 2, 3}),
        ("last_half", {4, 5, 6, 7}),
        ("0,3,5", {0, 3, 5}),
        (" 7, 2", {2, 7}),
        ("4", {4}),
        (4, {4}),
    ],
)
def test_blocks_by_name_and_by_number(choice, blocks):
    assert blocks_with_adapter(choice, 8) == blocks


@pytest.mark.parametrize("choice", ["8", 8, -1, "-1", "", "0,,1", "0;1", "half", "1.5", True])
def test_what_names_no_block_is_refused_with_what_does(choice):
    message = (
        r"adapter_blocks=.* is no choice of the 8 blocks: give all, none, even, .* numbers from 0 to 7 such as 4,7\."
    )
    with pytest.raises(ValueError, match=message):
        blocks_with_adapter(choice, 8)


def test_a_block_without_an_adapter_passes_its_input_on():
    blocks = small_model(adapter_blocks="1,2").encoder.blocks
    assert [isinstance(block.adapter, SpatialAdapter) for block in blocks] == [False, True, True, False]
    x_BDHWC = torch.randn(1, 2, 3, 4, 24)
    assert blocks[0].adapter(x_BDHWC) is x_BDHWC
    assert not [name for name in blocks.state_dict() if name.startswith(("0.adapter", "3.adapter"))]


@pytest.mark.parametrize(
    ("ratio", "kernel", "each"),
    [
        # 24 channels to n, a kernel for each of n, n to 24; a bias each.
        (1 / 8, 1, (24 * 3 + 3) + (3 * 1 + 3) + (3 * 24 + 24)),
        (1 / 2, 3, (24 * 12 + 12) + (12 * 27 + 12) + (12 * 24 + 24)),
        (1.0, 5, (24 * 24 + 24) + (24 * 125 + 24) + (24 * 24 + 24)),
    ],
)
def test_parameters_by_hand(ratio, kernel, each):
    counts = {
        choice: parameters(small_model(adapter_ratio=ratio, adapter_kernel=kernel, adapter_blocks=choice))
        for choice in ("none", "0,3", "all")
    }
    assert counts["0,3"] - counts["none"] == 2 * each
    assert counts["all"] - counts["none"] == 4 * each


@pytest.mark.parametrize("name", ["autosam_demo", "autosam_vit_b", "autosam_vit_l", "autosam_vit_h"])
def test_every_preset_can_be_told(name):
    entry = find_model(name)
    assert "adapter_blocks" in entry.options and entry.defaults["adapter_blocks"] == "all"


@pytest.mark.parametrize("choice", ["none", "odd", "0,1"])
def test_logits_are_the_literal_models(choice):
    model = small_model(adapter_blocks=choice, adapter_ratio=1 / 8, adapter_kernel=5)
    for name, parameter in model.named_parameters():
        if "adapter.up" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    image_BCDHW = torch.rand(1, 1, 16, 20, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(image_BCDHW), forward(model, image_BCDHW), atol=1e-4, rtol=1e-4)


def test_with_sams_weights_only_the_chosen_adapters_are_trained(tmp_path):
    save_small_sam(tmp_path / "sam.pth")
    model = small_model(adapter_blocks="last_half", checkpoint=tmp_path / "sam.pth")
    trained = {id(parameter) for parameter in trained_parameters(model)}
    adapters = {
        name for name, each in model.encoder.blocks.named_parameters() if "adapter" in name and id(each) in trained
    }
    assert {name.split(".")[0] for name in adapters} == {"2", "3"}
    assert len(adapters) == 2 * 6  # weight and bias of three layers
