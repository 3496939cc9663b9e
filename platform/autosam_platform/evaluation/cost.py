"""What a trained model costs: parameters, arithmetic, and the time and memory of a whole scan on a CPU.

A bedside device has a CPU, so seconds and memory are a CPU's whatever the machine has beside it.
"""

import math
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_flop_count

from autosam_inference.model import TrainedModel
from autosam_inference.prediction import predict
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.scans.scan import Scan, read_scan
from autosam_inference.several import ModelFolders, mean_of
from autosam_inference.sliding_window import Progress
from autosam_models.sizes import Size, size_text
from autosam_platform.measure import machine, measure

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ModelCost:
    """What a model costs.

    Attributes:
        parameters: numbers in its weights, trained or not.
        gflop_per_patch: 10⁹ floating-point operations of a forward pass of one patch, a multiply-add being two, in
            convolutions, linear layers and attention; what is done element by element is not counted.
        patch: D, H, W of that patch in voxels.
        seconds_per_scan: from a scan in memory to its label map, resampling there and back included.
        peak_mb: 10⁶ bytes that this needs at most: the weights, and what is made on top of them, the interpreter and
            its libraries not counted. NaN where the system does not tell.
        conditions: the scan, the overlap of windows and the machine behind seconds and memory.
    """

    parameters: int
    gflop_per_patch: float
    patch: Size
    seconds_per_scan: float
    peak_mb: float
    conditions: str

    def as_json(self) -> dict[str, Any]:
        """All of it; memory as None where it is unknown."""
        return asdict(self) | {"peak_mb": None if math.isnan(self.peak_mb) else self.peak_mb}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The cost that ``as_json`` gave."""
        depth, height, width = values["patch"]
        peak_mb = math.nan if values["peak_mb"] is None else values["peak_mb"]
        return cls(**values | {"patch": (depth, height, width), "peak_mb": peak_mb})


def cost_of(
    model: Path | ModelFolders, scan: Path | Scan, overlap: float, progress: Progress | None = None
) -> ModelCost:
    """Predict ``scan`` once, on the CPU, and tell what that took.

    Two models compare only if they are measured with the same scan, overlap and machine, with nothing else running.

    Args:
        model: ``model/`` of a run; or those of several, which cost what all of them do, a patch being a patch of each.
        scan: a NIfTI file, or what was read of one.
        overlap: of neighbouring windows.
        progress: called with the windows done and the windows in all.

    Raises:
        ModelFolderError: the folder holds no usable model.
        ScanError: the scan cannot be read.
    """
    read = scan if isinstance(scan, Scan) else read_scan(scan)
    folders = model if isinstance(model, ModelFolders) else ModelFolders.of(model)
    pairs = zip(folders.folders, folders.cards, strict=True)
    members = [(card, TorchRuntime.load(folder, card, "cpu")) for folder, card in pairs]
    networks = nn.ModuleList([runtime.network for _, runtime in members])
    asked = mean_of([TrainedModel(card, runtime, overlap) for card, runtime in members])
    # Counting comes first, since a process's first pass is slower than those after it.
    flop = sum(flop_of_pass(runtime.network, card.patch, runtime.amp) for card, runtime in members)
    measured = measure(lambda: predict(asked, read, coarse=False, progress=progress), _CPU)
    held_mb = sum(tensor.nbytes for tensor in chain(networks.parameters(), networks.buffers())) / 1e6
    return ModelCost(
        parameters=sum(weight.numel() for weight in networks.parameters()),
        gflop_per_patch=flop / 1e9,
        patch=asked.card.patch,
        seconds_per_scan=measured.seconds,
        peak_mb=math.nan if measured.peak_mb is None else held_mb + measured.peak_mb,
        conditions=f"one scan of {size_text(read.volume.array_DHW.shape)} voxels, overlap {overlap:g}; {machine(_CPU)}",
    )


def flop_of_pass(model: nn.Module, patch: Size, amp: torch.dtype | None = None) -> int:
    """Operations of a forward pass of one patch (D, H, W) with one channel, as a CPU does them in inference.

    They are counted while they are done. torch has no formula for two of the CPU's own kernels, the one that
    ``autosam_models`` asks for in inference among them, and would leave them out. Gradients are off, not in torch's
    inference mode: there the counter takes operations apart below autocast, and their types no longer agree.

    Args:
        amp: type of autocast, or None for float32.
    """
    kernels = {
        torch.ops.aten.mkldnn_convolution: _convolution_flop,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop,
    }
    autocast = torch.autocast("cpu", dtype=amp, enabled=amp is not None)
    with torch.no_grad(), autocast, FlopCounterMode(display=False, custom_mapping=kernels) as counter:
        model(torch.zeros(1, 1, *patch))
    return counter.get_total_flops()


def _convolution_flop(image: list[int], weight: list[int], *_: Any, out_shape: list[int], **__: Any) -> int:
    return conv_flop_count(image, weight, out_shape)


def _attention_flop(query: list[int], key: list[int], value: list[int], *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)
