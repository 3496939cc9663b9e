"""What MedSAM is tuned on: one organ of one slice, its prompt from the label, and the mask that it should give."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from autosam_inference.errors import UserError
from autosam_inference.stopwatch import Stopwatch
from autosam_models import find_model
from autosam_models.prompted.asking import Asking
from autosam_models.prompted.sam import PromptedSam, as_input, as_seen, in_picture, picture, resizing
from autosam_platform.data.prepared import PreparedDataset
from autosam_platform.data.store import StoredCase
from autosam_platform.experiment import Experiment
from autosam_platform.prompted.embeddings import StoredEmbeddings
from autosam_platform.prompted.prompts import box, points
from autosam_platform.prompted.slices import organ_slices, segment_slices
from autosam_platform.training.dice_and_entropy import dice_and_entropy
from autosam_platform.training.samples import Autocast
from autosam_platform.training.validation import mean_dice
from autosam_platform.training.workers import Workers

_ORDER, _SAMPLE = 0, 1  # streams of random numbers of an epoch


class NothingToTuneOnError(UserError):
    """Training cases without an organ that is large enough; the message says what to lower."""


class PromptedSlice(TypedDict):
    """What a prompted SAM is tuned on.

    ``image``: 3, S, S, or the embedding of that, C, h, w; float32. ``prompt``: P, 2, pixels (x, y) of the picture.
    ``label``: 1, S, S, uint8, 1 where the organ is.
    """

    image: Tensor
    prompt: Tensor
    label: Tensor
    case_id: str


class SliceDataset(Dataset[PromptedSlice]):
    """Organs of slices of the training cases that have any; ``samples_per_case`` of each in an epoch.

    A place ``index`` of an epoch always holds the same sample, on whatever worker or rank it is made. An organ of the
    case is drawn, each as likely as the others, then one of the slices that show it. Nothing is augmented, as MedSAM's
    training does not; what varies are the prompts: points anywhere inside, boxes with a margin of their own on each
    side.

    Args:
        side: of the picture, in pixels.
        seed: of the cases' order, the organs, the slices and the prompts.
        embeddings: stored ones, which take the place of the pictures.

    Raises:
        NothingToTuneOnError: no training case holds an organ of ``asking.smallest`` pixels in a slice.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        asking: Asking,
        side: int,
        samples_per_case: int,
        seed: int,
        embeddings: StoredEmbeddings | None,
    ) -> None:
        self._asking, self._side, self._seed, self._embeddings = asking, side, seed, embeddings
        self._window = asking.grey(prepared.description.hu_window)
        self._samples_per_case = samples_per_case
        self._epoch = 0
        shown = [(case, organ_slices(case, asking.smallest)) for case in prepared.cases("train")]
        self._cases = [(case, slices) for case, slices in shown if slices]
        if not self._cases:
            raise NothingToTuneOnError(
                f"{prepared.name} has no training case with an organ of {asking.smallest} pixels in a slice: lower the "
                "model's option smallest"
            )

    def __len__(self) -> int:
        return len(self._cases) * self._samples_per_case

    def set_epoch(self, epoch: int) -> None:
        """Every epoch has its own order and samples."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> PromptedSlice:
        if not 0 <= index < len(self):
            raise IndexError(f"place {index} of {len(self)}")
        turn, place = divmod(index, len(self._cases))
        order = np.random.default_rng([self._seed, self._epoch, _ORDER, turn]).permutation(len(self._cases))
        case, slices = self._cases[int(order[place])]
        rng = np.random.default_rng([self._seed, self._epoch, _SAMPLE, index])
        organ = sorted(slices)[int(rng.integers(len(slices)))]
        number = slices[organ][int(rng.integers(len(slices[organ])))]
        _, height, width = case.shape_DHW
        mask_HW = as_seen(case.label_patch((number, 0, 0), (1, height, width))[0] == organ)
        return {
            "image": self._image(case, number),
            "prompt": in_picture(self._prompt(mask_HW, rng), (height, width), self._side),
            "label": _in_picture(mask_HW, self._side),
            "case_id": case.case_id,
        }

    def _image(self, case: StoredCase, number: int) -> Tensor:
        if self._embeddings is not None:
            return self._embeddings.embedding(case.case_id, number)
        _, height, width = case.shape_DHW
        hu_HW = case.hu_patch((number, 0, 0), (1, height, width))[0]
        return as_input(picture(hu_HW, self._window, self._side), self._side)

    def _prompt(self, mask_HW: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self._asking.prompt == "box":
            return box(mask_HW, rng.integers(0, self._asking.training_margin + 1, 4))
        return points(mask_HW, self._asking.points, rng)


def _in_picture(mask_HW: np.ndarray, side: int) -> Tensor:
    """A mask on a slice as one on its picture, 1 × S × S; beside the slice nothing is."""
    height, width = resizing(side).get_preprocess_shape(*mask_HW.shape, side)
    mask_11HW = torch.from_numpy(mask_HW.astype(np.uint8))[None, None]
    resized_1HW = F.interpolate(mask_11HW, (height, width), mode="nearest-exact")[0]
    return F.pad(resized_1HW, (0, side - width, 0, side - height))


class MaskObjective(nn.Module):
    """Soft Dice plus cross entropy of one organ against all else: a softmax over (0, logit) is the logit's sigmoid."""

    def forward(self, logits_B1HW: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Losses of a batch with ``label`` of shape B × 1 × S × S."""
        logits_B1HW = logits_B1HW.float()
        both_B2HW = torch.cat([torch.zeros_like(logits_B1HW), logits_B1HW], dim=1)
        dice_B, entropy_B = dice_and_entropy(both_B2HW, batch["label"][:, 0].long())
        return {"loss": dice_B + entropy_B, "dice_loss": dice_B, "cross_entropy": entropy_B}


@dataclass(frozen=True)
class SliceSamples:
    """See ``training.samples.Samples``.

    Attributes:
        embeddings: stored ones, where the image encoder is not tuned.
    """

    embeddings: StoredEmbeddings | None = None

    def dataset(self, prepared: PreparedDataset, experiment: Experiment) -> SliceDataset:
        """See ``Samples``; ``training.patches_per_case`` are organs of slices here."""
        training, side = experiment.training, experiment.model.patch_DHW[1]
        return SliceDataset(
            prepared, experiment.asking, side, training.patches_per_case, training.seed, self.embeddings
        )

    def example(self, experiment: Experiment, device: torch.device) -> dict[str, Tensor]:
        """See ``Samples``."""
        batch, side = experiment.batch_at_once, experiment.model.patch_DHW[1]
        shape = (3, side, side)
        if self.embeddings is not None:
            shape = (find_model(experiment.model.name).defaults["prompt_channels"], side // 16, side // 16)
        prompt_BP2 = torch.zeros((batch, experiment.asking.corners, 2), device=device)
        return {"image": torch.zeros((batch, *shape), device=device), "prompt": prompt_BP2}

    def logits(self, network: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """See ``Samples``: B × 1 × S × S."""
        logits_B1HW: Tensor = network(batch["image"], batch["prompt"])
        return logits_B1HW

    def validate(
        self,
        model: nn.Module,
        prepared: PreparedDataset,
        experiment: Experiment,
        autocast: Autocast,
        workers: Workers,
    ) -> dict[str, float]:
        """See ``Samples``: on the prepared grid, with the prompts that an evaluation draws."""
        network = cast(PromptedSam, model)
        window = experiment.asking.grey(prepared.description.hu_window)

        def labels(case: StoredCase) -> Tensor:
            hu_DHW, truth_DHW = case.hu(), case.label().numpy()
            with autocast():
                return torch.from_numpy(
                    segment_slices(network, hu_DHW, truth_DHW, case.case_id, window, workers.device, Stopwatch())
                )

        return mean_dice(model, labels, prepared, workers)
