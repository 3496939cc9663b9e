"""The network that is exported: its authors' own class with our weights, for windows of one size."""

from dataclasses import dataclass

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from autosam_inference.card import ModelCard
from autosam_inference.errors import UserError
from autosam_models import find_model
from autosam_models.published import Published
from autosam_models.sizes import Size
from autosam_platform.workspace import RunFolder


class ExportError(UserError):
    """A run that cannot be exported; the message says why, and what to do."""


@dataclass(frozen=True)
class PublishedModel:
    """A run's network as its authors' class has it.

    Attributes:
        published: how that class builds it.
        network: ``image_BCDHW`` of the card's patch to ``logits_BKDHW``, in evaluation mode.
    """

    published: Published
    network: "FixedPatch"


class FixedPatch(nn.Module):
    """A network of one size behind what makes it take another: pad at the far ends with the border, crop.

    Args:
        network: for images of ``size``.
        patch: D, H, W that it is asked for, ``size`` at most.
    """

    def __init__(self, network: nn.Module, size: Size, patch: Size) -> None:
        super().__init__()
        self.network, self.patch = network, patch
        self.padding = [gap for axis in (2, 1, 0) for gap in (0, size[axis] - patch[axis])]

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        """Segment an image of ``patch``."""
        depth, height, width = self.patch
        padded = any(self.padding)
        image_BCDHW = F.pad(image_BCDHW, self.padding, mode="replicate") if padded else image_BCDHW
        logits_BKDHW: Tensor = self.network(image_BCDHW)
        return logits_BKDHW[:, :, :depth, :height, :width] if padded else logits_BKDHW


def published_model(run: RunFolder) -> PublishedModel:
    """The run's network with its weights.

    Raises:
        ExportError: it is one of ours, which no other program can build.
    """
    card = run.card
    published = _published(card)
    network = published.build()
    published.load(network, load_file(run.weights))
    return PublishedModel(published, FixedPatch(network, published.size, card.patch).eval())


def _published(card: ModelCard) -> Published:
    model = find_model(card.model.name)
    arguments = {"in_channels": 1, "num_classes": card.num_classes, "patch": card.patch} | card.model.options
    published = model.published(**arguments)
    if published is None:
        raise ExportError(
            f"{card.run_id} is a {model.role} ({model.name}), a network of our own that stays in the lab: distil a "
            "student from it (jobs/distill_student.py --teacher RUN), and export that."
        )
    return published
