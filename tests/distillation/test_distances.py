"""Every named distance against numbers worked by hand and a plain formulation, and what all of them have in common."""

import itertools
import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from autosam_platform.data.probabilities import WHOLE, read_probabilities, write_probabilities
from autosam_platform.distillation.distances import SCALES, distance_of
from autosam_platform.experiment import DistillationSection

NAMES = get_args(DistillationSection.model_fields["loss"].annotation)


def distance(name: str, logits_BKDHW: Tensor, teacher_BKDHW: Tensor, temperature: float = 2.0) -> Tensor:
    section = DistillationSection.model_validate({"loss": name, "temperature": temperature})
    return distance_of(section)(logits_BKDHW, teacher_BKDHW)


def random_pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (3 * torch.randn(2, 3, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    return student, teacher.softmax(1)


THREE_VOXELS = torch.tensor([[1.0, 0.2, 0.2], [0.0, 0.8, 0.8]], dtype=torch.float64).view(1, 2, 1, 1, 3)
"""A teacher's background and organ; the student says one half everywhere."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", (2 * 0.25 + 4 * 0.09) / 6),
        ("kl", (math.log(2) + 2 * (0.2 * math.log(0.4) + 0.8 * math.log(1.6))) / 3),
        # Weights ½, 0.8, 0.8: what the student, then the teacher, gives the organ; errors ½, 0.18, 0.18.
        ("focused", (0.5 * 0.5 + 2 * 0.8 * 0.18) / 2.1),
        # Cells of two voxels: teacher 0.4 and 0.8, weights ½ and 0.8, errors 0.02 and 0.18. One cell: 8/15 for all.
        ("pooled", ((0.25 + 0.288) / 2.1 + (0.01 + 0.144) / 1.3 + 8 / 15 * 2 / 900) / 3),
        ("region", (0.5 + 0.3 + 0.3) / (1.5 + 1.6)),
        # The student's organ is a third in each voxel, the teacher's a half in two.
        ("channel", math.log(1.5)),
        ("soft_labels", 1.1 / 3.1 + (math.log(2) + 2 * (0.2 * math.log(0.4) + 0.8 * math.log(1.6))) / 3),
    ],
)
def test_three_voxels_by_hand(name: str, expected: float) -> None:
    found = distance(name, torch.zeros_like(THREE_VOXELS), THREE_VOXELS, temperature=1.0)
    assert found.tolist() == pytest.approx([expected])


def _plain_focused(student_KDHW: Tensor, teacher_KDHW: Tensor) -> float:
    total = weights = 0.0
    classes, *size = student_KDHW.shape
    for d, h, w in itertools.product(*map(range, size)):
        weight = max(1 - float(student_KDHW[0, d, h, w]), 1 - float(teacher_KDHW[0, d, h, w]))
        total += weight * sum(float(student_KDHW[k, d, h, w] - teacher_KDHW[k, d, h, w]) ** 2 for k in range(classes))
        weights += weight
    return total / max(weights, 1)


def _plain_pooled(values_KDHW: Tensor, edge: int) -> Tensor:
    _, depth, height, width = values_KDHW.shape
    firsts = [range(0, n, edge) for n in (depth, height, width)]
    cells = [values_KDHW[:, d : d + edge, h : h + edge, w : w + edge] for d, h, w in itertools.product(*firsts)]
    means = torch.stack([cell.flatten(1).mean(1) for cell in cells], 1)
    return means.view(len(values_KDHW), *map(len, firsts))


def _plain_channel(student_KDHW: Tensor, teacher_KDHW: Tensor, temperature: float) -> float:
    found = []
    for student, teacher in zip(student_KDHW[1:].flatten(1), teacher_KDHW[1:].flatten(1), strict=True):
        p, q = ((each.log() / temperature).softmax(0).tolist() for each in (teacher, student))
        found.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    return temperature**2 * sum(found) / len(found)


def test_they_equal_plain_formulations_for_each_sample() -> None:
    logits, teacher = random_pair()
    student = logits.softmax(1)
    assert teacher[:, 1:].flatten(2).sum(2).min() >= 1, "every organ counts"
    pairs = list(zip(student, teacher, strict=True))
    expected = {
        "focused": [_plain_focused(*pair) for pair in pairs],
        "pooled": [
            sum(_plain_focused(*(_plain_pooled(each, edge) for each in pair)) for edge in SCALES) / 3 for pair in pairs
        ],
        "region": [float(((p - q).abs().sum((1, 2, 3)) / (p + q).sum((1, 2, 3)))[1:].mean()) for p, q in pairs],
        "channel": [_plain_channel(*pair, 2.0) for pair in pairs],
    }
    for name, values in expected.items():
        assert distance(name, logits, teacher).tolist() == pytest.approx(values), name


@pytest.mark.parametrize("name", NAMES)
def test_it_is_nothing_where_both_agree_and_grows_as_they_part(name: str) -> None:
    _, teacher = random_pair()
    other = teacher.roll(1, 4)
    apart = [distance(name, (teacher.lerp(other, share)).log(), teacher) for share in (0.0, 0.3, 0.9)]
    assert apart[0].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert (apart[1] > 0).all() and (apart[1] < apart[2]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_step_along_its_gradient_comes_nearer(name: str) -> None:
    logits, teacher = random_pair()
    logits.requires_grad_()
    before = distance(name, logits, teacher).sum()
    before.backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    nearer = logits.detach() - 1e-3 * logits.grad / logits.grad.norm()
    assert distance(name, nearer, teacher).sum() < before


@pytest.mark.parametrize("name", ["mse", "kl", "soft_labels"])
def test_of_a_patch_of_background_the_gradient_still_says_background(name: str) -> None:
    assert _gradient_of_organs(name).min() > 0


@pytest.mark.parametrize("name", ["region", "channel"])
def test_of_a_patch_without_organs_nothing_is_said_by_what_compares_organs(name: str) -> None:
    assert _gradient_of_organs(name).abs().max() == 0


def _gradient_of_organs(name: str) -> Tensor:
    teacher = torch.zeros(1, 3, 2, 2, 2)
    teacher[:, 0] = 1
    logits = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
    distance(name, logits, teacher).sum().backward()
    assert logits.grad is not None
    return logits.grad[:, 1:]


@pytest.mark.parametrize("name", ["focused", "pooled"])
def test_certain_background_around_changes_nothing(name: str) -> None:
    """What the squared error of all voxels loses its size by."""
    sure = torch.tensor([60.0, 0.0]).view(1, 2, 1, 1, 1)
    logits = torch.cat([torch.zeros(1, 2, 4, 4, 4), sure.expand(1, 2, 4, 4, 12)], dim=4)
    teacher = torch.zeros(1, 2, 4, 4, 16)
    teacher[:, 0], teacher[:, 0, ..., :4], teacher[:, 1, ..., :4] = 1, 0.2, 0.8
    inside = distance(name, logits[..., :4], teacher[..., :4])
    torch.testing.assert_close(distance(name, logits, teacher), inside)
    torch.testing.assert_close(distance("mse", logits, teacher), distance("mse", logits[..., :4], teacher[..., :4]) / 4)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_and_cut_to_its_box_will_do(name: str, tmp_path: Path) -> None:
    """Rounded to 255ths, with exact zeros, read beyond the box: a student that says the same is at no distance."""
    answers_5K = torch.tensor([[51, 204, 0], [102, 51, 102], [0, 0, 255], [255, 0, 0], [85, 85, 85]])
    case_KDHW = torch.zeros(3, 8, 8, 8, dtype=torch.uint8)
    case_KDHW[0] = WHOLE
    drawn_DHW = torch.randint(0, 5, (3, 4, 5), generator=torch.Generator().manual_seed(3))
    case_KDHW[:, 2:5, 3:7, 2:7] = answers_5K[drawn_DHW].permute(3, 0, 1, 2)
    record = write_probabilities(tmp_path, "case", "made of", case_KDHW.numpy())
    patch = torch.from_numpy(read_probabilities(tmp_path, "case", record, (1, 2, 3), (9, 7, 6)))[None]
    logits = (patch.double() / WHOLE).clamp(min=1e-30).log().requires_grad_()
    found = distance(name, logits, patch.float() / WHOLE)
    found.sum().backward()
    assert found.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None and logits.grad.isfinite().all()
