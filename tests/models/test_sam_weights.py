"""Reading SAM's checkpoint: everything is accounted for, and what is not a checkpoint is told so."""

import os
import pickle

import pytest
import torch
from sam_checkpoint import save_small_sam, small_options

from autosam_models import build_model, trained_parameters
from autosam_models.teacher.sam_weights import resize_rows


def build(path, **options):
    return build_model("autosam_demo", in_channels=1, num_classes=3, checkpoint=path, **small_options() | options)


@pytest.fixture
def sam(tmp_path):
    path = tmp_path / "sam.pth"
    return path, save_small_sam(path)


def test_every_tensor_is_used_or_dropped_with_a_reason(sam):
    path, state = sam
    weights = build(path).sam_weights
    assert set(weights.used) | set(weights.dropped) == set(state)
    assert not set(weights.used) & set(weights.dropped)
    assert all(weights.dropped.values())
    of_encoder = {name for name in weights.dropped if name.startswith("image_encoder.")}
    assert of_encoder == {name for name in state if name.startswith("image_encoder.neck.")}


def test_weights_arrive(sam):
    path, state = sam
    encoder = build(path).encoder
    kernel = state["image_encoder.patch_embed.proj.weight"]
    torch.testing.assert_close(encoder.patch_embedding.slice_conv.weight[:, 0, 0], kernel.sum(dim=1))
    assert (encoder.patch_embedding.depth_conv.weight == 1 / 16).all()  # a mean: constant along depth is SAM's slice
    torch.testing.assert_close(encoder.positions.plane_HWC, state["image_encoder.pos_embed"][0])
    torch.testing.assert_close(encoder.blocks[2].mlp.lin1.weight, state["image_encoder.blocks.2.mlp.lin1.weight"])
    attention = encoder.blocks[3].attn  # global in SAM, so 7 rows; 3 with windows of 2
    torch.testing.assert_close(attention.rel_pos_h, resize_rows(state["image_encoder.blocks.3.attn.rel_pos_h"], 3))
    torch.testing.assert_close(attention.rel_pos_d, (attention.rel_pos_h + attention.rel_pos_w) / 2)


def test_grey_image_in_several_channels_embeds_as_one(sam):
    path, _ = sam
    one = build(path).encoder.patch_embedding
    two = build_model("autosam_demo", in_channels=2, num_classes=3, checkpoint=path, **small_options())
    image = torch.rand(1, 1, 4, 4, 4)
    torch.testing.assert_close(one(image), two.encoder.patch_embedding(image.repeat(1, 2, 1, 1, 1)))


def test_rows_are_resized_as_sam_resizes_them():
    table = torch.tensor([[0.0], [2.0], [4.0]])
    torch.testing.assert_close(resize_rows(table, 6).flatten(), torch.tensor([0, 0.5, 1.5, 2.5, 3.5, 4]))


def test_frozen_parameters_get_no_gradient_and_no_optimiser_state(sam):
    model = build(sam[0])
    optimiser = torch.optim.AdamW(trained_parameters(model))
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    model(torch.rand(1, 1, 16, 16, 16)).square().mean().backward()
    optimiser.step()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    own = ("slice_conv", "plane_HWC", "mlp", "qkv", "proj", "rel_pos_h", "rel_pos_w")
    assert frozen == {name for name in before if name.startswith("encoder.") and any(part in name for part in own)}
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (name in frozen), name
        assert (parameter in optimiser.state) == (name not in frozen), name
        assert torch.equal(parameter, before[name]) or name not in frozen, name


def test_without_a_checkpoint_everything_is_trained():
    model = build_model("autosam_demo", in_channels=1, num_classes=3, **small_options())
    assert not model.pretrained
    assert len(trained_parameters(model)) == len(list(model.parameters()))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth: there is no SAM checkpoint here\. Download"):
        build(tmp_path / "none.pth")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file(sam, share):
    path, _ = sam
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"sam\.pth: "):
        build(path)


def test_file_of_another_kind(tmp_path):
    path = tmp_path / "notes.pth"
    path.write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"notes\.pth: .*Download"):
        build(path)


@pytest.mark.parametrize("content", [{"backbone.weight": torch.zeros(1)}, {}, [torch.zeros(1)], {"epoch": 3}])
def test_foreign_checkpoint(tmp_path, content):
    path = tmp_path / "foreign.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"foreign\.pth: .*no SAM checkpoint"):
        build(path)


class Malicious:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_is_not_run(tmp_path, legacy):
    path, mark = tmp_path / "evil.pth", tmp_path / "mark"
    content = {"image_encoder.pos_embed": Malicious(mark)}
    if legacy:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"evil\.pth: refused"):
        build(path)
    assert not mark.exists()


def test_tensor_with_no_known_place_is_refused(sam):
    path, state = sam
    torch.save(state | {"image_encoder.blocks.0.attn.gate": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"holds blocks\.0\.attn\.gate"):
        build(path)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"embed_dim": 32}, r"gives .* the shape .* but the model's is"),
        ({"depth": 8}, r"holds blocks\.4\..* no place for"),
        ({"depth": 2}, r"image_encoder\.blocks\.2\.norm1\.weight is missing"),
    ],
)
def test_sam_of_another_size(tmp_path, encoder, message):
    path = tmp_path / "sam.pth"
    save_small_sam(path, **encoder)
    with pytest.raises(ValueError, match=message):
        build(path)
