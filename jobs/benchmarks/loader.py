"""Training patches with BTCV's augmentation, against MONAI's transforms on arrays in memory."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai import transforms
from torch import Tensor

from autosam_platform.cluster import connect
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.patches import PatchDataset
from autosam_platform.data.preparation import Preparation, prepare
from autosam_platform.workspace import Workspace
from benchmarks.comparison import Row
from benchmarks.job import BenchmarkJob
from benchmarks.synthetic import scans_in_btcvs_layout


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """Patches one at a time, and what a step of 100 ms waits for two workers; a loader works on the CPU."""
    patch = job.patch or 128
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


def _monai_patches(
    image_DHW: Tensor, label_DHW: Tensor, patch: int, description: DatasetDescription
) -> Callable[[], Any]:
    """Such patches by MONAI's transforms, from whole arrays held in memory."""
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
