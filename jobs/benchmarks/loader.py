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

from autosam_inference import files
from autosam_platform.cluster import connect
from autosam_platform.data import store
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.patches import PatchDataset
from autosam_platform.data.preparation import Preparation, prepare
from autosam_platform.workspace import Workspace
from benchmarks.comparison import Row
from benchmarks.job import BenchmarkJob
from benchmarks.synthetic import scans_in_btcvs_layout

_PATCHES = 400
"""Of the two cases, for what their hashes cost: as many a case as in the paper's 200 epochs."""


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
        compared, trusted = _with_and_without_hashes(patches)
        torch.set_num_threads(threads)
        waits = _waits(patches, step_s=0.1)
    return [
        Row(f"patch of {patch}³, median", float(np.median(ours)), float(np.median(theirs)), None, None, None),
        Row(f"patch of {patch}³, slowest", max(ours), max(theirs), None, None, None),
        Row(
            f"{_PATCHES} patches of 2 cases, files compared or not",
            compared,
            trusted,
            None,
            None,
            None,
        ),
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


def _with_and_without_hashes(patches: PatchDataset) -> tuple[float, float]:
    """Seconds for the same patches, in turn: with every file compared when it is first read, and with none compared."""
    own = store.require_intact
    files._hash_of.cache_clear()  # of files that were read before
    seconds = {True: 0.0, False: 0.0}
    try:
        for index in range(_PATCHES):
            for compares in (bool(index % 2), not index % 2):
                store.require_intact = own if compares else _trust
                seconds[compares] += sum(_seconds_each(lambda _, index=index: patches[index % len(patches)], 1))  # type: ignore[misc]
    finally:
        store.require_intact = own
    return seconds[True], seconds[False]


def _trust(path: Path, expected: str) -> None:
    """What ``require_intact`` is without a comparison."""


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
