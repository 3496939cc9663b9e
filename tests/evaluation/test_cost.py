"""Operations counted by hand and by torch's own counter; a small model measured."""

import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from small_models import PATCH, write_model
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autosam_inference import Scan, Volume
from autosam_models import build_model
from autosam_models.convolution import Conv3d
from autosam_platform.data.description import load_description
from autosam_platform.evaluation.cost import cost_of, flop_of_pass

SHAPE = (20, 18, 24)


class Attention(nn.Module):
    """Every voxel attends to every voxel, with eight equal channels, in torch's fused kernel."""

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        x_BMNC = image_BCDHW.flatten(2)[..., None].expand(-1, -1, -1, 8)
        return F.scaled_dot_product_attention(x_BMNC, x_BMNC, x_BMNC)


@pytest.mark.parametrize("amp", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", [nn.Conv3d, Conv3d])
def test_a_convolution_by_hand(kind: type[nn.Conv3d], amp: torch.dtype | None) -> None:
    """2 × 27 weights for each of 8³ voxels and 3 channels; with a stride of 2, for each of 4³."""
    assert flop_of_pass(kind(1, 3, 3, padding=1), (8, 8, 8), amp) == 2 * 27 * 8**3 * 3
    assert flop_of_pass(kind(1, 3, 3, padding=1, stride=2), (8, 8, 8), amp) == 2 * 27 * 4**3 * 3


def test_attention_by_hand() -> None:
    """64 queries × 64 keys × 8 channels, for the logits and again for the values."""
    assert flop_of_pass(Attention(), (4, 4, 4)) == 2 * (2 * 64 * 64 * 8)


@pytest.mark.parametrize("name", ["autosam_demo", "swin_unetr_tiny"])
def test_a_model_takes_in_inference_what_torch_counts_in_training(name: str) -> None:
    """With gradients no kernel is used that torch's counter does not know."""
    patch = (64, 32, 32)
    model = build_model(name, in_channels=1, num_classes=3, patch=patch).eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, *patch))
    assert flop_of_pass(model, patch) == counter.get_total_flops() > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), load_description("phantom"), (4.0, 4.0, 4.0))


def test_what_a_model_costs(folder: Path) -> None:
    hu_DHW = np.random.default_rng(0).integers(-200, 200, SHAPE).astype(np.int16)
    cost = cost_of(folder, Scan.of(Volume(hu_DHW, (4.0, 4.0, 4.0))), 0.25)
    with safe_open(folder / "model.safetensors", "pt") as weights:
        sizes = [math.prod(weights.get_slice(name).get_shape()) for name in weights.keys()]  # noqa: SIM118
    assert cost.parameters == sum(sizes)
    assert cost.patch == PATCH
    assert cost.seconds_per_scan > 0
    assert math.isnan(cost.peak_mb) or cost.peak_mb > 4 * sum(sizes) / 1e6
    assert cost.conditions.startswith("one scan of 20 × 18 × 24 voxels, overlap 0.25; ")
    assert f"{torch.get_num_threads()} threads" in cost.conditions
    assert json.loads(json.dumps(cost.as_json(), allow_nan=False))["patch"] == list(PATCH)


def test_a_scan_may_be_a_file(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    hu_xyz = np.linspace(-1000, 200, np.prod(SHAPE)).reshape(SHAPE[::-1]).astype(np.int16)
    nib.save(nib.Nifti1Image(hu_xyz, np.diag([4.0, 4.0, 4.0, 1.0])), path)
    cost = cost_of(folder, path, 0.0)
    assert cost.conditions.startswith("one scan of 20 × 18 × 24 voxels, overlap 0; ")
    assert cost.gflop_per_patch > 0
