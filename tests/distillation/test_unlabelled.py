"""Scans without labels: found, answered once, mixed in by their share, masked, and never those that test."""

import json
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from dicom_factory import ct, ct_slices, write_series
from safetensors.torch import load_file, save_file
from several_sources import SPACING as SOURCES_SPACING
from several_sources import write_sources
from small_models import PATCH, write_model
from synthetic_scans import make_scan, write_btcv, write_nifti

from autosam_models.teacher.mask_decoder import ORGAN_PRIOR
from autosam_platform.data.cases import DatasetError
from autosam_platform.data.description import load_description
from autosam_platform.data.patches import PatchDataset, Unlabelled
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare, with_labelled
from autosam_platform.distillation.distances import squared_error
from autosam_platform.distillation.fit import fit_student
from autosam_platform.distillation.objective import DistillationObjective
from autosam_platform.distillation.teacher import TrainedTeacher, stored_teacher
from autosam_platform.distillation.unlabelled import UnlabelledError, answered, prepare_unlabelled, unlabelled_cases
from autosam_platform.experiment import ConfigError, DistillationSection, Experiment
from autosam_platform.pipeline.distilling import with_unlabelled
from autosam_platform.training.in_process import InProcess
from autosam_platform.workspace import Workspace

SPACING = (2.0, 2.0, 3.0)
OVERLAP = 0.25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labelled scans, two of them to train on, and beside them two scans alone."""
    folder = tmp_path_factory.mktemp("unlabelled")
    write_btcv(folder / "raw", 4)
    (folder / "few.yaml").write_text(
        "extends: btcv\nname: few\ntitle: few\n"
        "split: {rule: in_order, parts: [{split: train, cases: 2}, {split: val, cases: 1}, {split: test, cases: 1}]}\n"
    )
    for number, name in ((11, "Größe 1"), (12, "b")):
        scan = make_scan(number)
        write_nifti(folder / "ohne Labels" / f"{name}.nii.gz", scan.image_xyz, scan.affine, "LPS", np.int16)
    return folder


@pytest.fixture(scope="module")
def prepared(ray_local: str, folder: Path) -> PreparedDataset:
    description = load_description(folder / "few.yaml")
    return prepare(description, folder / "raw", Preparation(spacing_xyz=SPACING), Workspace(folder / "ws"))


@pytest.fixture(scope="module")
def teacher(prepared: PreparedDataset, folder: Path) -> TrainedTeacher:
    """It finds organs: an untrained one starts from background."""
    place = write_model(folder / "teacher", prepared.description, SPACING)
    weights = load_file(place / "model.safetensors")
    (bias,) = [name for name, values in weights.items() if (values[1:] == ORGAN_PRIOR).all() and len(values) == 14]
    weights[bias][[1, 6]] = float(weights[bias][0])
    save_file(weights, place / "model.safetensors")
    return TrainedTeacher.of(place, OVERLAP)


def section(unlabelled: PreparedDataset | str, **changes: object) -> DistillationSection:
    named = unlabelled if isinstance(unlabelled, str) else str(unlabelled.manifest)
    return DistillationSection.model_validate({"teacher": "t", "unlabelled": named} | changes)


@pytest.fixture(scope="module")
def found(prepared: PreparedDataset, teacher: TrainedTeacher, folder: Path) -> Unlabelled:
    workspace = Workspace(folder / "ws")
    alone = prepare_unlabelled(prepared, folder / "ohne Labels", workspace)
    return answered(section(alone), teacher, prepared, workspace)


def test_they_are_prepared_as_the_labelled_ones_are_and_answered_by_the_teacher(
    prepared: PreparedDataset, teacher: TrainedTeacher, found: Unlabelled
) -> None:
    assert [case.case_id for case in found.cases] == ["Größe 1", "b"]
    assert pickle.loads(pickle.dumps(found)) == found  # they go to other processes
    labelled = prepared.cases("train")[0]
    for case, points in zip(found.cases, found.points, strict=True):
        assert case.record.contents is None and case.spacing_DHW == labelled.spacing_DHW
        answer = teacher.answers(case, tuple(slice(0, n) for n in case.shape_DHW))
        whole_KDHW = np.zeros((14, *case.shape_DHW), np.float32)
        for part, probabilities in answer:
            whole_KDHW[:, *part] = probabilities.numpy()
        stored = found.teacher.probabilities(case, (0, 0, 0), case.shape_DHW) / 255
        assert np.abs(stored - whole_KDHW).max() <= 1 / 255
        for value, places in points.items():
            assert places and (stored.argmax(0).flat[places] == value).all()


def test_they_take_their_share_of_an_epoch_and_change_nothing_else(
    prepared: PreparedDataset, teacher: TrainedTeacher, found: Unlabelled, folder: Path
) -> None:
    stored = stored_teacher(teacher, prepared, Workspace(folder / "ws"))
    plain = PatchDataset(prepared, PATCH, 60, teacher=stored)
    mixed = PatchDataset(prepared, PATCH, 60, teacher=stored, unlabelled=found)
    assert len(mixed) == len(plain) == 120
    labels = {case.case_id for case in prepared.cases("train")}
    alone = 0
    for index in range(len(mixed)):
        patch = mixed[index]
        if patch["case_id"] in labels:
            assert all(torch.equal(patch[name], plain[index][name]) for name in ("image", "label", "probabilities"))
        else:
            alone += 1
            assert patch["annotated"].tolist() == [True] + 13 * [False] and not patch["label"].any()
            assert patch["probabilities"][1:].any()
    assert 45 <= alone <= 75  # half of 120
    again = PatchDataset(prepared, PATCH, 60, teacher=stored, unlabelled=found)
    assert all(torch.equal(mixed[index]["image"], again[index]["image"]) for index in range(6))


def test_their_labels_cost_nothing_and_the_teacher_its_share() -> None:
    """Background everywhere and no class annotated: the labels' loss and its gradient are 0, whatever is said."""
    teacher = torch.tensor([51, 204, 0], dtype=torch.uint8).view(1, 3, 1, 1, 1).expand(1, 3, 2, 2, 2)
    batch = {
        "label": torch.zeros(1, 1, 2, 2, 2, dtype=torch.uint8),
        "annotated": torch.tensor([[True, False, False]]),
        "probabilities": teacher,
    }
    logits = torch.randn(1, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    losses = DistillationObjective(0.25, squared_error)(logits, batch)
    assert losses["segmentation_loss"].item() == 0
    assert losses["loss"].item() == pytest.approx(0.75 * squared_error(logits, teacher / 255).item())
    losses["segmentation_loss"].sum().backward()
    assert logits.grad is not None and not logits.grad.any()


def test_where_the_teacher_is_not_sure_it_has_no_say() -> None:
    """Two voxels, of which it is sure of one (0.8 and 0.6, at least 0.7): the error of that one, and no gradient."""
    teacher = torch.tensor([[204, 102], [51, 153]], dtype=torch.uint8).view(1, 2, 1, 1, 2)
    batch = {
        "label": torch.zeros(1, 1, 1, 1, 2, dtype=torch.uint8),
        "annotated": torch.ones(1, 2, dtype=torch.bool),
        "probabilities": teacher,
    }
    logits = torch.zeros(1, 2, 1, 1, 2, requires_grad=True)
    distance = DistillationObjective(0.0, squared_error, 0.7)(logits, batch)["distillation_loss"]
    assert distance.item() == pytest.approx(2 * 0.3**2 / 4)
    distance.sum().backward()
    assert logits.grad is not None
    assert logits.grad[..., 0].abs().min() > 0 and not logits.grad[..., 1].any()


def test_scans_that_test_are_refused_under_any_name_and_training_cases_left_out(
    prepared: PreparedDataset, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, workspace = folder / "raw" / "imagesTr", Workspace(folder / "ws")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for number, name in ((1, "known"), (4, "secret")):
        nib.save(nib.load(raw / f"img{number:04d}.nii.gz"), mixed / f"{name}.nii")  # other bytes, the same scan
    alone = prepare_unlabelled(prepared, mixed, workspace)
    with pytest.raises(UnlabelledError, match=r"validate or test: secret is img0004 \(test\)"):
        unlabelled_cases(section(alone), prepared)
    (mixed / "secret.nii").unlink()
    with pytest.raises(UnlabelledError, match="none to learn from: no case is there that is not labelled, too"):
        unlabelled_cases(section(prepare_unlabelled(prepared, mixed, workspace)), prepared)
    assert "1 of 1 scans without labels are training cases, and left out" in capsys.readouterr().out


def test_what_the_teacher_is_not_sure_of_is_left_out(
    prepared: PreparedDataset, teacher: TrainedTeacher, found: Unlabelled, folder: Path
) -> None:
    workspace = Workspace(folder / "ws")
    alone = prepare_unlabelled(prepared, folder / "ohne Labels", workspace)
    records = found.teacher.records.values()  # type: ignore[attr-defined]
    sureness = [each.sureness for each in records]
    least = sum(sureness) / 2  # between the two
    kept = answered(section(alone, unlabelled_sureness=least), teacher, prepared, workspace)
    assert [case.case_id for case in kept.cases] == [["Größe 1", "b"][int(np.argmax(sureness))]]
    with pytest.raises(UnlabelledError, match="not sure enough of any"):
        answered(section(alone, unlabelled_sureness=1.0), teacher, prepared, workspace)


def test_a_folder_that_cannot_be_used_is_named(prepared: PreparedDataset, folder: Path, tmp_path: Path) -> None:
    workspace = Workspace(folder / "ws")
    with pytest.raises(DatasetError, match="holds no case"):
        prepare_unlabelled(prepared, tmp_path, workspace)
    (tmp_path / "rubbish.nii.gz").write_bytes(b"no scan")
    with pytest.raises(UnlabelledError, match="rubbish"):
        prepare_unlabelled(prepared, tmp_path, workspace)


def test_a_folder_of_dicom_series_will_do(prepared: PreparedDataset, folder: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "first", ct_slices(ct(1), "LPI"))
    (case,) = unlabelled_cases(section(prepare_unlabelled(prepared, tmp_path, Workspace(folder / "ws"))), prepared)
    assert case.case_id == "first" and case.record.contents is None


def test_of_few_labels_the_rest_is_what_the_teacher_tells_of(
    prepared: PreparedDataset, teacher: TrainedTeacher, folder: Path
) -> None:
    """One of two training cases keeps its label; where to look in the other is the teacher's to say."""
    few = with_labelled(prepared, 1)
    assert few.fingerprint != prepared.fingerprint and with_labelled(prepared, 2).fingerprint == prepared.fingerprint
    assert [[case.case_id for case in few.cases(split)] for split in ("train", "val", "test")] == [
        ["img0001"],
        ["img0003"],
        ["img0004"],
    ]
    rest = answered(section("rest"), teacher, few, Workspace(folder / "ws"))
    (case,) = rest.cases
    assert case.case_id == "img0002" and set(rest.points[0]) <= {0, 1, 6}  # the organs that this teacher finds
    stored = stored_teacher(teacher, few, Workspace(folder / "ws"))
    drawn = {patch["case_id"]: patch for patch in PatchDataset(few, PATCH, 9, teacher=stored, unlabelled=rest)}
    assert not drawn["img0002"]["label"].any()
    with pytest.raises(DatasetError, match=r"few has 2 training cases: lower --dataset\.labelled 3"):
        with_labelled(prepared, 3)
    with pytest.raises(UnlabelledError, match="none to learn from"):
        unlabelled_cases(section("rest"), prepared)


def test_a_source_without_labels_is_named_by_its_name(ray_local: str, tmp_path: Path) -> None:
    description = write_sources(tmp_path)
    together = prepare(description, None, Preparation(spacing_xyz=SOURCES_SPACING), Workspace(tmp_path / "ws"))
    assert [case.case_id for case in unlabelled_cases(section("bare"), together)] == ["bare_x"]
    with pytest.raises(UnlabelledError, match="the source ours has labels"):
        unlabelled_cases(section("ours"), together)


def experiment(folder: Path, **distillation: object) -> Experiment:
    settings = {
        "name": "few",
        "dataset": {"name": str(folder / "few.yaml"), "root": str(folder / "raw"), "spacing_xyz": SPACING},
        "model": {"name": "autosam_demo", "patch_DHW": (16, 16, 16), "options": {"embed_dim": 16, "window": 4}},
        "training": {"epochs": 1, "warmup_epochs": 0, "patches_per_case": 4, "loader_workers": 0},
        "distillation": {"teacher": str(folder / "teacher")} | distillation,
        "inference": {"overlap": OVERLAP},
        "compute": {"cpus_per_worker": 1, "memory_check": False},
    }
    return Experiment.model_validate(settings)


def test_a_student_learns_from_them_and_its_twin_knows_nothing_of_it(
    prepared: PreparedDataset, found: Unlabelled, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(folder / "ws")
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(folder / "ws"))
    told = with_unlabelled(experiment(folder, unlabelled=str(folder / "ohne Labels")))
    assert told.distillation.unlabelled is not None and Path(told.distillation.unlabelled).suffix == ".json"
    assert with_unlabelled(told) == told
    run = fit_student(told, prepared, workspace, InProcess(), quiet=True).run
    card = json.loads((run.model / "model.json").read_text())
    assert card["lineage"]["unlabelled"] == "2 scans, 50% of the patches"
    assert run.experiment.distillation.unlabelled == told.distillation.unlabelled
    recorded = run.config.read_text()
    assert str(folder) not in [line.split(": ")[-1] for line in recorded.splitlines() if "unlabelled:" in line]
    plain, alone = experiment(folder), {"kd_lambda": 1.0, "unlabelled": told.distillation.unlabelled}
    assert run.name == told.run_id(prepared.fingerprint) != plain.run_id(prepared.fingerprint)
    assert experiment(folder, **alone).run_id("data") == experiment(folder, kd_lambda=1.0).run_id("data")
    assert experiment(folder, unlabelled_share=0.3).run_id("data") == plain.run_id("data")


def test_what_cannot_go_together_is_refused(
    prepared: PreparedDataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(folder / "ws"))
    for changes in ({"teacher": None}, {"teacher_mode": "online"}):
        with pytest.raises(ValueError, match="leave --unlabelled out"):
            experiment(folder, unlabelled="somewhere", **changes)
    with pytest.raises(ConfigError, match="--unlabelled nowhere is no folder, not 'rest' and no source of few"):
        with_unlabelled(experiment(folder, unlabelled="nowhere"))
