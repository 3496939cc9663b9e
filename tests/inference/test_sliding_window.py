"""The slab-wise sliding window against MONAI's, which holds the whole volume."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.sliding_window import Slab, predict_labels, sliding_window
from autosam_inference.windows import Window, all_windows, window_weights
from autosam_models.sizes import Size

CLASSES = 4


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small network whose answer depends on where in the window a voxel lies (through its zero padding)."""
    torch.manual_seed(0)
    layers = [nn.Conv3d(1, 6, 5, padding=2), nn.Tanh(), nn.Conv3d(6, CLASSES, 3, padding=1)]
    return nn.Sequential(*layers).eval()


def slide(network: nn.Module, image_DHW: Tensor, patch: Size, overlap: float, **options: Any) -> Iterator[Slab]:
    return sliding_window(TorchRuntime(network).logits, image_DHW, patch, overlap, **options)


def joined(slabs: list[Slab]) -> Tensor:
    return torch.cat([slab.logits_KDHW for slab in slabs], dim=1)


@pytest.mark.parametrize("size", [(19, 17, 21), (8, 9, 10), (5, 30, 7), (33, 6, 6), (3, 4, 5)], ids=str)
@pytest.mark.parametrize(("overlap", "batch"), [(0.0, 1), (0.25, 1), (0.5, 3), (0.75, 4)])
def test_same_logits_and_labels_as_monai(
    network: nn.Module, size: tuple[int, int, int], overlap: float, batch: int
) -> None:
    patch = (8, 9, 10)
    image_DHW = torch.randn(size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected_KDHW = sliding_window_inference(
            image_DHW[None, None], patch, 1, network, overlap, mode="gaussian", cval=-1.0
        )[0]

    slabs = list(slide(network, image_DHW, patch, overlap, num_classes=CLASSES, batch=batch, pad_value=-1.0))

    torch.testing.assert_close(joined(slabs), expected_KDHW, rtol=1e-5, atol=1e-5)
    assert torch.equal(joined(slabs).argmax(0), expected_KDHW.argmax(0))


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1)])
def test_another_axis_may_be_swept_along(network: nn.Module, order: tuple[int, int, int]) -> None:
    image_DHW = torch.randn((19, 17, 21), generator=torch.Generator().manual_seed(1))
    expected_KDHW = joined(list(slide(network, image_DHW, (8, 9, 10), 0.5, num_classes=CLASSES)))
    slabs = list(slide(network, image_DHW, (8, 9, 10), 0.5, num_classes=CLASSES, order=order))
    back = [0, *(1 + order.index(axis) for axis in range(3))]
    torch.testing.assert_close(joined(slabs).permute(back), expected_KDHW, rtol=1e-5, atol=1e-5)


def test_labels_lie_where_they_were_found_whatever_axis_was_swept(network: nn.Module) -> None:
    image_DHW = torch.randn((9, 30, 12), generator=torch.Generator().manual_seed(1))
    logits_KDHW = joined(list(slide(network, image_DHW, (8, 9, 10), 0.5, num_classes=CLASSES)))
    assert torch.equal(
        predict_labels(TorchRuntime(network).logits, image_DHW, (8, 9, 10), 0.5, CLASSES).long(), logits_KDHW.argmax(0)
    )


@pytest.mark.parametrize("batch", [1, 2])
def test_the_network_is_asked_about_air_once_and_its_answer_used_wherever_there_is_air(
    network: nn.Module, batch: int
) -> None:
    image_DHW = torch.full((16, 16, 24), -1.0)
    image_DHW[2:6, 2:6, 2:6] = torch.rand((4, 4, 4), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected_KDHW = sliding_window_inference(image_DHW[None, None], (8, 8, 8), 1, network, 0.5, mode="gaussian")[0]
    seen = []
    handle = network.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    try:
        slabs = list(slide(network, image_DHW, (8, 8, 8), 0.5, num_classes=CLASSES, batch=batch))
    finally:
        handle.remove()
    # Of 3 × 3 × 5 windows, the 8 that begin at 0 or 4 along each axis hold a part of the cube.
    assert sum(seen) == 8 + 1
    # The answer to air is not background here: a random network has its own opinion, and it is kept.
    assert expected_KDHW[:, -1, -1, -1].argmax() != 0
    torch.testing.assert_close(joined(slabs), expected_KDHW, rtol=1e-5, atol=1e-5)


def test_slabs_follow_one_another_and_leave_as_soon_as_they_are_finished(network: nn.Module) -> None:
    image_DHW = torch.rand(20, 8, 8)
    calls = []
    handle = network.register_forward_hook(lambda *_: calls.append(None))
    try:
        at = [
            (slab.start, slab.stop, len(calls))
            for slab in slide(network, image_DHW, (8, 8, 8), 0.5, num_classes=CLASSES)
        ]
    finally:
        handle.remove()
    # windows of 8 slices begin at 0, 4, 8 and 12: each slab is out after one window more
    assert at == [(0, 4, 1), (4, 8, 2), (8, 12, 3), (12, 20, 4)]


def test_progress_counts_every_window(network: nn.Module) -> None:
    seen: list[tuple[int, int]] = []
    image_DHW = torch.rand(12, 8, 12)
    list(
        slide(
            network,
            image_DHW,
            (8, 8, 8),
            0.5,
            num_classes=CLASSES,
            batch=3,
            progress=lambda done, total: seen.append((done, total)),
        )
    )
    assert seen == [(2, 4), (4, 4)]  # two layers of two windows; a batch never mixes layers


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_every_window_is_shown_with_its_own_logits_and_place(network: nn.Module, order: tuple[int, int, int]) -> None:
    """Summed by hand from what is shown, the windows come to the slabs; a window of air is shown as all others."""
    image_DHW = torch.rand((7, 20, 9), generator=torch.Generator().manual_seed(1))
    image_DHW[:, 10:] = 0
    patch, swept = (8, 8, 8), tuple((8, 20, 9)[axis] for axis in order)  # padded to at least the patch
    total_KDHW, weights_DHW = torch.zeros(CLASSES, *swept), torch.zeros(swept)
    weight_DHW = window_weights(patch, total_KDHW)
    seen = []

    def on_window(logits_KDHW: Tensor, window: Window) -> None:
        total_KDHW[:, *window] += logits_KDHW * weight_DHW
        weights_DHW[window] += weight_DHW
        seen.append(window)

    slabs = slide(network, image_DHW, patch, 0.5, num_classes=CLASSES, order=order, on_window=on_window)
    found_KDHW = joined(list(slabs))
    assert len(seen) == len(set(map(str, seen))) == len(all_windows((8, 20, 9), patch, 0.5))
    missing = order.index(0)  # the axis that was padded, behind its end
    expected_KDHW = (total_KDHW / weights_DHW).narrow(1 + missing, 0, 7)
    torch.testing.assert_close(found_KDHW, expected_KDHW, rtol=1e-5, atol=1e-5)


def test_a_constant_answer_survives_the_weighting() -> None:
    class Constant(nn.Module):
        def forward(self, image_BCDHW: Tensor) -> Tensor:
            values = torch.tensor([1.0, -2.0, 5.0]).reshape(1, 3, 1, 1, 1)
            return values.expand(len(image_BCDHW), 3, *image_BCDHW.shape[2:])

    slabs = list(sliding_window(TorchRuntime(Constant()).logits, torch.zeros(11, 7, 9), (4, 4, 4), 0.75, num_classes=3))
    logits_KDHW = joined(slabs)
    assert logits_KDHW.shape == (3, 11, 7, 9)
    for channel, value in enumerate([1.0, -2.0, 5.0]):
        torch.testing.assert_close(logits_KDHW[channel], torch.full((11, 7, 9), value))


def test_bf16_autocast_still_sums_in_float32(network: nn.Module) -> None:
    image_DHW = torch.randn(9, 9, 9, generator=torch.Generator().manual_seed(2))
    exact = list(slide(network, image_DHW, (8, 8, 8), 0.5, num_classes=CLASSES))
    in_bf16 = TorchRuntime(network, amp=torch.bfloat16).logits
    rounded = list(sliding_window(in_bf16, image_DHW, (8, 8, 8), 0.5, num_classes=CLASSES))
    difference = (joined(exact) - joined(rounded)).abs().max()
    assert joined(rounded).dtype == torch.float32
    assert 0 < difference < 0.05


@pytest.mark.parametrize("overlap", [-0.1, 1.0, 1.5])
def test_an_impossible_overlap_is_refused(network: nn.Module, overlap: float) -> None:
    with pytest.raises(ValueError, match="overlap"):
        list(slide(network, torch.zeros(8, 8, 8), (8, 8, 8), overlap, num_classes=CLASSES))


def test_a_network_with_another_number_of_classes_is_refused(network: nn.Module) -> None:
    with pytest.raises(ValueError, match="expected 7 classes"):
        list(slide(network, torch.zeros(8, 8, 8), (8, 8, 8), 0.5, num_classes=7))


def test_an_empty_volume_is_refused(network: nn.Module) -> None:
    for shape in [(0, 8, 8), (8, 8)]:
        with pytest.raises(ValueError, match="expected a volume"):
            list(slide(network, torch.zeros(shape), (8, 8, 8), 0.5, num_classes=CLASSES))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
@pytest.mark.parametrize(
    "box", [(slice(3, 9), slice(0, 4), slice(12, 21)), (slice(14, 19), slice(16, 17), slice(0, 21))]
)
def test_a_box_has_the_logits_of_the_whole_and_asks_only_the_windows_that_touch_it(
    network: nn.Module, order: tuple[int, int, int], box: tuple[slice, ...]
) -> None:
    image_DHW = torch.randn((19, 17, 21), generator=torch.Generator().manual_seed(1))
    asked: dict[str, int] = {}

    def logits(name: str, within: tuple[slice, ...]) -> Tensor:
        logits_KDHW = torch.full((CLASSES, *image_DHW.shape), torch.nan)
        swept_KDHW = logits_KDHW[:, *within].permute(0, *(1 + axis for axis in order))
        first = within[order[0]].start
        count = lambda done, total: asked.update({name: total})  # noqa: E731
        for slab in slide(
            network,
            image_DHW,
            (8, 9, 10),
            0.5,
            num_classes=CLASSES,
            order=order,
            within=within,
            progress=count,
        ):
            assert slab.logits_KDHW.shape[2:] == swept_KDHW.shape[2:], "nothing beside the box is kept"
            swept_KDHW[:, slab.start - first : slab.stop - first] = slab.logits_KDHW
        return logits_KDHW

    whole = tuple(slice(0, n) for n in image_DHW.shape)
    assert torch.equal(logits("box", box)[:, *box], logits("whole", whole)[:, *box])
    assert asked["box"] < asked["whole"]
