"""Models by name: what there is, what each one can be told, and how to build it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Model:
    """A named model.

    Attributes:
        name: what ``build_model`` is asked for.
        role: its place in the paper: ``teacher``, ``student`` or ``baseline``.
        source: where the architecture and its sizes come from.
        build: makes the network from keyword arguments, ``in_channels`` and ``num_classes`` among them.
        defaults: this model's keyword arguments.
        options: names of the arguments that ``build_model`` lets its caller set; ``patch`` is always one.
        as_trained: puts a built model into the state in which it is trained, so that its card can tell how many
            parameters that concerns; only for models that need a file to get there by themselves.
    """

    name: str
    role: str
    source: str
    build: Callable[..., nn.Module]
    defaults: Mapping[str, Any]
    options: tuple[str, ...]
    as_trained: Callable[[Any], None] = field(default=lambda model: None)

    def check_options(self, options: Iterable[str]) -> None:
        """Refuse names of options that this model has not.

        Raises:
            ValueError: names them, and those there are.
        """
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            known = ", ".join(sorted(self.options))
            raise ValueError(f"{self.name} has no option {', '.join(unknown)}. It has: {known}.")


@dataclass(frozen=True)
class ModelCard:
    """What ``python -m autosam_models`` says of a model; the counts are for one image channel and K = 14."""

    name: str
    role: str
    parameters: int
    trained_parameters: int
    source: str


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


def build_model(name: str, *, in_channels: int, num_classes: int, **options: Any) -> nn.Module:
    """Build a model: ``image_BCDHW`` in, ``logits_BKDHW`` of the same D, H, W out.

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


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that training changes: what an optimiser is to be given."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def model_cards() -> list[ModelCard]:
    """The card of every model, by name. Nothing is allocated: models are built on the meta device."""
    return [_card(_MODELS[name]) for name in model_names()]


def _card(entry: Model) -> ModelCard:
    with torch.device("meta"):
        model = build_model(entry.name, in_channels=1, num_classes=14)
    entry.as_trained(model)
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in trained_parameters(model))
    return ModelCard(entry.name, entry.role, total, trained, entry.source)
