"""torch as the runtime: on a GPU where there is one, in bf16 where the hardware has it."""

import functools
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import load_file
from torch import Tensor, nn

from autosam_inference.arrays import Array
from autosam_inference.bundle.card import WEIGHTS as BUNDLE_WEIGHTS
from autosam_inference.bundle.card import BundleError
from autosam_inference.bundle.opened import Bundle
from autosam_inference.card import CARD, ModelCard, ModelFolderError, require_weights
from autosam_inference.errors import UserError
from autosam_models import build_model
from autosam_models.numerics import format_of
from autosam_models.weights import load_weights

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class TorchRuntime:
    """See ``runtimes.Runtime``; its answers are tensors on ``device``.

    Attributes:
        network: ``image_BCDHW`` to ``logits_BKDHW``, in evaluation mode on ``device``.
        amp: type of autocast; None for whatever autocast the caller is in.
    """

    network: nn.Module
    device: torch.device = _CPU
    amp: torch.dtype | None = None

    @classmethod
    def load(cls, folder: Path, card: ModelCard, device: str | None = None) -> Self:
        """The network that ``card`` names, with the folder's weights.

        Args:
            device: such as ``cuda:1`` or ``cpu``; a GPU where there is one.

        Raises:
            ModelFolderError: the weights are missing, damaged, or those of another network.
            DeviceError: there is no such device.
        """
        place = _device(device)
        network = _network(folder, card).to(place).eval()
        return cls(network, place, _amp(place))

    @classmethod
    def from_bundle(cls, bundle: Bundle, device: str | None = None) -> Self:
        """The network that a bundle's card names, with the bundle's weights.

        Raises:
            BundleError: the weights are those of another network.
            DeviceError: there is no such device.
        """
        place, card = _device(device), bundle.card
        try:
            network = _built(card, read_tensors(bundle.read(BUNDLE_WEIGHTS)))
        except (SafetensorError, RuntimeError, ValueError) as error:
            raise BundleError(f"{bundle.place}: {BUNDLE_WEIGHTS} is not of {card.model.name} ({error}).") from None
        return cls(network.to(place).eval(), place, _amp(place))

    @torch.inference_mode()
    def logits(self, patches_BCDHW: Array) -> Tensor:
        """See ``runtimes.Runtime``."""
        image_BCDHW = torch.as_tensor(patches_BCDHW).contiguous().to(self.device)
        with torch.autocast(self.device.type, dtype=self.amp) if self.amp else nullcontext():
            logits_BKDHW: Tensor = self.network(image_BCDHW)
        return logits_BKDHW

    def synchronize(self) -> None:
        """See ``runtimes.Runtime``."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def use_threads(self, count: int) -> None:
        """See ``runtimes.Runtime``."""
        torch.set_num_threads(count)


class DeviceError(UserError):
    """A device that this machine, or this torch, does not have."""


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)  # whether it is there, torch says only then
    except (RuntimeError, AssertionError) as error:
        gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"the device '{name}' cannot be used ({reason}): take {' or '.join(['cpu', *gpus])}."
        ) from error
    if device.type == "meta":
        raise DeviceError(f"the device '{name}' holds no numbers: take cpu.")
    return device


def _amp(device: torch.device) -> torch.dtype | None:
    return torch.bfloat16 if format_of("auto", device) is torch.bfloat16 else None


def _built(card: ModelCard, weights: Mapping[str, Tensor]) -> nn.Module:
    """The network of the card with these weights; memory is taken for it only if they are its own.

    Raises:
        ValueError: there is no such network.
        RuntimeError: the weights are of another one.
    """
    build = functools.partial(
        build_model,
        card.model.name,
        in_channels=1,
        num_classes=card.num_classes,
        patch=card.patch,
        **card.model.options,
    )
    with torch.device("meta"):  # has shapes, and no memory
        load_weights(build(), {name: torch.empty(tensor.shape) for name, tensor in weights.items()})
    network: nn.Module = build()
    load_weights(network, weights)
    return network


def _network(folder: Path, card: ModelCard) -> nn.Module:
    path = require_weights(folder, card)
    try:
        return _built(card, load_file(path))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise ModelFolderError(
            f"{path} does not hold the weights of {card.model.name} as {CARD} describes it ({error}): "
            "copy both files again from the same run"
        ) from None
