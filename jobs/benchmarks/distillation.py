"""What a teacher costs a training step: none, read from the store, or asked for every patch; and what say it has."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import default_collate

from autosam_models import build_model, trained_parameters
from autosam_models.numerics import autocast
from autosam_models.sizes import Size, size_text
from autosam_models.weights import load_weights
from autosam_platform.cluster import connect
from autosam_platform.data.description import load_description
from autosam_platform.data.patches import PatchDataset, Teacher
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.distillation.named import named_teacher
from autosam_platform.distillation.objective import build_objective
from autosam_platform.distillation.teacher import OnlineTeacher, StoredTeacher, TrainedTeacher, stored_teacher
from autosam_platform.experiment import ConfigError, Experiment
from autosam_platform.pipeline.steps import finished_run, prepared_dataset
from autosam_platform.training import checkpoints
from autosam_platform.training.export import export_model
from autosam_platform.training.objectives import DeepSupervision, SegmentationObjective
from autosam_platform.training.size import count_parameters
from autosam_platform.workspace import RunFolder, Workspace, workspace
from benchmarks.comparison import Row
from benchmarks.gradients import gradient_norms, shares
from benchmarks.job import BenchmarkJob
from benchmarks.synthetic import scans_in_btcvs_layout

_GRADIENTS = 6  # patches


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """Steps with a stored teacher against none and against an online one; what the stored one takes on disk."""
    if job.run is not None:
        return _of_run(job.run, device, job.repeats)
    return _of_model(job.model, job.patch or 128, device, job.repeats)


def _of_run(name: str, device: torch.device, repeats: int) -> list[Row]:
    """With the data, student and teacher of a finished distillation."""
    run = finished_run(name)
    experiment = run.experiment
    if not experiment.distillation.teachers:
        raise ConfigError(f"{run.name} had no teacher: name a run of jobs/distill_student.py with --run")
    prepared = prepared_dataset(experiment.dataset)
    teacher = named_teacher(experiment, prepared, workspace())
    if not isinstance(teacher, TrainedTeacher):
        raise ConfigError(f"the teacher of {run.name} was files, which cannot be asked online: name another run")
    return _rows(experiment, prepared, teacher, workspace(), device, repeats, run.weights)


def _of_model(name: str, patch: int, device: torch.device, repeats: int) -> list[Row]:
    """With a teacher of random weights, and scans as large as its patch: a single window, the least to ask it for."""
    settings = {
        "name": "benchmark",
        "model": {"name": "swin_unetr_tiny", "patch_DHW": (patch,) * 3},
        "training": {"loader_workers": 0},
    }
    student = Experiment.model_validate(settings)
    count_parameters(student, load_description("btcv").num_classes)  # refuses a patch that it cannot have
    with tempfile.TemporaryDirectory(prefix="autosam-") as temporary:
        folder = Path(temporary)
        connect()
        scans_in_btcvs_layout(folder / "raw", 2, (patch,) * 3)
        prepared = prepare(load_description("btcv"), folder / "raw", Preparation(), Workspace(folder))
        teacher = TrainedTeacher.of(_untrained(name, patch, prepared, Workspace(folder).run("teacher")), 0.5)
        return _rows(student, prepared, teacher, Workspace(folder), device, repeats)


def _rows(
    experiment: Experiment,
    prepared: PreparedDataset,
    teacher: TrainedTeacher,
    place: Workspace,
    device: torch.device,
    repeats: int,
    trained: Path | None = None,
) -> list[Row]:
    started = time.perf_counter()
    stored = stored_teacher(teacher, prepared, place)
    print(f"{len(stored.records)} cases stored or found in {time.perf_counter() - started:.1f} s", flush=True)
    _say_shares(experiment, prepared, stored, device, trained)
    kinds: dict[str, Teacher | None] = {"plain": None, "stored": stored, "online": OnlineTeacher(teacher)}
    steps = {name: _step(experiment, prepared, each, device) for name, each in kinds.items()}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for index in range(repeats + 1):
        for name, step in steps.items():
            seconds[name].append(_seconds(lambda step=step, index=index: step(index)))  # type: ignore[misc]
    plain, cached, online = (median(each[1:]) for each in seconds.values())  # the first step tunes kernels
    student = f"{experiment.model.name}, {size_text(experiment.model.patch_DHW)}"
    difference = _largest_difference(prepared, stored, OnlineTeacher(teacher), experiment.model.patch_DHW)
    return [
        Row(f"step with stored teacher against plain step; {student}", cached, plain, None, None, None),
        Row(f"step with stored teacher against online teacher; {student}", cached, online, None, None, difference),
        _size_row(stored),
    ]


def _say_shares(
    experiment: Experiment, prepared: PreparedDataset, stored: StoredTeacher, device: torch.device, trained: Path | None
) -> None:
    """What share of the gradient each distance has, at the start of a student's training and at its end."""
    model = _student(experiment, prepared, device)
    patches = PatchDataset(prepared, experiment.model.patch_DHW, patches_per_case=100, teacher=stored)
    print(f"At the start: {shares(gradient_norms(model, patches, _GRADIENTS, device))}", flush=True)
    if trained is not None:
        load_weights(model, load_file(trained, device=str(device)))
        print(f"At the end: {shares(gradient_norms(model, patches, _GRADIENTS, device))}", flush=True)


def _student(experiment: Experiment, prepared: PreparedDataset, device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    section = experiment.model
    model = build_model(section.name, in_channels=1, num_classes=prepared.num_classes, **experiment.model_options())
    return model.to(device).train()


def _step(
    experiment: Experiment, prepared: PreparedDataset, teacher: Teacher | None, device: torch.device
) -> Callable[[int], Tensor]:
    """A step of the student, from reading the patch to the changed weights."""
    section, model = experiment.model, _student(experiment, prepared, device)
    optimizer = torch.optim.AdamW(trained_parameters(model), lr=1e-4)
    objective = DeepSupervision(
        SegmentationObjective.of(experiment.training)
        if teacher is None
        else build_objective(experiment.distillation, 1.0, experiment.training)
    )
    patches = PatchDataset(prepared, section.patch_DHW, patches_per_case=100, teacher=teacher)
    cast = autocast("auto", device)

    def step(index: int) -> Tensor:
        batch = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in default_collate([patches[index]]).items()
        }
        with cast():
            outputs = model(batch["image"])
        loss = objective(outputs, batch)["loss"].mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach().cpu()

    return step


def _seconds(work: Callable[[], Tensor]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _largest_difference(
    prepared: PreparedDataset, stored: StoredTeacher, online: OnlineTeacher, patch_DHW: Size
) -> float:
    """Of probabilities, in a patch of the first case."""
    case = prepared.cases("train")[0]
    one, other = (each.probabilities(case, (0, 0, 0), patch_DHW) / 255 for each in (stored, online))
    return float(abs(one - other).max())


def _size_row(stored: StoredTeacher) -> Row:
    """Megabytes on disk in the columns of memory: of a case in the mean, and as raw float16."""
    records = list(stored.records.values())
    raw = [2 * each.num_classes * each.shape_DHW[0] * each.shape_DHW[1] * each.shape_DHW[2] for each in records]
    kept = [each.stored_bytes for each in records]
    name = f"on disk, a case in the mean: {sum(kept) / sum(raw):.2%} of raw float16"
    return Row(name, 0.0, None, sum(kept) / len(kept) / 1e6, sum(raw) / len(raw) / 1e6, None)


def _untrained(name: str, patch: int, prepared: PreparedDataset, run: RunFolder) -> Path:
    torch.manual_seed(0)
    model = build_model(name, in_channels=1, num_classes=prepared.num_classes, patch=(patch,) * 3)
    experiment = Experiment.model_validate({"model": {"name": name, "patch_DHW": (patch,) * 3}})
    checkpoint = run.folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    checkpoints.save(checkpoint, 0, checkpoints.Position(0, 0, 1), model, torch.optim.AdamW(model.parameters()))
    return export_model(checkpoint, experiment, prepared, run, {}, {}, seconds=0.0)
