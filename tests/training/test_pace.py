"""How long a step takes is measured of every kind of network, a batch in parts too."""

import pytest

from autosam_platform.experiment import Experiment
from autosam_platform.training.pace import seconds_per_step


@pytest.mark.parametrize(
    ("name", "options"),
    [("unet_nano", {}), ("nnformer", {"width": 24, "heads": 3})],  # the second gives several answers in training
)
def test_a_step_is_timed(name: str, options: dict[str, int]) -> None:
    described = {
        "model": {"name": name, "patch_DHW": (32, 32, 32), "options": options},
        "training": {"batch": 2},
        "compute": {"accumulate": 2},
    }
    seconds = seconds_per_step(Experiment.model_validate(described), num_classes=3)
    assert seconds is not None and seconds > 0
