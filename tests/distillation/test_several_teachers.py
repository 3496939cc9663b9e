"""Several teachers: their mean is stored, asked online, matched, evaluated and recorded as one. And one that fades."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_models import PATCH, write_model
from synthetic_scans import write_btcv

from autosam_inference.card import files_hash
from autosam_inference.several import ModelFolders
from autosam_platform.data.description import load_description
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.distillation.fit import fit_student, supervision_of
from autosam_platform.distillation.named import identity_of
from autosam_platform.distillation.teacher import MismatchError, OnlineTeacher, TrainedTeacher, stored_teacher
from autosam_platform.evaluation.cost import cost_of
from autosam_platform.evaluation.evaluate import evaluate_cases
from autosam_platform.experiment import ConfigError, Experiment
from autosam_platform.pipeline.distilling import with_teacher
from autosam_platform.pipeline.steps import split_cases
from autosam_platform.tracking.writing import read_curves
from autosam_platform.training.in_process import InProcess
from autosam_platform.workspace import Workspace

SPACING = (2.0, 2.0, 3.0)
OVERLAP = 0.25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    write_btcv(folder / "raw", 3)
    return folder


@pytest.fixture(scope="module")
def prepared(ray_local: str, folder: Path) -> PreparedDataset:
    return prepare(load_description("btcv"), folder / "raw", Preparation(spacing_xyz=SPACING), Workspace(folder / "ws"))


@pytest.fixture(scope="module")
def models(prepared: PreparedDataset, folder: Path) -> list[Path]:
    """Of two runs of the workspace, and of one that lies elsewhere, under an odd name."""
    places = [folder / "ws" / "runs" / name / "model" for name in ("fold-0", "fold-1")]
    return [
        write_model(place, prepared.description, SPACING, seed)
        for seed, place in enumerate([*places, folder / "Lehrer 3, neu"])
    ]


def experiment(folder: Path, teacher: str, **distillation: object) -> Experiment:
    settings = {
        "dataset": {"name": "btcv", "root": str(folder / "raw"), "spacing_xyz": SPACING},
        "model": {"name": "unet_nano", "patch_DHW": PATCH},
        "training": {"loader_workers": 0},
        "distillation": {"teacher": teacher} | distillation,
        "inference": {"overlap": OVERLAP},
    }
    return Experiment.model_validate(settings)


def test_what_is_stored_and_asked_online_is_the_mean_of_what_each_says(
    prepared: PreparedDataset, models: list[Path], folder: Path
) -> None:
    workspace, (case, *_) = Workspace(folder / "ws"), prepared.cases("train")
    each = [OnlineTeacher(TrainedTeacher.of(model, OVERLAP)) for model in models[:2]]
    one, other = (teacher.probabilities(case, (0, 0, 0), case.shape_DHW) for teacher in each)
    together = TrainedTeacher.of(models[:2], OVERLAP)
    asked = OnlineTeacher(together).probabilities(case, (0, 0, 0), case.shape_DHW)
    assert np.abs(one - other).max() > 5  # 255ths: they do not agree
    np.testing.assert_allclose(asked, (one + other) / 2, atol=0.01)
    stored = stored_teacher(together, prepared, workspace)
    # Stored by a task of one thread: in bf16 this process's two sum otherwise, by 0.03 of a 255th on one CPU.
    assert np.abs(stored.probabilities(case, (0, 0, 0), case.shape_DHW) - asked).max() <= 0.5 + 0.1
    again = stored_teacher(TrainedTeacher.of(models[1::-1], OVERLAP), prepared, workspace)
    assert again.folder == stored.folder != stored_teacher(replace(together, overlap=0.5), prepared, workspace).folder


def test_the_names_of_runs_become_their_models_and_the_order_makes_no_other_run(
    prepared: PreparedDataset, models: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(folder / "ws"))
    told, turned = (with_teacher(experiment(folder, names), folder) for names in ("fold-0, fold-1", "fold-1,fold-0"))
    assert told.distillation.teachers == tuple(str(each) for each in models[:2])
    assert with_teacher(told, folder).model_dump() == told.model_dump()
    alone = with_teacher(experiment(folder, "fold-0"), folder)
    assert identity_of(str(told.distillation.teacher)) == identity_of(str(turned.distillation.teacher))
    assert identity_of(str(alone.distillation.teacher)) == files_hash(models[0])
    assert told.run_id("data") == turned.run_id("data") != alone.run_id("data")
    supervision = supervision_of(told, prepared, Workspace(folder / "ws"))
    assert supervision.tags["teacher"] == "small-01234567, small-01234567"
    assert supervision.tags["teacher_hash"] == ModelFolders.of(*models[:2]).hash
    run = Workspace(folder / "ws").run("student-1")
    run.folder.mkdir()
    assert run.write_experiment(told)["distillation"]["teacher"] == "runs/fold-0/model,runs/fold-1/model"
    assert run.experiment.distillation.model_dump() == told.distillation.model_dump()


def test_a_folder_with_a_comma_is_one_teacher_and_refused_among_several(
    models: list[Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(folder / "ws"))
    monkeypatch.chdir(folder)
    told = with_teacher(experiment(folder, "Lehrer 3, neu"), folder)
    assert told.distillation.teachers == (str(models[2]),)
    (tmp_path / "x").symlink_to(models[2])
    several = with_teacher(experiment(folder, f"fold-0,{tmp_path / 'x'}"), folder)
    assert several.distillation.teachers == (str(models[0]), str(tmp_path / "x"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("fold-0,fold-0", "teachers fold-0 and fold-0 are the same model, which would count twice"),
        ("fold-0,copy", "teachers fold-0 and copy are the same model"),
        ("fold-0,nobody", "'nobody' is no finished run"),
        ("raw", "raw is no teacher: it holds neither a model .* nor label maps called as the cases are"),
    ],
)
def test_what_is_no_set_of_teachers_is_refused(
    models: list[Path], folder: Path, monkeypatch: pytest.MonkeyPatch, names: str, message: str
) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(folder / "ws"))
    monkeypatch.chdir(folder)
    copy = folder / "ws" / "runs" / "copy"
    if not copy.exists():
        copy.symlink_to(models[0].parent)
    with pytest.raises(ConfigError, match=message):
        with_teacher(experiment(folder, names), folder)


def test_an_empty_name_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="has an empty name: write --teacher ONE"):
        experiment(folder, "fold-0,")


def test_each_must_match_the_dataset(prepared: PreparedDataset, models: list[Path], folder: Path) -> None:
    wide = write_model(folder / "wide", prepared.description, (4.0, 4.0, 4.0), seed=3)
    told = experiment(folder, f"{models[0]},{wide}")
    with pytest.raises(MismatchError, match=r"spacing \(x, y, z\) in mm: teacher \[4.0"):
        supervision_of(told, prepared, Workspace(folder / "ws"))


def test_the_mean_is_evaluated_and_costs_what_all_cost(
    prepared: PreparedDataset, models: list[Path], folder: Path
) -> None:
    workspace, both = Workspace(folder / "ws"), ModelFolders.of(*models[:2])
    cases = split_cases(prepared, "test")
    place = workspace.run("student-1").evaluation_of("teacher")
    summary = evaluate_cases(both, cases, prepared.description, place, overlap=OVERLAP)
    assert summary.n_cases == len(cases) and place.prediction(cases[0].case_id).is_file()
    one, two = cost_of(models[0], cases[0].image, OVERLAP), cost_of(both, cases[0].image, OVERLAP)
    assert (two.parameters, two.patch) == (2 * one.parameters, one.patch)
    assert two.gflop_per_patch == pytest.approx(2 * one.gflop_per_patch)


def test_a_teacher_that_fades_in_a_training_follows_the_share_that_is_done(
    prepared: PreparedDataset, models: list[Path], folder: Path
) -> None:
    """λ = ½ and a teacher that fades from the start: of two epochs' steps, labels weigh 1 − ½ · (1 − step / all)."""
    fading = experiment(folder, str(models[0]), fade=1.0)
    short = {"epochs": 2, "patches_per_case": 2, "warmup_epochs": 0, "precision": "fp32"}
    fading = fading.model_copy(update={"training": fading.training.model_copy(update=short)})
    run = fit_student(fading, prepared, Workspace(folder / "ws"), InProcess(), quiet=True).run
    card = json.loads((run.model / "model.json").read_text())
    assert card["lineage"]["teacher_fades"] == "in the last 100% of the training"
    curves = {name: dict(points) for name, points in read_curves(Workspace(folder / "ws"), run.name).items()}
    total = curves["train/loss"]
    assert len(total) == 2 * 2 * len(prepared.cases("train"))
    for step, loss in total.items():  # counted from 1, and weighed by what was done before it
        labels = 1 - 0.5 * (1 - (step - 1) / len(total))
        parts = curves["train/segmentation_loss"][step], curves["train/distillation_loss"][step]
        assert loss == pytest.approx(labels * parts[0] + (1 - labels) * parts[1], rel=1e-5)
