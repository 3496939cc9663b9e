"""What differs between a GPU and a CPU, on both: ``pytest -m cuda`` is all of it where there is a GPU.

Each test runs on the CPU too, so that where no GPU is, the tests themselves are known to be right.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_scans import write_btcv

from autosam_inference.model import TrainedModel
from autosam_inference.prediction import predict
from autosam_inference.scans.scan import read_scan
from autosam_models.numerics import format_of, has_bf16
from autosam_platform.data.description import load_description
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.distillation.fit import fit_student
from autosam_platform.experiment import Experiment
from autosam_platform.measure import free_memory, measure
from autosam_platform.tracking.writing import read_curves
from autosam_platform.training.fitting import Supervision, fit
from autosam_platform.training.in_process import InProcess
from autosam_platform.training.objectives import SegmentationObjective
from autosam_platform.training.pace import RandomStep
from autosam_platform.training.preflight import check_memory
from autosam_platform.workspace import Workspace

_NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, _NO_GPU])])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, ray_local: str) -> PreparedDataset:
    """Four scans: two to train on, one to validate, one to test."""
    scans = write_btcv(tmp_path_factory.mktemp("raw"), 4)
    (scans / "tiny.yaml").write_text(
        "extends: btcv\nname: tiny\ntitle: tiny\nspacing_xyz: [2.0, 2.0, 3.0]\n"
        "split: {rule: in_order, parts: [{split: train, cases: 2}, {split: val, cases: 1}, {split: test, cases: 1}]}\n"
    )
    description = load_description(scans / "tiny.yaml")
    return prepare(description, scans, Preparation(), Workspace(tmp_path_factory.mktemp("prepared")))


def _experiment(device: torch.device, **training: object) -> Experiment:
    settings = {"epochs": 2, "warmup_epochs": 1, "patches_per_case": 4, "batch": 2, "loader_workers": 0}
    return Experiment.model_validate(
        {
            "name": "tiny",
            "model": {
                "name": "autosam_demo",
                "patch_DHW": (16, 16, 16),
                "options": {"embed_dim": 16, "heads": 2, "window": 4},
            },
            "training": settings | training,
            "inference": {"overlap": 0.25},
            "compute": {"gpu": device.type == "cuda", "memory_check": True},
        }
    )


class _Stopped(SegmentationObjective):
    """Ctrl-C at the sixth step, in the second epoch."""

    seen = 0

    def forward(self, logits_BKDHW: torch.Tensor, batch: dict[str, object]) -> dict[str, torch.Tensor]:
        type(self).seen += 1
        if type(self).seen == 6:
            raise KeyboardInterrupt
        return super().forward(logits_BKDHW, batch)


@pytest.fixture
def stopped() -> type[_Stopped]:
    _Stopped.seen = 0
    return _Stopped


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_run_that_was_stopped_goes_on_to_the_same_losses(
    device: torch.device, prepared: PreparedDataset, tmp_path: Path, stopped: type[_Stopped], precision: str
) -> None:
    experiment = _experiment(device, precision=precision, checkpoint_steps=1)
    whole, broken = (Workspace(tmp_path / name) for name in ("whole", "broken"))
    run = fit(experiment, prepared, whole, runner=InProcess(), quiet=True).run
    with pytest.raises(KeyboardInterrupt):
        fit(experiment, prepared, broken, Supervision(stopped), InProcess(), quiet=True)
    assert fit(experiment, prepared, broken, runner=InProcess(), quiet=True).run.name == run.name
    one, two = (dict(read_curves(each, run.name)["train/loss"]) for each in (whole, broken))
    assert sorted(one) == sorted(two) == list(range(1, 9))
    tolerance = 1e-3 if format_of("auto", device) is torch.float32 or precision == "fp32" else 0.05
    assert max(abs(one[step] - two[step]) for step in one) < tolerance  # kernels of a GPU add up in any order


def test_a_model_predicts_what_it_predicts_on_a_cpu(
    device: torch.device, prepared: PreparedDataset, tmp_path: Path
) -> None:
    run = fit(_experiment(device), prepared, Workspace(tmp_path), runner=InProcess(), quiet=True).run
    scan = read_scan(prepared.raw("test")[0].image)
    labels = [predict(TrainedModel.load(run.model, device=name), scan).label_DHW for name in ("cpu", device.type)]
    assert np.mean(labels[0] == labels[1]) > 0.99


def test_a_student_learns_from_a_teacher(device: torch.device, prepared: PreparedDataset, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    teacher = fit(_experiment(device), prepared, workspace, runner=InProcess(), quiet=True).run
    told = _experiment(device).model_dump() | {
        "name": "student",
        "model": {"name": "unet_nano", "patch_DHW": (16, 16, 16)},
        "distillation": {"teacher": str(teacher.model), "kd_lambda": 0.5},
    }
    run = fit_student(Experiment.model_validate(told), prepared, workspace, InProcess(), quiet=True).run
    assert run.card.lineage["kd_lambda"] == "0.5"
    curves = read_curves(workspace, run.name)
    for name in ("train/loss", "train/gradient_norm"):  # of a number that is not finite no step is recorded
        assert [step for step, _ in curves[name]] == list(range(1, 9))


def test_memory_and_time_are_told(device: torch.device) -> None:
    free = free_memory(device)
    assert free is not None and free > 0
    assert f"are free for it on {device.type}" in check_memory(_experiment(device), 14, device, sharing=1)
    step = RandomStep(_experiment(device), 14, device)
    assert step() > 0
    found = measure(step, device)
    assert found.seconds >= found.result > 0


@pytest.mark.cuda
@_NO_GPU
def test_a_gpu_computes_in_bf16_where_it_can() -> None:
    assert has_bf16(torch.device("cuda")) == (torch.cuda.get_device_capability() >= (8, 0))  # since Ampere
