"""The suites of jobs/benchmark.py: ours and the plain way in turn, in one process, on the same input."""

import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
import torch
from _roots import ROOT
from monai import transforms
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from autosam_inference.card import LabelClass
from autosam_inference.native_grid import labels_on_grid
from autosam_inference.windows import Slab, predict_labels, sliding_window, sweep_order
from autosam_models import build_model, trained_parameters
from autosam_models.numerics import has_bf16
from autosam_platform.cluster import connect
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.patches import PatchDataset
from autosam_platform.data.preparation import Preparation, prepare
from autosam_platform.evaluation.evaluate import evaluate_cases
from autosam_platform.evaluation.metrics import case_metrics
from autosam_platform.evaluation.pictures import save_overlap_picture
from autosam_platform.experiment import ConfigError, Experiment
from autosam_platform.measure import Measured, measure
from autosam_platform.pipeline.steps import prepared_dataset, split_cases

T = TypeVar("T")
Size = tuple[int, int, int]

_CLASSES = 14
_OVERLAPS = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Row:
    """One comparison; None where there is nothing to compare with or nothing that tells."""

    name: str
    ours_s: float
    reference_s: float | None
    ours_peak_mb: float | None
    reference_peak_mb: float | None
    max_difference: float | None
    """Of the outputs: of logits and gradients relative to the largest, of label maps the share of voxels, of metrics
    as it is."""

    @property
    def ratio(self) -> float | None:
        """How many times as long the reference takes."""
        return None if self.reference_s is None else self.reference_s / self.ours_s

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio}


def teacher(model: str, patch: int, step_patch: int | None, device: torch.device, repeats: int) -> list[Row]:
    """The teacher against the model as published: a forward pass, and a training step."""
    reference = _reference("autosam_reference").forward
    rows = _forward_rows(_scattered(model, patch, device), reference, patch, device, repeats)
    edge = step_patch or (128 if device.type == "cuda" else 64)
    return rows + _step_rows(_scattered(model, edge, device), reference, edge, device, repeats)


def window(size_DHW: Size, patch: int, overlap: float, device: torch.device, repeats: int) -> list[Row]:
    """A whole scan: windows at half its resolution, and labels on its own grid.

    The plain way is MONAI's sliding window, torch's interpolation of the logits of all classes, and argmax. First the
    windows alone, at the scan's full resolution, with a network that costs nothing.
    """
    rows = [_windows_alone_row(size_DHW, patch, overlap, device, repeats)]
    for where in ("around", "above"):
        image_DHW = _scan((size_DHW[0] // 2, size_DHW[1] // 2, size_DHW[2] // 2), where).to(device)
        rows.append(_scan_row(image_DHW, size_DHW, where, patch, overlap, device, repeats))
    return [*rows, _grid_row(size_DHW, device, repeats)]


def metrics(repeats: int) -> list[Row]:
    """Dice, NSD and HD95 of 13 organs in 512 × 512 × 150 voxels of 0.8 × 0.8 × 3 mm."""
    plain = _reference("metrics_reference")
    spacing_DHW, classes = (3.0, 0.8, 0.8), [LabelClass(id=each, name=f"organ {each}") for each in range(1, 14)]
    prediction_DHW, truth_DHW = plain.organ_maps((150, 512, 512), len(classes), seed=0)
    threads, cpu = torch.get_num_threads(), torch.device("cpu")
    ours = _best(
        lambda: case_metrics(prediction_DHW, truth_DHW, spacing_DHW, classes, 2.0, threads=threads), cpu, repeats
    )
    theirs = _best(
        lambda: plain.reference_metrics(prediction_DHW, truth_DHW, spacing_DHW, len(classes), 2.0), cpu, repeats
    )
    found = np.array([(each.dice, each.nsd, each.hd95_mm) for each in ours.result])
    difference = np.nanmax(np.abs(found - np.array(list(theirs.result.values()))))
    return [_row("Dice, NSD, HD95 of 13 organs, 150x512x512", ours, theirs, float(difference))]


def loader(patch: int) -> list[Row]:
    """Training patches with BTCV's augmentation: one at a time, and what a step of 100 ms waits for two workers."""
    with tempfile.TemporaryDirectory(prefix="autosam-") as folder:
        connect()
        scans_in_btcvs_layout(Path(folder) / "raw", 2, (200, 300, 300))
        description = load_description("btcv")
        prepared = prepare(description, Path(folder) / "raw", Preparation(), Workspace(Path(folder)))
        patches = PatchDataset(prepared, (patch,) * 3, patches_per_case=128)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in a worker of a loader
        ours = _seconds_each(lambda index: patches[index], 60)
        case = prepared.cases("train")[0]
        plain = _monai_patches(case.image(), case.label(), patch, description)
        theirs = _seconds_each(lambda _: plain(), 30)
        torch.set_num_threads(threads)
        waits = _waits(patches, step_s=0.1)
    return [
        Row(f"patch of {patch}³, median", float(np.median(ours)), float(np.median(theirs)), None, None, None),
        Row(f"patch of {patch}³, slowest", max(ours), max(theirs), None, None, None),
        Row("a step of 100 ms waits for 2 workers, mean", float(np.mean(waits)), None, None, None, None),
    ]


def overlaps(run: RunFolder, picture: Path) -> list[Row]:
    """What overlap costs and brings: the run's test cases with each, against the paper's 0.75."""
    dataset = prepared_dataset(run.experiment.dataset)
    cases = split_cases(dataset, "test")
    if not cases:
        raise ConfigError(f"{dataset.name} has no test cases: name a run whose data has with --run")
    found = {}
    for overlap in _OVERLAPS:
        folder = EvaluationFolder(picture.parent / f"overlap-{run.name}" / f"{overlap:g}", workspace())
        found[overlap] = evaluate_cases(run.model, cases, dataset.description, folder, overlap=overlap)
    paper = found[_OVERLAPS[-1]]
    save_overlap_picture(picture, found, f"{run.name}: {paper.n_cases} test cases of {dataset.name}")
    return [
        Row(
            f"overlap {overlap:g}: Dice {each.mean_dice:.4f}, NSD {each.mean_nsd:.4f}",
            each.seconds_per_case["network"],
            paper.seconds_per_case["network"],
            None,
            None,
            abs(each.mean_dice - paper.mean_dice),
        )
        for overlap, each in found.items()
    ]


def _reference(name: str) -> Any:
    """A module of tests/reference, which a checkout has and an installed package has not.

    Raises:
        ConfigError: it, or what it needs, is not there.
    """
    tests = str(ROOT / "tests")
    if tests not in sys.path:
        sys.path.append(tests)
    try:
        return importlib.import_module(f"reference.{name}")
    except ImportError as error:
        raise ConfigError(
            f"the benchmarks compare with tests/reference, which cannot be imported ({error}): run them in a checkout "
            "of the project, with its development tools: pip install -e '.[dev]'"
        ) from error


def _best(work: Callable[[], T], device: torch.device, repeats: int) -> Measured[T]:
    """The fastest of some measurements, with the result of the last."""
    runs = [measure(work, device) for _ in range(repeats)]
    peaks = [run.peak_mb for run in runs if run.peak_mb is not None]
    return Measured(runs[-1].result, min(run.seconds for run in runs), max(peaks, default=None))


def _row(name: str, ours: Measured[Any], theirs: Measured[Any], difference: float | None) -> Row:
    print(f"{name}: {ours.seconds:.3g} s and {theirs.seconds:.3g} s", flush=True)
    return Row(name, ours.seconds, theirs.seconds, ours.peak_mb, theirs.peak_mb, difference)


def _relative(ours: Tensor, theirs: Tensor) -> float:
    return ((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max()).item()


# --- teacher


def _scattered(name: str, patch: int, device: torch.device) -> nn.Module:
    """A model in which nothing is zero, so that every part counts in the difference."""
    torch.manual_seed(0)
    model = build_model(name, in_channels=1, num_classes=_CLASSES, patch=(patch,) * 3)
    for parameter_name, parameter in model.named_parameters():
        if "rel_pos" in parameter_name or "depth_DC" in parameter_name or "adapter.up" in parameter_name:
            nn.init.normal_(parameter, std=0.02)
    return model.to(device)


def _formats(device: torch.device) -> list[torch.dtype]:
    return [torch.float32, torch.bfloat16] if has_bf16(device) else [torch.float32]


Forward = Callable[[Tensor], Tensor]


def _forward_rows(
    model: nn.Module, reference: Callable[..., Tensor], patch: int, device: torch.device, repeats: int
) -> list[Row]:
    image_BCDHW = torch.rand(1, 1, patch, patch, patch, device=device)
    model.eval()

    def work(forward: Forward) -> list[Tensor]:
        with torch.inference_mode():
            return [forward(image_BCDHW)]

    return _rows_by_format(f"forward {patch}³", work, model, reference, device, repeats)


def _step_rows(
    model: nn.Module, reference: Callable[..., Tensor], patch: int, device: torch.device, repeats: int
) -> list[Row]:
    image_BCDHW = torch.rand(1, 1, patch, patch, patch, device=device)
    weight_BKDHW = torch.rand(1, _CLASSES, patch, patch, patch, device=device)
    parameters = trained_parameters(model)
    model.train()

    def work(forward: Forward) -> list[Tensor]:
        logits_BKDHW = forward(image_BCDHW)
        return list(torch.autograd.grad((logits_BKDHW.float() * weight_BKDHW).mean(), parameters))

    return _rows_by_format(f"forward and backward {patch}³", work, model, reference, device, repeats)


def _rows_by_format(
    name: str,
    work: Callable[[Forward], list[Tensor]],
    model: nn.Module,
    reference: Callable[..., Tensor],
    device: torch.device,
    repeats: int,
) -> list[Row]:
    """``work`` with our forward pass and with the reference's, in each number format of the device."""

    def timed(forward: Forward, dtype: torch.dtype, times: int) -> Measured[list[Tensor]]:
        def cast(image_BCDHW: Tensor) -> Tensor:
            with _autocast(device, dtype):
                return forward(image_BCDHW)

        return _best(lambda: work(cast), device, times)

    own, plain = {}, {}
    for dtype in _formats(device):
        timed(model, dtype, 1)  # the first call tunes kernels
        own[dtype] = timed(model, dtype, repeats)
        plain[dtype] = timed(lambda image_BCDHW: reference(model, image_BCDHW), dtype, repeats)
    rows = []
    for ours, theirs in _pairs(list(own)):
        results = [torch.cat([each.flatten() for each in run.result]) for run in (own[ours], plain[theirs])]
        pair = f"{name}, {_short(ours)} against {_short(theirs)}"
        rows.append(_row(pair, own[ours], plain[theirs], _relative(*results)))
    return rows


def _pairs(formats: list[torch.dtype]) -> list[tuple[torch.dtype, torch.dtype]]:
    """Which of ours is compared with which of the reference's."""
    fp32, bf16 = torch.float32, torch.bfloat16
    return [(fp32, fp32), (bf16, fp32), (bf16, bf16)] if bf16 in formats else [(fp32, fp32)]


def _short(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}[dtype]


def _autocast(device: torch.device, dtype: torch.dtype) -> Any:
    return torch.autocast(device.type, dtype) if dtype is torch.bfloat16 else nullcontext()


# --- window


def _scan(size_DHW: Size, where: str) -> Tensor:
    """A prepared scan of organs in a body, in [0, 1]; 40 % of the voxels are air at the lower bound."""
    _, organs_DHW = _reference("metrics_reference").organ_maps(size_DHW, 13, seed=0)
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
        return image_BCDHW * torch.arange(_CLASSES, device=image_BCDHW.device).reshape(1, -1, 1, 1, 1)


def _windows_alone_row(size_DHW: Size, patch: int, overlap: float, device: torch.device, repeats: int) -> Row:
    image_DHW = _scan(size_DHW, "around").to(device)
    edges = (patch,) * 3
    with torch.inference_mode():
        ours = _best(lambda: predict_labels(_Free(), image_DHW, edges, overlap, _CLASSES).cpu(), device, repeats)
        theirs = _best(
            lambda: _monai_logits(_Free(), image_DHW, edges, overlap).argmax(0).to(torch.uint8).cpu(), device, repeats
        )
    differ = (ours.result != theirs.result).float().mean().item()
    return _row(f"windows alone, {_by(size_DHW)}", ours, theirs, differ)


def _scan_row(
    image_DHW: Tensor, size_DHW: Size, where: str, patch: int, overlap: float, device: torch.device, repeats: int
) -> Row:
    model, edges = _opinionated(patch, device), (patch,) * 3
    order = sweep_order(tuple(image_DHW.shape), edges)  # type: ignore[arg-type]

    def own() -> Tensor:
        slabs = sliding_window(model, image_DHW, edges, overlap, num_classes=_CLASSES, order=order, device=device)
        native = (size_DHW[order[0]], size_DHW[order[1]], size_DHW[order[2]])
        swept = labels_on_grid(slabs, image_DHW.shape[order[0]], native)
        return swept.permute([order.index(axis) for axis in range(3)])

    def plain() -> Tensor:
        logits_KDHW = _monai_logits(model, image_DHW, edges, overlap)
        return _plain_labels(logits_KDHW, size_DHW)

    air = (image_DHW == image_DHW.min()).float().mean().item()
    # In fp32: under autocast MONAI weighs the logits in bf16 and sums rounded numbers.
    with torch.inference_mode():
        ours, theirs = _best(own, device, repeats), _best(plain, device, repeats)
    differ = (ours.result != theirs.result).float().mean().item()
    name = f"scan of {_by(size_DHW)}, {air:.0%} air {where} the patient"
    return _row(name, ours, theirs, differ)


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
    _, organs_DHW = _reference("metrics_reference").organ_maps(half, _CLASSES - 1, seed=0)
    logits_KDHW = torch.stack([torch.from_numpy(organs_DHW == each).float() for each in range(_CLASSES)])
    # Smooth, as a network's logits are: organs fade into each other over some voxels.
    logits_KDHW = nn.functional.avg_pool3d(logits_KDHW[None], 5, stride=1, padding=2)[0].to(device)
    slabs = [Slab(at, min(at + 16, half[0]), logits_KDHW[:, at : at + 16]) for at in range(0, half[0], 16)]
    with torch.inference_mode():
        ours = _best(lambda: labels_on_grid(slabs, half[0], size_DHW), device, repeats)
        theirs = _best(lambda: _plain_labels(logits_KDHW, size_DHW), device, repeats)
    name = f"logits of {_by(half)} to labels of {_by(size_DHW)}"
    return _row(name, ours, theirs, (ours.result != theirs.result).float().mean().item())


def _by(size: Sequence[int]) -> str:
    return "x".join(str(n) for n in size)


def _opinionated(patch: int, device: torch.device) -> nn.Module:
    """The demo's teacher with random weights, which sees many classes and not background everywhere."""
    torch.manual_seed(0)
    model = build_model("autosam_demo", in_channels=1, num_classes=_CLASSES, patch=(patch,) * 3)
    nn.init.zeros_(model.decoder.classify.bias)  # type: ignore[arg-type, union-attr]
    return model.to(device).eval()


# --- loader


def scans_in_btcvs_layout(root: Path, cases: int, shape_DHW: Size) -> None:
    """Write scans in BTCV's layout and at its spacing, which preparation keeps."""
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    for number in range(1, cases + 1):
        _, organs_DHW = _reference("metrics_reference").organ_maps(shape_DHW, 13, seed=number)
        hu_DHW = 40 + 10.0 * organs_DHW + np.random.default_rng(number).normal(0, 12, shape_DHW)
        hu_DHW[:, :20] = hu_DHW[:, -20:] = -1000
        for part, array_DHW in (("imagesTr/img", hu_DHW.astype(np.int16)), ("labelsTr/label", organs_DHW)):
            nib.save(nib.Nifti1Image(array_DHW.transpose(2, 1, 0), affine), root / f"{part}{number:04d}.nii.gz")


def _monai_patches(
    image_DHW: Tensor, label_DHW: Tensor, patch: int, description: DatasetDescription
) -> Callable[[], Any]:
    """The same kind of patch by MONAI's transforms, on whole arrays held in memory."""
    chances = description.augmentation
    keys, edges = ("image", "label"), (patch,) * 3
    steps = [
        transforms.RandCropByPosNegLabeld(keys, "label", edges, num_samples=1),
        *(transforms.RandFlipd(keys, prob=chances.flip, spatial_axis=axis) for axis in range(3)),
        transforms.RandRotated(
            keys, range_x=np.deg2rad(15), prob=chances.rotate, mode=("bilinear", "nearest"), padding_mode="border"
        ),
        transforms.RandScaleIntensityd("image", 0.1, prob=chances.intensity_scale),
        transforms.RandShiftIntensityd("image", 0.1, prob=chances.intensity_shift),
    ]
    chain = transforms.Compose(steps).set_random_state(0)
    whole = {"image": image_DHW[None], "label": label_DHW[None]}
    return lambda: chain(dict(whole))


def _seconds_each(work: Callable[[int], Any], count: int) -> list[float]:
    seconds = []
    for index in range(count):
        started = time.perf_counter()
        work(index)
        seconds.append(time.perf_counter() - started)
    return seconds


def _waits(patches: PatchDataset, step_s: float, steps: int = 100) -> list[float]:
    """Seconds that each step of a loop waits for its patch, after the loader has started."""
    batches = iter(torch.utils.data.DataLoader(patches, num_workers=2, prefetch_factor=4))
    next(batches)
    waits = []
    for _ in range(steps):
        time.sleep(step_s)
        started = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - started)
    return waits
