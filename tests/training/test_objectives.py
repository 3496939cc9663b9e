"""The segmentation loss against hand-worked numbers and a plain formulation."""

import math

import pytest
import torch
from monai.losses import DiceLoss
from torch.nn.functional import cross_entropy

from autosam_platform.distillation.distances import channel_divergence
from autosam_platform.experiment import TrainingSection
from autosam_platform.training.dice_and_entropy import dice_and_entropy
from autosam_platform.training.objectives import DeepSupervision, SegmentationObjective
from autosam_platform.training.places import TEMPERATURE, divergence_of_places


def _plain(logits_KDHW: torch.Tensor, label_DHW: torch.Tensor) -> float:
    """Eq. 1 voxel by voxel and class by class, in float64."""
    probability_KDHW = torch.softmax(logits_KDHW.double(), 0)
    losses = []
    for k in range(1, len(logits_KDHW)):
        truth_DHW = (label_DHW == k).double()
        if truth_DHW.sum() > 0:
            both = (probability_KDHW[k] * truth_DHW).sum()
            losses.append(1 - (2 * both + 1e-5) / (probability_KDHW[k].sum() + truth_DHW.sum() + 1e-5))
    chosen_DHW = probability_KDHW.gather(0, label_DHW[None])[0]
    return float(sum(losses) / max(len(losses), 1) - chosen_DHW.log().mean())


def _batch(label_B1DHW: torch.Tensor, num_classes: int, unknown: int | None = None) -> dict[str, torch.Tensor]:
    """A batch whose cases annotate all classes but ``unknown``."""
    annotated_BK = torch.ones(len(label_B1DHW), num_classes, dtype=torch.bool)
    if unknown is not None:
        annotated_BK[:, unknown] = False
    return {"label": label_B1DHW, "annotated": annotated_BK}


def test_two_voxels_by_hand() -> None:
    """Two voxels, two classes, all logits 0: probabilities 1/2, one voxel of class 1.

    Dice loss 1 - 2·½ / (1 + 1) = ½; cross entropy ln 2.
    """
    logits = torch.zeros(1, 2, 1, 1, 2)
    label = torch.tensor([0, 1]).view(1, 1, 1, 1, 2)
    losses = SegmentationObjective()(logits, _batch(label, 2))
    assert math.isclose(losses["dice_loss"].item(), 0.5, abs_tol=1e-5)
    assert math.isclose(losses["cross_entropy"].item(), math.log(2), abs_tol=1e-6)
    assert math.isclose(losses["loss"].item(), 0.5 + math.log(2), abs_tol=1e-5)


def test_equals_the_plain_formulation_for_each_sample() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 5, 4, 3, 6, generator=generator)
    label = torch.randint(0, 4, (3, 1, 4, 3, 6), generator=generator)  # class 4 is in no label
    losses = SegmentationObjective()(logits, _batch(label, 5))["loss"]
    expected = [_plain(logits[i], label[i, 0]) for i in range(3)]
    assert torch.allclose(losses, torch.tensor(expected), atol=1e-5)


def test_a_patch_of_background_alone_has_finite_loss_and_gradient() -> None:
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    losses = SegmentationObjective()(logits, _batch(torch.zeros(1, 1, 2, 2, 2, dtype=torch.uint8), 3))
    losses["loss"].mean().backward()
    assert losses["dice_loss"].item() == 0.0
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_a_perfect_prediction_has_no_loss() -> None:
    label = torch.tensor([0, 1, 2, 1]).view(1, 1, 1, 2, 2)
    logits = torch.nn.functional.one_hot(label[:, 0], 3).permute(0, 4, 1, 2, 3) * 50.0
    assert SegmentationObjective()(logits, _batch(label, 3))["loss"].item() < 1e-5


def test_a_class_that_the_case_does_not_annotate_counts_as_background() -> None:
    """Three classes with logits 0, of which the case annotates class 1 only: background 2/3, class 1 1/3.

    Labels background and class 1: Dice loss 1 - 2·⅓ / (⅔ + 1) = 0.6; cross entropy -(ln ⅔ + ln ⅓) / 2.
    """
    logits = torch.zeros(1, 3, 1, 1, 2, requires_grad=True)
    label = torch.tensor([0, 1]).view(1, 1, 1, 1, 2)
    losses = SegmentationObjective()(logits, _batch(label, 3, unknown=2))
    assert math.isclose(losses["dice_loss"].item(), 0.6, abs_tol=1e-5)
    assert math.isclose(losses["cross_entropy"].item(), -(math.log(2 / 3) + math.log(1 / 3)) / 2, abs_tol=1e-6)
    losses["cross_entropy"].sum().backward()
    # Where the label is background, class 2 is as right as background, and both rise at the cost of class 1.
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[0, :, 0, 0, 0], torch.tensor([-1 / 12, 1 / 6, -1 / 12]))


def _torch_and_monai(logits_BKDHW: torch.Tensor, label_B1DHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Dice and cross entropy of the libraries, per sample."""
    dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, reduction="none")
    dice_BK = dice(logits_BKDHW, label_B1DHW).flatten(1)
    shown_BK = (
        torch.stack([torch.bincount(each.flatten(), minlength=logits_BKDHW.shape[1]) for each in label_B1DHW]) > 0
    )
    shown_BK = shown_BK[:, 1:].to(dice_BK.dtype)
    entropy_B = cross_entropy(logits_BKDHW, label_B1DHW[:, 0], reduction="none").flatten(1).mean(1)
    return (dice_BK * shown_BK).sum(1) / shown_BK.sum(1).clamp(min=1), entropy_B


def test_values_and_gradients_are_those_of_the_libraries() -> None:
    """Five classes, one in no label; two samples of different weight, one of them without organs."""
    generator = torch.Generator().manual_seed(1)
    logits = (4 * torch.randn(3, 5, 4, 5, 6, generator=generator, dtype=torch.float64)).requires_grad_()
    label = torch.randint(0, 4, (3, 1, 4, 5, 6), generator=generator)
    label[2] = 0
    gradients = []
    for dice_B, entropy_B in (dice_and_entropy(logits, label[:, 0]), _torch_and_monai(logits, label)):
        assert dice_B[2] == 0 and dice_B[0] > 0.3
        weights = torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64)
        gradients.append(torch.autograd.grad((weights * (dice_B + 3 * entropy_B)).sum(), logits)[0])
        gradients.append(torch.stack([dice_B, entropy_B]).detach())
    torch.testing.assert_close(gradients[0], gradients[2], atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(gradients[1], gradients[3], atol=1e-12, rtol=1e-7)  # MONAI's smoothing is in float32


def test_the_gradient_is_that_of_the_values() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 4, 2, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    label = torch.randint(0, 3, (2, 2, 3, 2), generator=generator)
    assert torch.autograd.gradcheck(lambda values: dice_and_entropy(values, label), (logits,))


def test_a_voxel_that_is_surely_wrong_has_a_finite_loss_and_gradient() -> None:
    logits = torch.tensor([0.0, 500.0]).reshape(1, 2, 1, 1, 1).repeat(1, 1, 1, 1, 2).requires_grad_()
    dice_B, entropy_B = dice_and_entropy(logits, torch.tensor([0, 1]).reshape(1, 1, 1, 2))
    (dice_B + entropy_B).sum().backward()
    assert entropy_B.item() == 250.0
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


class _Told:
    """Notes the truth that it is given for each answer, whose loss is its only logit."""

    def __init__(self) -> None:
        self.labels: list[list[int]] = []
        self.teacher: list[list[float]] = []

    def __call__(self, logits_BKDHW: torch.Tensor, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert batch["annotated"].tolist() == [[True, True, False]]
        self.labels.append(batch["label"].flatten().tolist())
        self.teacher.append(batch["probabilities"].flatten().tolist())
        loss_B = logits_BKDHW[:, 0].flatten(1).mean(1)
        return {"loss": loss_B, "part": 2 * loss_B}


def _row(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.uint8).view(1, 1, 1, 1, -1)


def test_several_answers_count_a_half_a_quarter_and_so_on_by_hand() -> None:
    """Losses 7, 11 and 13: (7 + 11/2 + 13/4) / (1 + 1/2 + 1/4) = 15.75 / 1.75 = 9."""
    told = _Told()
    outputs = tuple(torch.full((1, 2, 1, 1, n), loss) for n, loss in ((4, 7.0), (2, 11.0), (1, 13.0)))
    batch = _batch(_row(0, 1, 0, 2), 3, unknown=2) | {"probabilities": _row(0, 100, 200, 255)}
    losses = DeepSupervision(told)(outputs, batch)
    assert losses["loss"].tolist() == [9.0]
    assert losses["part"].tolist() == [14.0], "a part is of the full size, as of a network with one answer"
    # The nearest voxel to the middle of two, or of four, is the one after it.
    assert told.labels == [[0, 1, 0, 2], [1, 2], [0]]
    assert told.teacher == [[0, 100, 200, 255], [50.0, 227.5], [138.75]]


def test_one_answer_is_what_it_is_without_deep_supervision() -> None:
    logits = torch.randn(2, 3, 2, 4, 2, generator=torch.Generator().manual_seed(5))
    batch = _batch(torch.randint(0, 3, (2, 1, 2, 4, 2), generator=torch.Generator().manual_seed(6)), 3)
    expected = SegmentationObjective()(logits, batch)
    for found in (DeepSupervision(SegmentationObjective())(outputs, batch) for outputs in (logits, [logits])):
        assert {name: loss.tolist() for name, loss in found.items()} == {
            name: loss.tolist() for name, loss in expected.items()
        }


def test_places_of_two_voxels_by_hand() -> None:
    """The network has the organ in both voxels alike, ½ each, the label in one: 1 · ln (1 / ½), times T² = 4."""
    found = divergence_of_places(torch.zeros(1, 2, 1, 1, 2), torch.tensor([0, 1]).view(1, 1, 1, 2))
    assert found.tolist() == pytest.approx([4 * math.log(2)])


def test_places_are_the_distance_by_channels_to_a_teacher_that_says_the_label() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 4, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    label = torch.randint(0, 5, (3, 4, 3, 2), generator=generator)
    label[0][label[0] == 3] = 0  # an organ that this sample does not show
    certain = torch.nn.functional.one_hot(label, 5).movedim(-1, 1).double()
    expected = channel_divergence(logits, certain, TEMPERATURE)
    torch.testing.assert_close(divergence_of_places(logits, label), expected)
    gradients = [torch.autograd.grad(each.sum(), logits)[0] for each in (divergence_of_places(logits, label), expected)]
    torch.testing.assert_close(*gradients)


def test_places_of_a_patch_of_background_alone_are_nothing_to_learn() -> None:
    logits = torch.randn(1, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = divergence_of_places(logits, torch.zeros(1, 2, 2, 2, dtype=torch.long))
    found.sum().backward()
    assert found.tolist() == [0]
    assert logits.grad is not None and not logits.grad.any()


def test_an_organ_that_is_seen_nowhere_has_a_gradient_by_its_place_and_hardly_one_by_its_voxels() -> None:
    """One voxel in 512, at a probability of 1e-6 as everywhere.

    Eq. 1: cross entropy pulls with 1/512 there, Dice with 2e-6. Places: 4 · ½ · (1 − 1/512), nearly 2.
    """
    label = torch.zeros(1, 1, 8, 8, 8, dtype=torch.long)
    label[0, 0, 1, 2, 3] = 1
    pulls = []
    for objective in (SegmentationObjective(), SegmentationObjective(0.1)):
        logits = torch.zeros(1, 2, 8, 8, 8)
        logits[:, 1] = math.log(1e-6)
        logits.requires_grad_()
        objective(logits, _batch(label, 2))["loss"].sum().backward()
        assert logits.grad is not None
        pulls.append(-logits.grad[0, 1, 1, 2, 3].item())
    assert pulls == pytest.approx([1 / 512, 0.9 / 512 + 0.1 * 2 * (1 - 1 / 512)], rel=0.01)


def test_places_take_their_share_of_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 2, 3, 4, generator=generator)
    label = torch.randint(0, 3, (2, 1, 2, 3, 4), generator=generator)
    batch = _batch(label, 3)
    alone = SegmentationObjective()(logits, batch)
    both = SegmentationObjective.of(TrainingSection(places=0.25))(logits, batch)
    torch.testing.assert_close(both["loss"], 0.75 * alone["loss"] + 0.25 * divergence_of_places(logits, label[:, 0]))
    assert "places_loss" in both and "places_loss" not in alone
