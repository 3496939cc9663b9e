"""Prompted SAM is SAM: its weights, its picture, its masks and its predicted IoU, as segment_anything has them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_sam import SIDE, save_hollow_sam, save_small_sam

from autosam_models import build_model, trained_parameters
from autosam_models.prompted.asking import Asking
from autosam_models.prompted.sam import PromptedSam, as_input, as_seen, in_picture, picture
from autosam_models.sam_import import segment_anything

WINDOW = (-160, 240)


def build(checkpoint: Path | None = None, side: int = SIDE, **options: Any) -> PromptedSam:
    network = build_model(
        "sam_demo", in_channels=1, num_classes=3, patch=(1, side, side), checkpoint=checkpoint, **options
    )
    assert isinstance(network, PromptedSam)
    return network.eval()


@pytest.mark.parametrize("size", [(SIDE, SIDE), (90, 120), (200, 150)])
@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("prompt", ["points", "box"])
@torch.inference_mode()
def test_masks_and_iou_are_those_of_sams_own_predictor(
    tmp_path: Path, size: tuple[int, int], best: bool, prompt: str
) -> None:
    predictor = segment_anything.SamPredictor(save_small_sam(tmp_path / "sam.pth"))
    network = build(tmp_path / "sam.pth", prompt=prompt, masks="best" if best else "single")
    hu_HW = np.random.default_rng(1).integers(-300, 400, size).astype(np.int16)
    prompts_NP2 = np.array([[[20.0, 30.0], [41.0, 62.0]], [[5.0, 9.0], [80.0, 77.0]]])

    embedding_CHW = network.embed(as_input(picture(hu_HW, WINDOW, SIDE), SIDE)[None])[0]
    low_N1HW, iou_N1 = network.decode(embedding_CHW, in_picture(prompts_NP2, size, SIDE), best=best)
    logits_N1HW = network.on_slice(low_N1HW, size)

    grey_HW = as_seen(np.rint((np.clip(hu_HW, *WINDOW) + np.float32(160)) * (255 / 400)).astype(np.uint8))
    predictor.set_image(np.stack([grey_HW] * 3, axis=2))
    for asked_P2, logits_1HW, iou_1 in zip(prompts_NP2, logits_N1HW, iou_N1, strict=True):
        told = (
            {"box": asked_P2.ravel()}
            if prompt == "box"
            else {"point_coords": asked_P2, "point_labels": np.ones(2, np.int64)}
        )
        masks_MHW, ious_M, _ = predictor.predict(**told, multimask_output=best, return_logits=True)
        assert len(ious_M) == (3 if best else 1)
        theirs_HW = masks_MHW[ious_M.argmax()]
        # Two prompts at once add up in another order than one after the other.
        np.testing.assert_allclose(logits_1HW[0].numpy(), theirs_HW, rtol=0, atol=1e-4 * np.abs(theirs_HW).max())
        np.testing.assert_allclose(iou_1.item(), ious_M.max(), rtol=1e-4, atol=1e-5)


def test_a_slice_is_shown_with_anterior_up_and_the_patients_right_on_the_left() -> None:
    hu_HW = np.full((SIDE, SIDE), -1000, np.int16)
    hu_HW[-1, -1] = 1000  # most anterior, most right
    picture_3HW = picture(hu_HW, WINDOW, SIDE)
    assert picture_3HW.shape == (3, SIDE, SIDE) and picture_3HW[:, 0, 0].tolist() == [255] * 3
    assert picture_3HW.sum() == 3 * 255


@pytest.mark.parametrize("vit", ["vit_b", "vit_l", "vit_h"])
@pytest.mark.parametrize("side", [1024, 512])
def test_the_released_files_of_all_sizes_load(tmp_path: Path, vit: str, side: int) -> None:
    path = tmp_path / f"sam_{vit}.pth"
    shapes = save_hollow_sam(path, vit)
    assert path.stat().st_size < 1e6
    with torch.device("meta"), warnings.catch_warnings(action="ignore"):  # on meta nothing is copied
        network = build_model(f"sam_{vit}", in_channels=1, num_classes=14, patch=(1, side, side), checkpoint=str(path))
    loaded = network.sam.state_dict()
    differing = {name for name, shape in shapes.items() if loaded[name].shape != shape}
    assert (loaded.keys() == shapes.keys()) and (bool(differing) == (side != 1024))
    assert all("pos" in name for name in differing)


def test_weights_arrive_and_tables_of_positions_are_resized_to_another_side(tmp_path: Path) -> None:
    sam = save_small_sam(tmp_path / "sam.pth").state_dict()
    whole, half = (build(tmp_path / "sam.pth", side).sam.state_dict() for side in (SIDE, SIDE // 2))
    for name, tensor in sam.items():
        torch.testing.assert_close(whole[name], tensor, rtol=0, atol=0)
        if "image_encoder" not in name or "pos" not in name or "blocks.0" in name:  # windows stay as they are
            torch.testing.assert_close(half[name], tensor, rtol=0, atol=0)
    assert half["image_encoder.pos_embed"].shape == (1, 4, 4, 96)
    means = [each["image_encoder.pos_embed"].mean() for each in (half, sam)]
    torch.testing.assert_close(*means, atol=0.02, rtol=0)
    assert half["image_encoder.blocks.1.attn.rel_pos_h"].shape == (7, 24)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("mask_decoder.iou_token.weight"), r"has no mask_decoder\.iou_token\.weight"),
        (lambda state: state.update(more=torch.zeros(1)), r"holds more, which this SAM has no place for"),
        (lambda state: state.update({"image_encoder.patch_embed.proj.bias": torch.zeros(3)}), r"the shape \(3,\)"),
        (lambda state: state.update({"image_encoder.pos_embed": torch.zeros(1, 8, 8, 3)}), r"the shape \(1, 8, 8, 3\)"),
    ],
)
def test_another_file_is_refused_by_what_does_not_fit(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "sam.pth"
    state = save_small_sam(path).state_dict()
    change(state)
    torch.save(state, path)
    with pytest.raises(ValueError, match=rf"sam\.pth: .*{message}.*\n?.*Download"):
        build(path)


@pytest.mark.parametrize("prompt", ["points", "box"])
@pytest.mark.parametrize("tune", ["prompt_and_mask", "all"])
def test_what_is_tuned_gets_a_gradient_and_nothing_else_does(prompt: str, tune: str) -> None:
    network = build(side=64, prompt=prompt, tune=tune, hu_window="dataset").train()
    image_B = torch.rand(2, 3, 64, 64) * 255 if tune == "all" else torch.rand(2, 64, 4, 4)
    logits_B1HW = network(image_B, torch.tensor([[[3.0, 5.0], [30.0, 40.0]], [[9.0, 1.0], [12.0, 60.0]]]))
    assert logits_B1HW.shape == (2, 1, 64, 64)
    logits_B1HW.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, f"several workers would wait for {name}"
    tuned = {name.split(".")[1] for name, each in network.named_parameters() if each.requires_grad}
    assert tuned == {"prompt_encoder", "mask_decoder"} | ({"image_encoder"} if tune == "all" else set())
    assert not trained_parameters(build(side=64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "mask"}, "prompt 'mask' is not possible: choose points, box"),
        ({"points": 0}, "points 0"),
        ({"margin": -1}, "margin -1 is not possible: give a whole number"),
        ({"tune": "all", "hu_window": "dataset", "masks": "best"}, "masks best goes with tune none only"),
        ({"tune": "all"}, "hu_window dataset"),
    ],
)
def test_ways_of_asking_that_there_are_not_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Asking.of(options)


@pytest.mark.parametrize("patch", [(128, 128, 128), (1, 120, 120), (1, 64, 128)])
def test_a_patch_that_is_no_picture_is_refused(patch: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"--model\.patch-DHW 1 1024 1024"):
        build_model("sam_demo", in_channels=1, num_classes=3, patch=patch)
