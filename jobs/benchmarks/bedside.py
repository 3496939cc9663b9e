"""A scan at the bedside, from file to file: ours with OpenVINO, ours with torch, and MONAI's way with the same weights.

The scan is the trunk of a phantom on a scanner's grid, its organs painted in Hounsfield units of their own. The network
has random weights, and its answers, once computed, give way to one that tells those units apart: so it costs what it
costs, and knows where the organs are, which is what the look for them lives on. MONAI's way is
``sliding_window_inference`` with MONAI's class in fp32, torch's interpolation there and back, and argmax.
"""

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn
from torch.nn import functional as F

from autosam_inference import Prediction, TrainedModel, Volume, predict, read_scan, write_nifti
from autosam_inference.bundle import is_bundle
from autosam_inference.card import Architecture, LabelClass, ModelCard, Scaling
from autosam_inference.runtimes.openvino import OpenVinoRuntime
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.scans.intensity import normalise
from autosam_inference.scans.resampling import resample
from autosam_inference.stopwatch import Stopwatch
from autosam_models import find_model
from autosam_models.sizes import Size, size_text
from autosam_platform.data.phantom import Part, make_phantom
from autosam_platform.experiment import ConfigError
from autosam_platform.export.conversion import openvino_model
from autosam_platform.measure import free_memory
from benchmarks.comparison import CLASSES, Row, best, compared
from benchmarks.job import BenchmarkJob

_BODY = 4  # seed of an adult 33 cm wide and 27 cm deep, about the mean: the larger a body, the more windows it has
_GRID_MM = (1.5, 0.8, 0.8)
_FIRST_HU, _STEP_HU = 125, 10  # of the first organ, and from one to the next; the rest of the body is below 60
_WINDOW_HU = (-125, 275)
_SPACINGS_XYZ = ((2.0, 2.0, 2.0), (1.0, 1.0, 1.5))


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """Both spacings, SwinUNETR-Tiny also against MONAI's way and torch. With ``--run BUNDLE`` that bundle alone."""
    size_DHW = job.size_DHW or (300, 512, 512)
    if job.run is not None and not is_bundle(job.run):
        raise ConfigError(f"{job.run} is no bundle: name with --run what jobs/export.py wrote, or nothing")
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.nii.gz"
        _write_torso(scan, size_DHW)
        if job.run is not None:
            return [_alone(f"{job.run}", TrainedModel.load(job.run), scan, device, job.repeats)]
        patch = job.patch or 96
        network = _Seeing(_published(job, (patch,) * 3)).eval()
        fast = OpenVinoRuntime(openvino_model(network, (patch,) * 3))
        models = [TrainedModel(_card(patch, spacing), fast, job.overlap) for spacing in _SPACINGS_XYZ]
        compares = _network_name(job) == "swin_unetr_tiny" and _has_room(size_DHW)
        found = _compared_ways(models[0], network, scan, device, job.repeats) if compares else []
        for model in models:
            x, y, z = model.card.spacing_xyz
            name = f"{size_text(size_DHW)} at {x:g} × {y:g} × {z:g} mm"
            found.append(_alone(name, model, scan, device, job.repeats))
            found.append(_alone(f"{name}, all windows", model, scan, device, job.repeats, coarse=False))
        return found


def _has_room(size_DHW: Size) -> bool:
    """For MONAI's way, which holds the logits of every voxel of the scan, and what they are interpolated from."""
    needed, free = 1.5 * 4 * CLASSES * math.prod(size_DHW), free_memory(torch.device("cpu"))
    if free is None or needed <= free:
        return True
    print(f"MONAI's way needs about {needed / 1e9:.0f} GB, {free / 1e9:.0f} are free: left out, and torch's with it.")
    return False


def _compared_ways(
    model: TrainedModel, network: nn.Module, scan: Path, device: torch.device, repeats: int
) -> list[Row]:
    target = scan.with_name("labels.nii.gz")
    with torch.inference_mode():
        monai = best(lambda: _monai_way(network, model, scan, target), device, 1)
    in_torch = replace(model, runtime=TorchRuntime(network, device))
    ours = best(lambda: _from_file_to_file(model, scan, target).label_DHW, device, repeats)
    plain = best(lambda: _from_file_to_file(in_torch, scan, target).label_DHW, device, 1)
    differ = [float((ours.result != each.result).mean()) for each in (monai, plain)]
    return [
        compared("OpenVINO against MONAI's way", ours, monai, differ[0]),
        compared("OpenVINO against torch in the same code", ours, plain, differ[1]),
    ]


def _alone(
    name: str, model: TrainedModel, scan: Path, device: torch.device, repeats: int, *, coarse: bool = True
) -> Row:
    target = scan.with_name("labels.nii.gz")
    before = time.process_time()
    measured = best(lambda: _from_file_to_file(model, scan, target, coarse=coarse), device, repeats)
    cpu, done = (time.process_time() - before) / repeats, measured.result
    assert done.search is not None
    name = f"{name}: {done.search.windows} of {done.search.all_windows} windows"
    phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in done.seconds.items())
    print(
        f"{name}: {measured.seconds:.1f} s, {cpu:.1f} s of CPU ({phases}), {measured.peak_mb or 0:.0f} MB", flush=True
    )
    return Row(name, measured.seconds, None, measured.peak_mb, None, None)


def _from_file_to_file(model: TrainedModel, scan: Path, target: Path, *, coarse: bool = True) -> Prediction:
    watch = Stopwatch(model.runtime.synchronize)
    with watch.phase("read"):
        read = read_scan(scan)
    prediction = predict(model, read, coarse=coarse, watch=watch)
    with watch.phase("write"):
        write_nifti(prediction, target)
    return replace(prediction, seconds=dict(watch.seconds))


def _monai_way(network: nn.Module, model: TrainedModel, scan: Path, target: Path) -> np.ndarray:
    """Label map D, H, W."""
    image = nib.as_closest_canonical(nib.load(scan))
    hu_DHW = torch.from_numpy(np.asarray(image.dataobj, np.float32).transpose(2, 1, 0).copy())
    spacing = zip(hu_DHW.shape, image.header.get_zooms()[::-1], model.card.spacing_DHW, strict=True)
    size = [round(n * old / new) for n, old, new in spacing]
    small_11DHW = F.interpolate(hu_DHW[None, None], size, mode="trilinear")
    image_11DHW = torch.from_numpy(normalise(small_11DHW.numpy(), model.card.hu_window, model.card.scaling))
    logits = sliding_window_inference(image_11DHW, model.card.patch, 1, network, model.overlap, mode="gaussian")
    assert isinstance(logits, Tensor)
    label_DHW = F.interpolate(logits, hu_DHW.shape, mode="trilinear")[0].argmax(0).to(torch.uint8).numpy()
    nib.save(nib.Nifti1Image(label_DHW.transpose(2, 1, 0), image.affine), target)
    return label_DHW


class _Seeing(nn.Module):
    """A network that is computed, and whose answer is then the painted organ's class."""

    offset_K: Tensor
    class_K: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        bounds_K = torch.tensor([0.0, *(_FIRST_HU - _STEP_HU / 2 + _STEP_HU * k for k in range(CLASSES - 1))])
        self.register_buffer("offset_K", bounds_K.cumsum(0).reshape(-1, 1, 1, 1))
        self.register_buffer("class_K", torch.arange(CLASSES, dtype=torch.float32).reshape(-1, 1, 1, 1))

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        low, high = _WINDOW_HU
        hu_BCDHW = image_BCDHW * (high - low) + low
        logits_BKDHW: Tensor = self.class_K * hu_BCDHW - self.offset_K + 1e-6 * self.network(image_BCDHW)
        return logits_BKDHW


def _published(job: BenchmarkJob, patch: Size) -> nn.Module:
    """The model as its authors' class has it, with random weights."""
    torch.manual_seed(0)
    published = find_model(_network_name(job)).published(in_channels=1, num_classes=CLASSES, patch=patch)
    assert published is not None
    return published.build()


def _network_name(job: BenchmarkJob) -> str:
    """The student that is named; other suites have a teacher as the default."""
    return job.model if find_model(job.model).role == "student" else "swin_unetr_tiny"


def _card(patch: int, spacing_xyz: tuple[float, float, float]) -> ModelCard:
    return ModelCard(
        run_id="benchmark",
        model=Architecture(name="swin_unetr_tiny"),
        num_classes=CLASSES,
        classes=tuple(LabelClass(id=each, name=f"organ {each}") for each in range(1, CLASSES)),
        patch=(patch, patch, patch),
        overlap=0.25,
        spacing_xyz=spacing_xyz,
        hu_window=_WINDOW_HU,
        scaling=Scaling(to=(0.0, 1.0)),
        nsd_tolerance_mm=2.0,
        dataset="phantom",
    )


def _write_torso(path: Path, size_DHW: Size) -> None:
    """The trunk in a wide field of air, with its table; above and below, its last slices go on."""
    phantom = make_phantom(_BODY, part=Part.ABDOMEN)
    for name, array in (("image", phantom.image_xyz), ("label", phantom.label_xyz)):
        nib.save(nib.Nifti1Image(array, phantom.affine), path.with_name(f"{name}.nii"))
    image = read_scan(path.with_name("image.nii")).volume
    label_DHW = read_scan(path.with_name("label.nii")).volume.array_DHW
    organs_DHW = np.where(label_DHW > 0, _FIRST_HU + _STEP_HU * (label_DHW.astype(np.float32) - 1), 0)
    painted_DHW = np.where(label_DHW > 0, organs_DHW, np.minimum(image.array_DHW, 60))
    torso_DHW = resample(Volume(painted_DHW.astype(np.float32), image.spacing_DHW), _GRID_MM).array_DHW
    depths = np.arange(size_DHW[0]) - (size_DHW[0] - len(torso_DHW)) // 2
    rng, scan_DHW = np.random.default_rng(0), np.empty(size_DHW, np.int16)
    there, source = zip(
        *(_centred(n, have) for n, have in zip(size_DHW[1:], torso_DHW.shape[1:], strict=True)), strict=True
    )
    for slice_HW, depth in zip(scan_DHW, np.clip(depths, 0, len(torso_DHW) - 1), strict=True):
        hu_HW = np.full(size_DHW[1:], -1000, np.float32)
        hu_HW[there] = torso_DHW[depth][source]
        slice_HW[...] = hu_HW + rng.normal(0, 3, hu_HW.shape)
    nib.save(nib.Nifti1Image(scan_DHW.transpose(2, 1, 0), np.diag([*_GRID_MM[::-1], 1.0])), path)


def _centred(n: int, have: int) -> tuple[slice, slice]:
    """Where the middle of ``have`` voxels lies among ``n``, and which of them that is."""
    common = min(n, have)
    first, start = (n - common) // 2, (have - common) // 2
    return slice(first, first + common), slice(start, start + common)
