"""Who takes a step, and the mean that follows: against plain ways, and continued with the same bits."""

import copy
import io
from pathlib import Path

import pytest
import torch
from torch import nn

from autosam_platform.experiment import TrainingSection
from autosam_platform.training import checkpoints
from autosam_platform.training.averaging import WeightAverage
from autosam_platform.training.checkpoints import Position
from autosam_platform.training.optimizers import Optimizer, build_optimizer, orthogonalised


class Small(nn.Module):
    """A convolution, a norm, a table that is a matrix and no kernel, and a bias that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv3d(2, 3, 3, padding=1), nn.InstanceNorm3d(3, affine=True)
        self.table = nn.Parameter(torch.randn(3, 4))
        self.head = nn.Linear(3, 2)
        self.head.bias.requires_grad_(False)

    def forward(self, image_BCDHW: torch.Tensor) -> torch.Tensor:
        features_B3 = self.norm(self.conv(image_BCDHW)).relu().mean((2, 3, 4))
        return self.head(features_B3 + self.table.mean(1))


def made(optimizer: str) -> tuple[Small, Optimizer]:
    torch.manual_seed(0)
    model = Small()
    settings = TrainingSection.model_validate({"optimizer": optimizer, "learning_rate": 0.01, "weight_decay": 0.1})
    return model, build_optimizer(model, settings)


def train(model: nn.Module, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        image = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(step))
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + step)
        optimizer.zero_grad()
        model(image).square().sum().backward()
        optimizer.step()


def plain_muon_step(kernel: nn.Parameter, mean: torch.Tensor) -> torch.Tensor:
    """Jordan et al. 2024 as printed, in fp64, with the scale of Liu et al. 2025: the kernel after a step of 0.01."""
    assert kernel.grad is not None
    grad = kernel.grad.double().flatten(1)
    mean.lerp_(grad, 0.05)
    step = plainly_orthogonalised(grad.lerp(mean, 0.95))
    flat = kernel.detach().double().flatten(1) * (1 - 0.01 * 0.1)
    return (flat - 0.01 * 0.2 * max(flat.shape) ** 0.5 * step).view(kernel.shape)


def plainly_orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm()
    for _ in range(5):
        gram = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * gram + 2.0315 * gram @ gram) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


def test_muon_steps_as_printed_on_the_kernel_as_a_matrix_and_adamw_takes_the_rest() -> None:
    model, optimizer = made("muon")
    plain = copy.deepcopy(model)
    kernels = [plain.conv.weight, plain.head.weight]
    means = [torch.zeros(len(each), each[0].numel(), dtype=torch.float64) for each in kernels]
    rest = [plain.conv.bias, plain.norm.weight, plain.norm.bias, plain.table]
    adamw = torch.optim.AdamW(rest, lr=0.01, weight_decay=0.1)
    image = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(5))
    for _ in range(3):
        for each, one in ((model, optimizer), (plain, adamw)):
            each.zero_grad()
            one.zero_grad()
            each(image).square().sum().backward()
        optimizer.step()
        adamw.step()
        for ours, kernel, mean in zip((model.conv.weight, model.head.weight), kernels, means, strict=True):
            torch.testing.assert_close(ours.double(), plain_muon_step(kernel, mean), rtol=0, atol=1e-6)
            with torch.no_grad():
                kernel.copy_(ours)  # so that what AdamW steps can be the same to the last bit
    for (name, ours), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    before = made("muon")[0]
    assert (model.conv.weight - before.conv.weight).abs().max() > 1e-2
    assert torch.equal(model.head.bias, before.head.bias)  # frozen


def test_muon_on_a_cpu_is_torchs_to_the_rounding_of_bf16() -> None:
    kernel = nn.Conv3d(4, 8, 3)
    optimizer = build_optimizer(kernel, TrainingSection(optimizer="muon", learning_rate=0.01, weight_decay=0.1))
    matrix = nn.Parameter(kernel.weight.detach().clone().flatten(1))
    muon = torch.optim.Muon([matrix], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    before = matrix.detach().clone()
    kernel.weight.grad = torch.randn(kernel.weight.shape, generator=torch.Generator().manual_seed(0))
    matrix.grad = kernel.weight.grad.flatten(1).clone()
    optimizer.step()
    muon.step()
    ours, theirs = kernel.weight.detach().flatten(1) - before, matrix.detach() - before
    assert 0 < (ours - theirs).norm() < 0.02 * theirs.norm()


@pytest.mark.parametrize("shape", [(1, 5), (4, 4), (16, 432), (432, 16), (48, 96)])
def test_what_is_orthogonalised_at_once_is_what_five_steps_make_of_it(shape: tuple[int, int]) -> None:
    """Also of a matrix that is nearly of lower rank, as gradients are."""
    generator = torch.Generator().manual_seed(0)
    rank = max(1, min(shape) // 4)
    matrix = torch.randn(shape[0], rank, generator=generator) @ torch.randn(rank, shape[1], generator=generator)
    matrix += 1e-3 * torch.randn(shape, generator=generator)
    expected = plainly_orthogonalised(matrix.double())
    assert (orthogonalised(matrix).double() - expected).norm() < 1e-3 * expected.norm()
    assert torch.equal(orthogonalised(torch.zeros(shape)), torch.zeros(shape))


def test_singular_values_come_near_one() -> None:
    """By hand: at 1/√2 each, the first step makes (3.4445 - 4.7750/2 + 2.0315/4)/√2 = 1.107 of both."""
    values = torch.linalg.svdvals(orthogonalised(torch.diag(torch.tensor([5.0, 5.0]))))
    x = 0.5**0.5
    for _ in range(5):
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    assert values.tolist() == pytest.approx([x, x], abs=1e-5)
    assert 0.7 < x < 1.2


def test_sgd_has_nesterovs_momentum() -> None:
    """By hand: a gradient of 1 at rate 0.01 and momentum 0.99: the first step is 0.01 · 1.99."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    settings = TrainingSection.model_validate({"optimizer": "sgd", "learning_rate": 0.01, "weight_decay": 0})
    optimizer = build_optimizer(model, settings)
    model(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    assert model.weight.item() == pytest.approx(-0.0199)


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
def test_continued_from_a_checkpoint_it_steps_with_the_same_bits(name: str, tmp_path: Path) -> None:
    model, optimizer = made(name)
    average = WeightAverage(model, 0.9)
    train(model, optimizer, range(3))
    average.follow(model, 3)
    checkpoints.save(tmp_path, Position(1, 0), model, optimizer, average=average.model)
    other, other_optimizer = made(name)
    train(other, other_optimizer, range(7, 8))  # whatever was there before
    other_average = WeightAverage(other, 0.9)
    checkpoints.load(tmp_path, other, other_optimizer, other_average.model)
    for each, one, mean in ((model, optimizer, average), (other, other_optimizer, other_average)):
        train(each, one, range(3, 5))
        mean.follow(each, 4)
    for one, again in ((model, other), (average.model, other_average.model)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model.conv.weight, average.model.get_parameter("conv.weight"))
    assert checkpoints.whole(tmp_path)
    (tmp_path / "trained.safetensors").unlink()
    assert not checkpoints.whole(tmp_path)


def test_the_state_needs_no_pickle_of_ours() -> None:
    model, optimizer = made("muon")
    train(model, optimizer, range(1))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    assert set(torch.load(file, weights_only=True)) == {"muon", "adamw"}


def test_the_mean_follows_with_a_short_memory_first() -> None:
    """Weights 0, then 1, 2, 3 at a share of ½: kept are 1/10, 2/11 and 3/12 of the mean, at step 20 a half."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average, expected = WeightAverage(model, 0.5), 0.0
    for step, kept in ((1, 1 / 10), (2, 2 / 11), (3, 3 / 12), (20, 1 / 2)):
        nn.init.constant_(model.weight, step)
        average.follow(model, step)
        expected = kept * expected + (1 - kept) * step
        assert average.model.get_parameter("weight").item() == pytest.approx(expected)
    assert not average.model.get_parameter("weight").requires_grad
    assert WeightAverage.of(model, 0.0) is None
