"""A whole scan: windows at half its resolution, and labels on its own grid.

The plain way is MONAI's sliding window, torch's interpolation of the logits of all classes, and argmax.
"""

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from autosam_inference.native_grid import labels_on_grid
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.sliding_window import Slab, predict_labels, sliding_window
from autosam_inference.windows import sweep_order
from autosam_models import build_model
from autosam_models.sizes import Size, size_text
from benchmarks.comparison import CLASSES, Row, best, compared, plain_module
from benchmarks.job import BenchmarkJob


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """First the windows alone, at the scan's full resolution, with a network that costs nothing."""
    size_DHW, patch = job.size_DHW or (300, 512, 512), job.patch or 64
    found = [_windows_alone_row(size_DHW, patch, job.overlap, device, job.repeats)]
    for where in ("around", "above"):
        image_DHW = _scan((size_DHW[0] // 2, size_DHW[1] // 2, size_DHW[2] // 2), where).to(device)
        found.append(_scan_row(image_DHW, size_DHW, where, patch, job.overlap, device, job.repeats))
    return [*found, _grid_row(size_DHW, device, job.repeats)]


def _scan(size_DHW: Size, where: str) -> Tensor:
    """A prepared scan of organs in a body, in [0, 1]; 40 % of the voxels are air at the lower bound."""
    _, organs_DHW = plain_module("metrics_reference").organ_maps(size_DHW, 13, seed=0)
    image_DHW = 0.4 + 0.04 * torch.from_numpy(organs_DHW).float()
    image_DHW += 0.02 * torch.randn(size_DHW, generator=torch.Generator().manual_seed(0))
    depth, height, width = size_DHW
    if where == "above":
        image_DHW[round(0.6 * depth) :] = 0
        return image_DHW
    h, w = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    image_DHW[:, (h / 0.76) ** 2 + w**2 > 1] = 0  # the body is an ellipse of 60 % of the plane
    return image_DHW


class _Free(nn.Module):
    """A network that costs nothing: class k's logit is k times the image."""

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        return image_BCDHW * torch.arange(CLASSES, device=image_BCDHW.device).reshape(1, -1, 1, 1, 1)


def _windows_alone_row(size_DHW: Size, patch: int, overlap: float, device: torch.device, repeats: int) -> Row:
    image_DHW = _scan(size_DHW, "around").to(device)
    edges, logits = (patch,) * 3, TorchRuntime(_Free(), device).logits
    with torch.inference_mode():
        ours = best(lambda: predict_labels(logits, image_DHW, edges, overlap, CLASSES).cpu(), device, repeats)
        theirs = best(
            lambda: _monai_logits(_Free(), image_DHW, edges, overlap).argmax(0).to(torch.uint8).cpu(), device, repeats
        )
    differ = (ours.result != theirs.result).float().mean().item()
    return compared(f"windows alone, {size_text(size_DHW)}", ours, theirs, differ)


def _scan_row(
    image_DHW: Tensor, size_DHW: Size, where: str, patch: int, overlap: float, device: torch.device, repeats: int
) -> Row:
    model, edges = _opinionated(patch, device), (patch,) * 3
    order = sweep_order(tuple(image_DHW.shape), edges)  # type: ignore[arg-type]

    def own() -> Tensor:
        logits = TorchRuntime(model, device).logits
        slabs = sliding_window(logits, image_DHW, edges, overlap, num_classes=CLASSES, order=order)
        native = (size_DHW[order[0]], size_DHW[order[1]], size_DHW[order[2]])
        swept = torch.from_numpy(labels_on_grid(slabs, image_DHW.shape[order[0]], native))
        return swept.permute([order.index(axis) for axis in range(3)])

    def plain() -> Tensor:
        logits_KDHW = _monai_logits(model, image_DHW, edges, overlap)
        return _plain_labels(logits_KDHW, size_DHW)

    air = (image_DHW == image_DHW.min()).float().mean().item()
    # In fp32: under autocast MONAI weighs the logits in bf16 and sums rounded numbers.
    with torch.inference_mode():
        ours, theirs = best(own, device, repeats), best(plain, device, repeats)
    differ = (ours.result != theirs.result).float().mean().item()
    name = f"scan of {size_text(size_DHW)}, {air:.0%} air {where} the patient"
    return compared(name, ours, theirs, differ)


def _monai_logits(model: nn.Module, image_DHW: Tensor, edges: Size, overlap: float) -> Tensor:
    logits_1KDHW = sliding_window_inference(image_DHW[None, None], edges, 1, model, overlap, mode="gaussian")
    assert isinstance(logits_1KDHW, Tensor)
    return logits_1KDHW[0]


def _plain_labels(logits_KDHW: Tensor, size_DHW: Size) -> Tensor:
    finer_1KDHW = nn.functional.interpolate(logits_KDHW[None], size_DHW, mode="trilinear")
    return finer_1KDHW[0].argmax(0).to(torch.uint8).cpu()


def _grid_row(size_DHW: Size, device: torch.device, repeats: int) -> Row:
    """Logits at half the size to labels at the whole."""
    half = [-(-n // 2) for n in size_DHW]
    _, organs_DHW = plain_module("metrics_reference").organ_maps(half, CLASSES - 1, seed=0)
    logits_KDHW = torch.stack([torch.from_numpy(organs_DHW == each).float() for each in range(CLASSES)])
    # Smooth, as a network's logits are: organs fade into each other over some voxels.
    logits_KDHW = nn.functional.avg_pool3d(logits_KDHW[None], 5, stride=1, padding=2)[0].to(device)
    slabs = [Slab(at, min(at + 16, half[0]), logits_KDHW[:, at : at + 16]) for at in range(0, half[0], 16)]
    with torch.inference_mode():
        ours = best(lambda: torch.from_numpy(labels_on_grid(slabs, half[0], size_DHW)), device, repeats)
        theirs = best(lambda: _plain_labels(logits_KDHW, size_DHW), device, repeats)
    name = f"logits of {size_text(half)} to labels of {size_text(size_DHW)}"
    return compared(name, ours, theirs, (ours.result != theirs.result).float().mean().item())


def _opinionated(patch: int, device: torch.device) -> nn.Module:
    """The demo's teacher with random weights, which sees many classes and not background everywhere."""
    torch.manual_seed(0)
    model = build_model("autosam_demo", in_channels=1, num_classes=CLASSES, patch=(patch,) * 3)
    nn.init.zeros_(model.decoder.classify.bias)  # type: ignore[arg-type, union-attr]
    return model.to(device).eval()
