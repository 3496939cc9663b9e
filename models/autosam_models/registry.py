"""Models by name: what there is, what each one can be told, and how to build it.

A model is known by the place of its builder, so that names, options and sizes are there without torch, which is
imported when a model is built.
"""

import importlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from autosam_models.published import Published


@dataclass(frozen=True)
class ModelCard:
    """What ``python -m autosam_models`` says of a model.

    Attributes:
        name: what ``build_model`` is asked for.
        role: its place in the paper: ``teacher``, ``student``, ``baseline``, or ``prompted``, of SAM itself.
        parameters: how many it has, for one image channel and K = 14.
        trained_parameters: how many of them training changes, once it has the weights that it starts from.
        source: where the architecture and its sizes come from.
    """

    name: str
    role: str
    parameters: int
    trained_parameters: int
    source: str


@dataclass(frozen=True)
class Model(ModelCard):
    """A named model.

    Attributes:
        builder: ``module:name`` of what makes the network from keyword arguments, ``in_channels`` and ``num_classes``
            among them.
        defaults: this model's keyword arguments.
        options: names of the arguments that ``build_model`` lets its caller set; ``patch`` is always one.
        publisher: ``module:name`` of what describes the network by its authors' own class (``published``) from the same
            arguments as the builder; None where no package has such a class.
        freezer: ``module:name`` of what freezes, in a built model, all that is not trained; only for models that need
            a file to do so by themselves.
    """

    builder: str
    defaults: Mapping[str, Any]
    options: tuple[str, ...]
    publisher: str | None = None
    freezer: str | None = None

    @property
    def prompted(self) -> bool:
        """Is it asked by prompts, one slice and organ at a time, and not by a patch alone?"""
        return self.role == "prompted"

    @property
    def card(self) -> ModelCard:
        """What is said of it in lists."""
        return ModelCard(self.name, self.role, self.parameters, self.trained_parameters, self.source)

    @property
    def exportable(self) -> bool:
        """Is there a class of its authors in a package, which other programs can build?"""
        return self.publisher is not None

    def build(self, **arguments: Any) -> "nn.Module":
        """The network from exactly these arguments."""
        network: nn.Module = _imported(self.builder)(**arguments)
        return network

    def published(self, **arguments: Any) -> "Published | None":
        """The network from these arguments by its authors' own class; None where no package has it."""
        if self.publisher is None:
            return None
        described: Published = _imported(self.publisher)(**(dict(self.defaults) | arguments))
        return described

    def as_trained(self, network: "nn.Module") -> None:
        """Put a built network into the state in which it is trained, without the file that this may need."""
        if self.freezer is not None:
            _imported(self.freezer)(network)

    def check_checkpoint(self, checkpoint: str, **options: Any) -> None:
        """Refuse a file that the network with these options could not start from; no memory is taken for its weights.

        Raises:
            FileNotFoundError, ValueError: there is no such file, it is none of weights, or those of another network.
        """
        import torch

        with torch.device("meta"), warnings.catch_warnings():
            # For every tensor of the checkpoint: nothing is copied into a network without memory, which is the purpose.
            warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter")
            self.build(**{**self.defaults, **options, "in_channels": 1, "num_classes": 2, "checkpoint": checkpoint})

    def check_options(self, options: Iterable[str]) -> None:
        """Refuse names of options that this model has not.

        Raises:
            ValueError: names them, and those there are.
        """
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            known = ", ".join(sorted(self.options))
            raise ValueError(f"{self.name} has no option {', '.join(unknown)}. It has: {known}.")


_MODELS: dict[str, Model] = {}


def register(model: Model) -> None:
    """Make a model known under its name.

    Raises:
        ValueError: the name is taken, or the model cannot be told its patch.
    """
    if model.name in _MODELS:
        raise ValueError(f"There is a model named {model.name!r} already.")
    if "patch" not in model.options:
        raise ValueError(f"{model.name!r} has no option 'patch', which every model must have.")
    _MODELS[model.name] = model


def model_names() -> list[str]:
    """Names of all models."""
    return sorted(_MODELS)


def find_model(name: str) -> Model:
    """What is registered under ``name``.

    Raises:
        ValueError: nothing is.
    """
    if name not in _MODELS:
        raise ValueError(f"There is no model named {name!r}. There are: {', '.join(model_names())}.")
    return _MODELS[name]


def model_cards() -> list[ModelCard]:
    """The card of every model, by name."""
    return [_MODELS[name].card for name in model_names()]


def build_model(name: str, *, in_channels: int, num_classes: int, **options: Any) -> "nn.Module":
    """Build a model: ``image_BCDHW`` in, ``logits_BKDHW`` of the same D, H, W out (``prompted``: see ``PromptedSam``).

    One with ``deep_supervision`` gives a tuple of them while it is in training mode: of that size first, then coarser
    ones, for training alone.

    Args:
        name: one of ``python -m autosam_models``.
        in_channels: C, channels of the image.
        num_classes: K, background included.
        options: what this model can be told. All have ``patch=(D, H, W)``, the training patch in voxels.

    Raises:
        ValueError: there is no such model or option, or an option's value does not fit.
    """
    model = find_model(name)
    model.check_options(options)
    return model.build(in_channels=in_channels, num_classes=num_classes, **(dict(model.defaults) | options))


def trained_parameters(model: "nn.Module") -> "list[nn.Parameter]":
    """The parameters that training changes: what an optimiser is to be given."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _imported(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
