"""Do the exported files, read back, answer as torch does? Measured on a window and on whole scans, and required.

The reference is the published class in torch and fp32. A runtime's logits are compared in fp32 with a reference whose
weights have the precision of the runtime's file, so that what is measured is the conversion; what the file's precision
and bf16 do is measured where it counts, in the labels of whole scans, all windows of which are computed.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from autosam_inference.bundle.contents import RuntimeParity
from autosam_inference.card import ModelCard
from autosam_inference.model import TrainedModel
from autosam_inference.prediction import predict
from autosam_inference.runtimes.chosen import RuntimeName
from autosam_inference.runtimes.openvino import OpenVinoRuntime
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.scans.scan import Scan, read_scan
from autosam_platform.export.examples import dice_by_id
from autosam_platform.export.network import ExportError
from autosam_platform.workspace import EvaluationFolder

LOGITS, LABELS, DICE_POINTS = 1e-3, 0.999, 0.1
"""Largest difference of a logit in fp32, least share of equal labels, largest difference of the mean Dice in points."""
LOGITS_SHARE = 2e-4
"""Largest difference as a share of the largest logit, where that allows more than ``LOGITS``.

Where the coarsest map has two voxels, its instance norm makes much of fp32's rounding: 9e-4 of 16 were measured.
"""

_NOISE = 0.05  # standard deviation, in what the network sees
_OVERLAP = 0.25  # of the windows: as good a comparison as any other, and the quickest


@dataclass(frozen=True)
class Case:
    """A scan with its truth, in the ids of the classes, on the scan's own grid."""

    scan: Scan
    truth_DHW: NDArray[np.uint8]


def evaluated_cases(evaluation: EvaluationFolder, count: int) -> list[Case]:
    """The first ``count`` cases of an evaluation whose scan and truth are there."""
    found: list[Case] = []
    for case_id in evaluation.case_ids:
        image, truth = evaluation.files(case_id)
        if len(found) < count and image.is_file() and truth is not None and truth.is_file():
            found.append(Case(read_scan(image), read_scan(truth).volume.array_DHW.astype(np.uint8)))
    return found


def measured(place: Path, network: nn.Module, cases: Sequence[Case]) -> dict[str, RuntimeParity]:
    """The parity of each runtime of the bundle at ``place``.

    Args:
        network: the published class in torch, in evaluation mode.
        cases: scans to compare labels on.
    """
    names: tuple[RuntimeName, ...] = ("openvino", "onnx")
    models = {name: TrainedModel.load(place, runtime=name, overlap=_OVERLAP) for name in names}
    card = models["openvino"].card
    window_BCDHW = _window(models["openvino"], cases)
    reference = TrainedModel(card, TorchRuntime(network), _OVERLAP)
    expected = [predict(reference, case.scan, coarse=False).label_DHW for case in cases]
    found: dict[str, RuntimeParity] = {}
    for name, model in models.items():
        logits, largest = _logits(model, network, window_BCDHW)
        labels = [predict(model, case.scan, coarse=False).label_DHW for case in cases]
        found[name] = _parity(model, cases, expected, labels, logits, largest)
    return found


def require_parity(parity: dict[str, RuntimeParity]) -> None:
    """Refuse a bundle whose runtimes answer otherwise than torch.

    Raises:
        ExportError: names the runtime, the figure and its limit.
    """
    for name, each in parity.items():
        faults = []
        allowed = max(LOGITS, LOGITS_SHARE * each.largest_logit)
        if not each.logits <= allowed:  # NaN too
            faults.append(f"logits differ by {each.logits:.2g} (at most {allowed:.2g})")
        if each.labels is not None and each.labels < LABELS:
            faults.append(f"{100 * each.labels:.2f} % of the labels of {each.scans} scans agree (at least 99.9 %)")
        if each.dice is not None and abs(each.dice) > DICE_POINTS:
            faults.append(f"the mean Dice differs by {each.dice:+.2f} points (at most {DICE_POINTS:g})")
        if faults:
            raise ExportError(
                f"{name} does not answer as torch does: {'; '.join(faults)}. Nothing was exported. The versions of "
                "torch, openvino and onnx that it was tested with are in constraints.txt; with these it is a fault of "
                "the export, and worth a report."
            )


def _window(model: TrainedModel, cases: Sequence[Case]) -> NDArray[np.float32]:
    """The middle of the first scan as the network sees it, with a little noise; noise alone where there is no scan.

    Where a map is the same all over, as of air, instance norms make rounding as large as anything: 4e-3 of 9 on a CPU
    with AVX2, 1e-4 with the noise. Labels are compared on scans as they are.
    """
    patch = model.card.patch
    noise_DHW = np.random.default_rng(0).normal(size=patch).astype(np.float32)
    if not cases:
        return noise_DHW[None, None]
    image_DHW = model.prepare(cases[0].scan.volume)
    window_DHW = np.full(patch, model.pad_value, np.float32)
    starts = [max((n - edge) // 2, 0) for n, edge in zip(image_DHW.shape, patch, strict=True)]
    d, h, w = (slice(start, start + edge) for start, edge in zip(starts, patch, strict=True))
    middle_DHW = image_DHW[d, h, w]
    d, h, w = (slice(0, n) for n in middle_DHW.shape)
    window_DHW[d, h, w] = middle_DHW
    return (window_DHW + _NOISE * noise_DHW)[None, None]


def _logits(model: TrainedModel, network: nn.Module, window_BCDHW: NDArray[np.float32]) -> tuple[float, float]:
    """Largest difference in fp32, and the largest logit."""
    runtime = model.runtime
    if isinstance(runtime, OpenVinoRuntime):
        network = _with_fp16_weights(network)
        found = OpenVinoRuntime(runtime.model, "fp32").logits(window_BCDHW)
    else:
        found = runtime.logits(window_BCDHW)
    with torch.inference_mode():
        expected = network(torch.from_numpy(window_BCDHW)).numpy()
    return float(np.abs(found - expected).max()), float(np.abs(expected).max())


def _with_fp16_weights(network: nn.Module) -> nn.Module:
    rounded = copy.deepcopy(network)
    for parameter in rounded.parameters():
        parameter.data = parameter.data.half().float()
    return rounded


def _parity(
    model: TrainedModel,
    cases: Sequence[Case],
    expected: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.uint8]],
    logits: float,
    largest: float,
) -> RuntimeParity:
    runtime = model.runtime
    computed_in: Literal["bf16", "fp32"] = runtime.format if isinstance(runtime, OpenVinoRuntime) else "fp32"
    if not cases:
        return RuntimeParity(format=computed_in, logits=logits, largest_logit=largest)
    same = sum(int(np.count_nonzero(one == other)) for one, other in zip(expected, labels, strict=True))
    truths = [case.truth_DHW for case in cases]
    return RuntimeParity(
        format=computed_in,
        logits=logits,
        largest_logit=largest,
        labels=same / sum(each.size for each in expected),
        dice=100 * (mean_dice(labels, truths, model.card) - mean_dice(expected, truths, model.card)),
        scans=len(cases),
    )


def mean_dice(labels: Sequence[NDArray[np.uint8]], truths: Sequence[NDArray[np.uint8]], card: ModelCard) -> float:
    """Mean over organs of the mean over the scans that show the organ; 0 where none shows any."""
    scores = [dice_by_id(label, truth) for label, truth in zip(labels, truths, strict=True)]
    means = []
    for each in card.classes:
        known = [score[each.id] for score, truth in zip(scores, truths, strict=True) if np.any(truth == each.id)]
        means += [sum(known) / len(known)] if known else []
    return sum(means) / len(means) if means else 0.0
