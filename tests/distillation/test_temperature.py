"""At which temperature a teacher is taken: found again where it is known, and used by every distance."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autosam_platform.distillation.distances import softened, squared_error
from autosam_platform.distillation.objective import DistillationObjective
from autosam_platform.distillation.temperature import calibrating_cases, fitted_temperature, telling_voxels
from autosam_platform.experiment import ConfigError

CLASSES = 4


def _answers(temperature: float, count: int = 60_000) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """A teacher that says softmax(temperature · logits) where softmax(logits) is the truth."""
    rng = np.random.default_rng(0)
    logits_KN = rng.normal(0, 1.5, (CLASSES, count))
    true_KN = np.exp(logits_KN) / np.exp(logits_KN).sum(0)
    label_N = (rng.random(count) > true_KN.cumsum(0)).sum(0)
    said_KN = np.exp(temperature * logits_KN) / np.exp(temperature * logits_KN).sum(0)
    stored_KN = np.rint(255 * said_KN).astype(np.uint8)
    return telling_voxels(stored_KN.reshape(CLASSES, 10, 10, -1), label_N.reshape(10, 10, -1))


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.8, 2.5, 3.0])
def test_the_temperature_of_a_teacher_that_is_too_sure_or_not_sure_enough_is_found(temperature: float) -> None:
    assert fitted_temperature(*_answers(temperature)) == pytest.approx(temperature, rel=0.05)


def test_a_teachers_own_training_cases_do_not_tell_how_sure_it_may_be() -> None:
    def prepared(*annotated: str) -> Any:
        cases = [SimpleNamespace(case_id=name) for name in ("a", "b", "c")]
        description = SimpleNamespace(annotated_ids=lambda case_id: (1,) if case_id in annotated else ())
        classes = [SimpleNamespace(id=1)]
        return SimpleNamespace(name="ours", description=description, classes=classes, cases=lambda split: cases)

    def teacher(*learnt: str) -> Any:
        return SimpleNamespace(name="fold-4", learnt=lambda prepared: set(learnt))

    found = calibrating_cases(teacher("a", "z"), prepared("a", "b"))
    assert [case.case_id for case in found] == ["b"]
    with pytest.raises(ConfigError, match="the teacher fold-4 was trained on all validation cases of ours"):
        calibrating_cases(teacher("a", "b"), prepared("a", "b"))
    with pytest.raises(ConfigError, match="ours has no validation case with all its organs"):
        calibrating_cases(teacher(), prepared())


def test_voxels_where_the_teacher_is_certain_and_right_change_nothing() -> None:
    stored_KN, label_N = _answers(1.8, 5_000)
    certain_KN = np.zeros((CLASSES, 50_000), np.uint8)
    certain_KN[0] = 255
    all_KN, all_N = np.concatenate([stored_KN, certain_KN], 1), np.concatenate([label_N, np.zeros(50_000, int)])
    kept_KN, kept_N = telling_voxels(all_KN[:, None, None], all_N[None, None])
    assert len(kept_N) == len(label_N) <= 5_000
    assert fitted_temperature(kept_KN, kept_N) == pytest.approx(fitted_temperature(all_KN, all_N), rel=1e-4)
    assert (
        fitted_temperature(*telling_voxels(certain_KN[:, :8].reshape(CLASSES, 2, 2, 2), np.zeros((2, 2, 2), int))) == 1
    )


def test_every_distance_is_to_the_teacher_at_that_temperature() -> None:
    """Two classes at T = 2: 0.2 and 0.8 become 1/3 and 2/3, since their roots are as 1 to 2."""
    assert softened(torch.tensor([[0.2], [0.8], [0.0]]).T[..., None], 2.0).flatten().tolist() == pytest.approx(
        [1 / 3, 2 / 3, 0]
    )
    batch = {
        "label": torch.ones(1, 1, 1, 1, 1),
        "annotated": torch.ones(1, 2, dtype=torch.bool),
        "probabilities": torch.tensor([51, 204], dtype=torch.uint8).view(1, 2, 1, 1, 1),
    }
    losses = DistillationObjective(0.0, squared_error, temperature=2.0)(torch.zeros(1, 2, 1, 1, 1), batch)
    assert losses["loss"].item() == pytest.approx((1 / 2 - 1 / 3) ** 2)
    agreeing = torch.tensor([1 / 3, 2 / 3]).log().view(1, 2, 1, 1, 1)
    assert DistillationObjective(0.0, squared_error, temperature=2.0)(agreeing, batch)["loss"].item() < 1e-12
