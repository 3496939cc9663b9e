"""The runtime of a name, its library imported now and not before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from autosam_inference.bundle import Bundle
from autosam_inference.card import ModelCard
from autosam_inference.errors import UserError
from autosam_inference.runtimes import Runtime

RuntimeName = Literal["openvino", "onnx", "torch"]

_PACKAGES = {
    "openvino": "openvino",
    "onnx": "'autosam-adapter-platform[onnx]'",
    "torch": "'autosam-adapter-platform[train]'",
}


class RuntimeMissingError(UserError):
    """A runtime that is not installed, or that cannot do what is asked; the message says what to do."""


def runtime_of(bundle: Bundle, name: RuntimeName, device: str | None = None) -> Runtime:
    """What computes the logits of a bundle's network.

    Raises:
        RuntimeMissingError: it is not installed, or a device is named of one that computes on the CPU alone.
        BundleError: it cannot read the bundle's network.
    """
    if name != "torch" and device not in (None, "cpu"):
        raise RuntimeMissingError(f"the runtime {name} computes on the cpu, not on '{device}': torch takes a device.")
    with _installed(name):
        if name == "openvino":
            from autosam_inference.runtimes.openvino import OpenVinoRuntime

            return OpenVinoRuntime.load(bundle)
        if name == "onnx":
            from autosam_inference.runtimes.onnx import OnnxRuntime

            return OnnxRuntime.load(bundle)
        from autosam_inference.runtimes.pytorch import TorchRuntime

        return TorchRuntime.from_bundle(bundle, device)


def runtime_of_run(model: Path, card: ModelCard, name: RuntimeName, device: str | None = None) -> Runtime:
    """What computes the logits of a run's network, which is torch.

    Raises:
        RuntimeMissingError: another one is asked for, or torch is not installed.
        ModelFolderError: the folder's weights are missing, damaged, or those of another network.
    """
    if name != "torch":
        raise RuntimeMissingError(
            f"{model} is a run's model, which torch computes; {name} takes a bundle: python jobs/export.py --run "
            f"{card.run_id} makes one."
        )
    with _installed(name):
        from autosam_inference.runtimes.pytorch import TorchRuntime

        return TorchRuntime.load(model, card, device)


@contextmanager
def _installed(name: RuntimeName) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise RuntimeMissingError(
            f"the runtime {name} needs {error.name}, which is not installed: pip install {_PACKAGES[name]}, or choose "
            "another runtime."
        ) from error
