"""Eq. 2 against numbers worked by hand and a plain formulation, voxel by voxel."""

import math

import pytest
import torch
from torch import Tensor, nn

from autosam_platform.distillation.distances import softened_divergence, squared_error
from autosam_platform.distillation.objective import DistillationObjective, build_objective
from autosam_platform.experiment import DistillationSection, TrainingSection
from autosam_platform.training.objectives import DeepSupervision, SegmentationObjective
from autosam_platform.training.places import divergence_of_places


def _batch(label_B1DHW: Tensor, teacher_BKDHW: Tensor) -> dict[str, Tensor]:
    annotated_BK = torch.ones(teacher_BKDHW.shape[:2], dtype=torch.bool)
    return {"label": label_B1DHW, "annotated": annotated_BK, "probabilities": teacher_BKDHW}


def _random(seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    logits_BKDHW = torch.randn(3, 4, 2, 3, 5, generator=generator)
    label_B1DHW = torch.randint(0, 4, (3, 1, 2, 3, 5), generator=generator)
    teacher_BKDHW = torch.randn(3, 4, 2, 3, 5, generator=generator).softmax(1).mul(255).round().to(torch.uint8)
    return logits_BKDHW, _batch(label_B1DHW, teacher_BKDHW)


def _plain(logits_KDHW: Tensor, teacher_KDHW: Tensor, kd_lambda: float, segmentation: float) -> float:
    """λ · L_seg + (1 − λ) · mean of (p − q)² over classes and voxels, one number at a time."""
    total, count = 0.0, 0
    classes, *size = logits_KDHW.shape
    for place in torch.cartesian_prod(*(torch.arange(n) for n in size)).tolist():
        logits = [float(logits_KDHW[k][tuple(place)]) for k in range(classes)]
        powers = [math.exp(each) for each in logits]
        for k in range(classes):
            total += (powers[k] / sum(powers) - float(teacher_KDHW[k][tuple(place)]) / 255) ** 2
            count += 1
    return kd_lambda * segmentation + (1 - kd_lambda) * total / count


def test_two_voxels_by_hand() -> None:
    """Two voxels, two classes; the student says 1/2 everywhere, the teacher 1 and 0, then 1/5 and 4/5.

    Squared differences ¼, ¼, 0.09, 0.09: mean 0.17. Labels: Dice loss ½, cross entropy ln 2 (see the tests of Eq. 1).
    """
    logits = torch.zeros(1, 2, 1, 1, 2)
    label = torch.tensor([0, 1]).view(1, 1, 1, 1, 2)
    teacher = torch.tensor([[255, 51], [0, 204]], dtype=torch.uint8).view(1, 2, 1, 1, 2)
    losses = DistillationObjective(0.25, squared_error)(logits, _batch(label, teacher))
    assert losses["distillation_loss"].item() == pytest.approx(0.17)
    assert losses["segmentation_loss"].item() == pytest.approx(0.5 + math.log(2), abs=1e-5)
    assert losses["loss"].item() == pytest.approx(0.25 * (0.5 + math.log(2)) + 0.75 * 0.17, abs=1e-5)


@pytest.mark.parametrize(("progress", "teacher"), [(0.0, 0.75), (0.5, 0.75), (0.75, 0.375), (0.9, 0.15), (1.0, 0.0)])
def test_a_teacher_that_fades_leaves_the_labels_the_last_word(progress: float, teacher: float) -> None:
    """λ = ¼, so that the teacher begins with ¾ of the loss; in the second half of the training it sinks to nothing."""
    logits, batch = _random()
    objective = DistillationObjective(0.25, squared_error, fade=0.5)
    losses = objective(logits, {**batch, "progress": progress})
    expected = (1 - teacher) * losses["segmentation_loss"] + teacher * losses["distillation_loss"]
    torch.testing.assert_close(losses["loss"], expected)


@pytest.mark.parametrize("kd_lambda", [0.0, 0.3, 1.0])
def test_equals_the_plain_formulation_for_each_sample(kd_lambda: float) -> None:
    logits, batch = _random()
    segmentation = SegmentationObjective()(logits, batch)["loss"].tolist()
    expected = [_plain(logits[i], batch["probabilities"][i], kd_lambda, segmentation[i]) for i in range(3)]
    losses = DistillationObjective(kd_lambda, squared_error)(logits, batch)
    assert losses["loss"].tolist() == pytest.approx(expected, abs=1e-6)


def test_at_one_the_gradient_is_that_of_the_labels_and_at_zero_they_have_none() -> None:
    logits, batch = _random()
    other = batch | {"label": (batch["label"] + 1) % 4}
    gradients = {}
    for name, kd_lambda, given in (("one", 1.0, batch), ("zero", 0.0, batch), ("zero, other labels", 0.0, other)):
        moving = logits.clone().requires_grad_()
        DistillationObjective(kd_lambda, squared_error)(moving, given)["loss"].sum().backward()
        gradients[name] = moving.grad
    labels_alone = logits.clone().requires_grad_()
    SegmentationObjective()(labels_alone, batch)["loss"].sum().backward()
    assert labels_alone.grad is not None and gradients["one"] is not None
    torch.testing.assert_close(gradients["one"], labels_alone.grad)
    assert torch.equal(gradients["zero"], gradients["zero, other labels"])
    assert not torch.allclose(gradients["zero"], gradients["one"])


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_softened_divergence_is_that_of_both_logits_at_the_temperature(temperature: float) -> None:
    """The teacher's logits are not stored; softmax(logits / T) comes from its probabilities all the same."""
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(2, 3, 2, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    p, q = (teacher / temperature).softmax(1), (student / temperature).softmax(1)
    expected_B = temperature**2 * (p * (p / q).log()).sum(1).flatten(1).mean(1)
    torch.testing.assert_close(softened_divergence(student, teacher.softmax(1), temperature), expected_B)


def test_a_teacher_that_is_certain_gives_finite_divergence_and_gradient() -> None:
    teacher = torch.zeros(1, 3, 1, 1, 2)
    teacher[:, 0] = 1
    logits = torch.randn(1, 3, 1, 1, 2, generator=torch.Generator().manual_seed(2), requires_grad=True)
    softened_divergence(logits, teacher, 2.0).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_the_description_chooses_the_distance() -> None:
    logits, batch = _random()
    teacher = batch["probabilities"].float() / 255
    for section, expected_B in (
        (DistillationSection(), squared_error(logits, teacher)),
        (DistillationSection(loss="kl", temperature=3), softened_divergence(logits, teacher, 3)),
    ):
        objective = build_objective(section, 1.0, TrainingSection())
        assert torch.equal(objective(logits, batch)["distillation_loss"], expected_B)


def test_places_are_a_part_of_the_labels_say_and_the_teachers_stays() -> None:
    logits, batch = _random()
    losses = build_objective(DistillationSection(kd_lambda=0.25), 1.0, TrainingSection(places=0.5))(logits, batch)
    labels_B = SegmentationObjective(0.5)(logits, batch)["loss"]
    torch.testing.assert_close(losses["segmentation_loss"], labels_B)
    torch.testing.assert_close(losses["loss"], 0.25 * labels_B + 0.75 * losses["distillation_loss"])


def test_a_teachers_answers_in_the_labels_place_ask_for_places_as_labels_do() -> None:
    """A teacher that is as sure as labels are: then the term is the labels' own."""
    logits, batch = _random()
    label_BDHW = batch["label"][:, 0].long()
    sure = nn.functional.one_hot(label_BDHW, logits.shape[1]).movedim(-1, 1).mul(255).to(torch.uint8)
    section = DistillationSection(loss="soft_labels")

    def distance(places: float) -> Tensor:
        objective = build_objective(section, 1.0, TrainingSection(places=places))
        return objective(logits, {**batch, "probabilities": sure})["distillation_loss"]

    expected_B = 0.75 * distance(0) + 0.25 * divergence_of_places(logits.float(), label_BDHW)
    torch.testing.assert_close(distance(0.25), expected_B)


def test_a_student_of_several_answers_is_held_against_the_teachers_mean_in_each_cell() -> None:
    generator = torch.Generator().manual_seed(3)
    full, half = (torch.randn(2, 3, n, 2 * n, n, generator=generator, requires_grad=True) for n in (4, 2))
    label = torch.randint(0, 3, (2, 1, 4, 8, 4), generator=generator)
    teacher = torch.randn(2, 3, 4, 8, 4, generator=generator).softmax(1).mul(255).round().to(torch.uint8)
    objective = DistillationObjective(0.3, squared_error)
    found = DeepSupervision(objective)((full, half), _batch(label, teacher))
    cells = teacher.float().unflatten(2, (2, 2)).unflatten(4, (4, 2)).unflatten(6, (2, 2)).mean((3, 5, 7))
    first = objective(full, _batch(label, teacher))
    second = objective(half, _batch(label[:, :, 1::2, 1::2, 1::2], cells))
    torch.testing.assert_close(found["loss"], (2 * first["loss"] + second["loss"]) / 3)
    assert torch.equal(found["distillation_loss"], first["distillation_loss"])
    found["loss"].sum().backward()
    assert full.grad is not None and half.grad is not None and half.grad.abs().sum() > 0


@pytest.mark.parametrize("kd_lambda", [-0.1, 1.1, math.nan])
def test_a_weight_outside_0_to_1_is_refused(kd_lambda: float) -> None:
    with pytest.raises(ValueError, match="weight from 0 to 1"):
        DistillationObjective(kd_lambda, squared_error)
    with pytest.raises(ValueError, match="kd_lambda"):
        DistillationSection(kd_lambda=kd_lambda)
