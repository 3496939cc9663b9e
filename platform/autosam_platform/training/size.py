"""How large the model of an experiment is."""

import torch

from autosam_inference.errors import UserError
from autosam_models import build_model, find_model, trained_parameters
from autosam_platform.experiment import Experiment


class ModelSettingsError(UserError):
    """A model that cannot be built as described; the message has the model's own reason."""


def count_parameters(experiment: Experiment, num_classes: int) -> tuple[int, int]:
    """All parameters of an experiment's model, and those that training changes; nothing is allocated.

    Raises:
        ModelSettingsError: the model cannot be built with these options, or for this patch.
    """
    section = experiment.model
    try:
        with torch.device("meta"):
            model = build_model(section.name, in_channels=1, num_classes=num_classes, **experiment.model_options())
    except ValueError as error:
        raise ModelSettingsError(f"{section.name} cannot be built so: {error}") from error
    if section.checkpoint is not None:
        find_model(section.name).as_trained(model)
    total = sum(parameter.numel() for parameter in model.parameters())
    return total, sum(parameter.numel() for parameter in trained_parameters(model))
