"""Part by part gives what the whole gives."""

import pytest
import torch

from autosam_models.teacher import parts
from autosam_models.teacher.parts import in_parts


@pytest.mark.parametrize("rows", [1, 3, 4, 7])
def test_rows_are_treated_a_few_at_a_time(rows, monkeypatch):
    monkeypatch.setattr(parts, "PART", 6)  # rows of 3 numbers: two at a time
    seen = []

    def add(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return x + y

    x, y = torch.arange(3.0 * rows).reshape(rows, 3), torch.ones(rows, 1)
    with torch.no_grad():
        assert torch.equal(in_parts(add, x, y), x + 1)
    assert seen == [2] * (rows // 2) + [1] * (rows % 2)


def test_a_row_larger_than_a_part_is_a_part(monkeypatch):
    monkeypatch.setattr(parts, "PART", 1)
    assert torch.equal(in_parts(torch.neg, torch.ones(2, 3)), -torch.ones(2, 3))


def test_gradients_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr(parts, "PART", 6)
    x = torch.arange(21.0).reshape(7, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(in_parts(torch.square, x).sum(), x)
    assert torch.equal(gradient, 2 * x.detach())


def test_results_may_have_another_width_and_type(monkeypatch):
    monkeypatch.setattr(parts, "PART", 6)
    with torch.no_grad():
        found = in_parts(lambda x: x.sum(1).bfloat16(), torch.ones(5, 3))
    assert found.dtype == torch.bfloat16 and found.tolist() == [3.0] * 5
