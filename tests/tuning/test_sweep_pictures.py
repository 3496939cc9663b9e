"""Pictures of a sweep exist in the size that their panels need, whatever was tried."""

from pathlib import Path

import pytest
from PIL import Image

from autosam_platform.evaluation.paper import dice_by_lambda
from autosam_platform.tuning.pictures import KD_LAMBDA, save_curve, save_front, save_importances
from autosam_platform.tuning.space import FloatParameter
from autosam_platform.tuning.trials import Trial


def _trial(number: int, name: str, value: float) -> Trial:
    dice, size = 0.5 + value / 10, 1000 * number
    return Trial(number=number, values={name: value}, state="finished", dice=dice, trained_parameters=size)


@pytest.mark.parametrize(("name", "log", "width"), [(KD_LAMBDA, False, 1200), ("training.learning_rate", True, 600)])
def test_lambda_has_the_papers_table_beside_it(tmp_path: Path, name: str, log: bool, width: int) -> None:
    parameter = FloatParameter(type="float", low=0.1, high=1, log=log)
    trials = [_trial(number, name, value) for number, value in enumerate((1.0, 0.2), 1)]
    save_curve(tmp_path / "curve.png", name, parameter, trials, "title")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == (width, 400) and len(picture.convert("L").getcolors() or []) > 10


def test_the_papers_best_lambda_is_a_half() -> None:
    assert max(dice_by_lambda(), key=lambda value: dice_by_lambda()[value]) == 0.5
    assert list(dice_by_lambda()) == [0.0, 0.2, 0.5, 0.8, 1.0]


def test_front_and_importances_are_drawn(tmp_path: Path) -> None:
    trials = [_trial(number, "a", 0.1) for number in (1, 2)]
    save_front(tmp_path / "pareto.png", trials, trials[:1], "title")
    save_importances(tmp_path / "importances.png", {"a": 0.7, "b": 0.3}, "title")
    for name in ("pareto.png", "importances.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.size[0] == 800
