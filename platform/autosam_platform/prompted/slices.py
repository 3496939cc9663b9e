"""A volume from its axial slices, each organ of which a prompted SAM is asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autosam_inference.stopwatch import Stopwatch
from autosam_models.prompted.sam import PromptedSam, as_seen
from autosam_platform.prompted.prompts import prompt_of

_MOST_SLICES = 8
_PIXELS = 1024**2


def slices_at_a_time(side: int) -> int:
    """Slices that are embedded together: one of SAM's own side of 1024 pixels, more of smaller ones."""
    return max(1, min(_MOST_SLICES, _PIXELS // side**2))


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
                pictures_B3HW = np.stack([network.picture(hu_DHW[number], hu_window) for number in numbers])
            embeddings_BCHW = network.embed(torch.from_numpy(pictures_B3HW).to(device))
            for number, embedding_CHW in zip(numbers, embeddings_BCHW, strict=True):
                seen_HW = _organs(network, embedding_CHW, as_seen(truth_DHW[number]), case_id, number)
                label_DHW[number] = as_seen(seen_HW)
    return label_DHW


def _organs(
    network: PromptedSam, embedding_CHW: Tensor, truth_HW: NDArray[np.uint8], case_id: str, number: int
) -> NDArray[np.uint8]:
    """Class ids of one slice, as it is seen."""
    organs = [int(each) for each in np.unique(truth_HW) if each]
    prompts_NP2 = np.stack([prompt_of(network.asking, truth_HW == organ, case_id, organ, number) for organ in organs])
    height, width = truth_HW.shape
    asked_NP2 = network.in_picture(prompts_NP2, (height, width)).to(embedding_CHW.device)
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
