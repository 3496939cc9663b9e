"""How long a step takes is measured of every kind of network, a batch in parts too; how many there are, as the loop has
them.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from several_sources import described

from autosam_platform.data.prepared import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.training.pace import seconds_per_step, steps_of
from autosam_platform.training.samples import PATCHES
from autosam_platform.training.sampling import EpochSampler


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


def _prepared(folder: Path, cases: list[str], **changes: Any) -> PreparedDataset:
    """As much of a dataset as the order of an epoch is made of."""
    record = SimpleNamespace(contents=SimpleNamespace(points={}))
    training = [SimpleNamespace(case_id=each, record=record) for each in cases]
    return cast(PreparedDataset, SimpleNamespace(description=described(folder, **changes), cases=lambda _: training))


@pytest.mark.parametrize(
    ("cases", "sources", "steps"),
    [
        (["ours_1", "ours_2", "kidneys_1"], {}, 20),  # 3 patches become 4, two of each source: two steps of 2
        (["ours_1", "ours_2", "ours_3"], {}, 10),  # of one source only
        (["1", "2", "3"], {"sources": [], "layout": "btcv"}, 10),
    ],
)
def test_a_fit_has_as_many_steps_as_the_loop_makes(
    tmp_path: Path, cases: list[str], sources: dict[str, Any], steps: int
) -> None:
    prepared = _prepared(tmp_path, cases, **sources)
    experiment = Experiment.model_validate({"training": {"epochs": 10, "batch": 2}})
    places = len(PATCHES.dataset(prepared, experiment))
    sampler = EpochSampler(places, batch=2, shares=1, rank=0, world=1, at_once=2)
    assert steps_of(experiment, prepared) == sampler.steps * 10 == steps


def test_slices_with_prompts_go_through_no_rounds_of_sources(tmp_path: Path) -> None:
    prepared = _prepared(tmp_path, ["ours_1", "ours_2", "kidneys_1"])
    described = {"model": {"name": "sam_demo", "patch_DHW": (1, 128, 128)}, "training": {"epochs": 10, "batch": 2}}
    assert steps_of(Experiment.model_validate(described), prepared) == 10
