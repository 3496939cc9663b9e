"""What names a prompted run, and what a prompted model is refused for."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from autosam_platform.experiment import Experiment
from autosam_platform.training.size import ModelSettingsError, count_parameters


def experiment(training: dict[str, Any] | None = None, **options: Any) -> Experiment:
    model = {"name": "sam_demo", "patch_DHW": (1, 128, 128), "options": options}
    return Experiment.model_validate({"model": model, "training": training or {}})


def test_an_untuned_run_is_named_by_how_it_is_asked_and_not_by_a_training() -> None:
    name = experiment().run_id("data")
    assert experiment({"epochs": 7}).run_id("data") == name
    assert experiment(prompt="points", points=1).run_id("data") == name  # the defaults
    others = [experiment({"seed": 1}), experiment(points=3), experiment(prompt="box"), experiment(masks="best")]
    assert len({name, *(each.run_id("data") for each in others)}) == 5


def test_a_way_of_asking_that_there_is_not_is_refused_where_it_is_described() -> None:
    with pytest.raises(ValidationError, match="prompt 'mask' is not possible: choose points, box"):
        experiment(prompt="mask")


def test_a_patch_of_voxels_is_refused_before_anything_is_made_for_it() -> None:
    described = Experiment.model_validate({"model": {"name": "sam_demo"}})
    with pytest.raises(ModelSettingsError, match=r"sam_demo cannot be built so: .*--model\.patch-DHW 1 1024 1024"):
        count_parameters(described, 14)


def test_a_teacher_cannot_teach_it(tmp_path: Path) -> None:
    values = {"model": {"name": "sam_demo"}, "distillation": {"teacher": str(tmp_path), "kd_lambda": 0.5}}
    with pytest.raises(ValidationError, match="sam_demo is asked by prompts, organ by organ"):
        Experiment.model_validate(values)
