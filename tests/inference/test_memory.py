"""Peak memory, measured: a whole scan never needs a float per class and voxel."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autosam_inference.native_grid import labels_on_grid
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.sliding_window import Slab, predict_labels
from autosam_platform.measure import Measured, measure

CPU = torch.device("cpu")
CLASSES = 14


class Sum(nn.Module):
    """Class k's logit is k times the image: next to no memory of its own."""

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        return image_BCDHW * torch.arange(CLASSES).reshape(1, CLASSES, 1, 1, 1)


def peak_mb(measured: Measured[Any]) -> float:
    if measured.peak_mb is None:
        pytest.skip("this system does not tell how much memory a process used at most")
    return measured.peak_mb


def test_the_sliding_window_holds_one_window_deep() -> None:
    image_DHW = torch.rand((96, 96, 320), generator=torch.Generator().manual_seed(0))
    measured = measure(lambda: predict_labels(TorchRuntime(Sum()).logits, image_DHW, (32, 32, 32), 0.5, CLASSES), CPU)
    every_logit = 4 * CLASSES * image_DHW.numel() / 1e6  # 165 MB
    # Swept along the longest axis: (14 + 1) × 32 × 96 × 96 sums, 18 MB; a slab of 16 slices, 8 MB; two
    # windows' logits, 4 MB; the rest is what malloc keeps.
    assert peak_mb(measured) < every_logit / 2
    assert measured.result.unique().tolist() == [CLASSES - 1]


def test_the_way_to_the_scans_grid_holds_slices() -> None:
    logits_KDHW = torch.nn.functional.avg_pool3d(torch.rand(1, CLASSES, 20, 40, 40), 5, stride=1, padding=2)[0]
    slabs = [Slab(at, at + 4, logits_KDHW[:, at : at + 4]) for at in range(0, 20, 4)]
    measured = measure(lambda: labels_on_grid(slabs, 20, (120, 240, 240)), CPU)
    every_logit = 4 * CLASSES * measured.result.size / 1e6  # 387 MB
    assert peak_mb(measured) < every_logit / 5
