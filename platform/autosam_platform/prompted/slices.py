"""A volume from its axial slices, each organ of which a prompted SAM is asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autosam_inference.stopwatch import Stopwatch
from autosam_models.prompted.sam import PromptedSam, as_input, as_seen, in_picture, picture
from autosam_platform.data.store import StoredCase
from autosam_platform.prompted.prompts import prompt_of

_MOST_SLICES = 8
_PIXELS = 1024**2
_BYTES_A_TASK = 1 << 30  # interpreter, libraries
_BYTES_A_PIXEL = 5000  # of a picture in the encoder: what global attention of 4096 tokens takes in fp32, twice


def slices_at_a_time(side: int) -> int:
    """Slices that are embedded together: one of SAM's own side of 1024 pixels, more of smaller ones."""
    return max(1, min(_MOST_SLICES, _PIXELS // side**2))


def bytes_at_work(side: int, weights: int) -> int:
    """Bytes that a task needs at most beside a scan and its label maps.

    Args:
        side: of the picture, in pixels.
        weights: bytes of the network's.
    """
    return _BYTES_A_TASK + 2 * weights + _BYTES_A_PIXEL * side**2 * slices_at_a_time(side)


@torch.inference_mode()
def segment_slices(
    network: PromptedSam,
    hu_DHW: NDArray[Any],
    truth_DHW: NDArray[np.uint8],
    case_id: str,
    hu_window: tuple[int, int],
    device: torch.device,
    watch: Stopwatch,
) -> NDArray[np.uint8]:
    """Class ids where the network says that the organs of the truth are; slices without organs are not looked at.

    A pixel that several organs claim is of the one with the largest mask logit; of equal ones, of the smaller id.
    Pixels are taken as square, as SAM takes them.

    Args:
        hu_DHW: canonical, finite.
        truth_DHW: class ids that the prompts are drawn from.
        hu_window: what becomes black and white.
        watch: counts the pictures as ``resample`` and the network as ``network``.
    """
    with watch.phase("resample"):
        label_DHW = np.zeros(truth_DHW.shape, np.uint8)
        shown = [number for number, truth_HW in enumerate(truth_DHW) if truth_HW.any()]
    at_a_time = slices_at_a_time(network.side)
    with watch.phase("network"):
        for numbers in (shown[first : first + at_a_time] for first in range(0, len(shown), at_a_time)):
            with watch.phase("resample"):
                input_B3HW = inputs(hu_DHW, numbers, hu_window, network.side)
            embeddings_BCHW = network.embed(input_B3HW.to(device))
            for number, embedding_CHW in zip(numbers, embeddings_BCHW, strict=True):
                seen_HW = _organs(network, embedding_CHW, as_seen(truth_DHW[number]), case_id, number)
                label_DHW[number] = as_seen(seen_HW)
    return label_DHW


def inputs(hu_DHW: NDArray[Any], numbers: Sequence[int], hu_window: tuple[int, int], side: int) -> Tensor:
    """Some slices as the image encoder takes them: B × 3 × S × S."""
    return torch.stack([as_input(picture(hu_DHW[number], hu_window, side), side) for number in numbers])


def organ_slices(case: StoredCase, smallest: int) -> dict[int, list[int]]:
    """Of a prepared case, by the ids of organs, the slices that show so many pixels of them, if any does.

    Args:
        smallest: pixels, 1 or more.
    """
    counts_DK = np.stack([np.bincount(each_HW.ravel(), minlength=256) for each_HW in case.label().numpy()])
    shown = {organ: np.flatnonzero(counts_DK[:, organ] >= smallest).tolist() for organ in range(1, 256)}
    return {organ: numbers for organ, numbers in shown.items() if numbers}


def _organs(
    network: PromptedSam, embedding_CHW: Tensor, truth_HW: NDArray[np.uint8], case_id: str, number: int
) -> NDArray[np.uint8]:
    """Class ids of one slice, as it is seen."""
    organs = [int(each) for each in np.unique(truth_HW) if each]
    prompts_NP2 = np.stack([prompt_of(network.asking, truth_HW == organ, case_id, organ, number) for organ in organs])
    height, width = truth_HW.shape
    asked_NP2 = in_picture(prompts_NP2, (height, width), network.side).to(embedding_CHW.device)
    low_N1HW, _ = network.decode(embedding_CHW, asked_NP2, best=network.asking.masks == "best")
    logits_NHW = network.on_slice(low_N1HW, (height, width))[:, 0].cpu().numpy()
    return put_together(logits_NHW, organs)


def put_together(logits_NHW: NDArray[np.floating], organs: Sequence[int]) -> NDArray[np.uint8]:
    """The id of the organ with the largest mask logit, of equal ones the first; background where none is above 0.

    >>> put_together(np.array([[[2.0, -1.0, 3.0]], [[1.0, -2.0, 3.0]]]), [4, 6])
    array([[4, 0, 4]], dtype=uint8)
    """
    label_HW = np.array(organs, np.uint8)[logits_NHW.argmax(0)]
    label_HW[logits_NHW.max(0) <= 0] = 0
    return label_HW
