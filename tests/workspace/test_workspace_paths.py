"""Where things lie, and paths in records that survive a move of the workspace."""

import os
from pathlib import Path

import pytest

from autosam_inference.files import write_json
from autosam_platform.experiment import Experiment
from autosam_platform.workspace import PredictionFolder, Workspace, settings_at
from autosam_platform.workspace.predictions import PredictionFolderError
from autosam_platform.workspace.runs import RunFolderError


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)
    return path


def _moved(workspace: Workspace) -> Workspace:
    target = workspace.folder.with_name("moved")
    workspace.folder.rename(target)
    return Workspace(target)


@pytest.fixture
def ours(tmp_path: Path) -> Workspace:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return Workspace(folder)


def test_a_path_inside_is_kept_from_the_workspace_and_one_outside_as_it_is(ours: Workspace, tmp_path: Path) -> None:
    inside, outside = _file(ours.folder / "datasets" / "a" / "scan.nii.gz"), _file(tmp_path / "scan.nii.gz")
    assert ours.relative(inside) == "datasets/a/scan.nii.gz"
    assert ours.relative(ours.folder / "runs" / ".." / "datasets" / "a") == "datasets/a"
    assert ours.relative(outside) == str(outside)
    here = _moved(ours)
    assert here.resolve("datasets/a/scan.nii.gz") == here.folder / "datasets/a/scan.nii.gz"
    assert here.resolve(str(outside)) == outside


def test_a_link_to_the_workspace_is_the_workspace(ours: Workspace, tmp_path: Path) -> None:
    scan = _file(ours.folder / "datasets" / "scan.nii.gz")
    link = tmp_path / "link"
    link.symlink_to(ours.folder)
    assert Workspace(link).relative(scan) == ours.relative(link / "datasets" / "scan.nii.gz") == "datasets/scan.nii.gz"


def test_an_old_absolute_path_is_looked_for_in_the_workspace_that_was_moved(ours: Workspace) -> None:
    old = _file(ours.folder / "datasets" / "phantom-1" / "scan.nii.gz")
    _file(ours.folder / "scan.nii.gz")
    here = _moved(ours)
    assert here.resolve(str(old)) == here.folder / "datasets" / "phantom-1" / "scan.nii.gz"
    elsewhere = "/nowhere/scan.nii.gz"  # one name alone is not enough to be taken for it
    assert here.resolve(elsewhere) == Path(elsewhere)
    assert here.resolve("/nowhere/../datasets/phantom-1/scan.nii.gz").parts[1] == "nowhere"


def test_an_old_path_from_the_folder_of_the_job_is_kept(
    ours: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _file(tmp_path / "raw" / "scan.nii.gz")
    assert ours.resolve("raw") == Path("raw")
    assert ours.resolve("absent") == ours.folder / "absent"


def test_a_run_s_record_as_a_recipe_names_files_where_they_are_now(ours: Workspace, tmp_path: Path) -> None:
    raw = _file(ours.folder / "raw" / "a.nii").parent
    recorded = {"dataset": {"name": "btcv", "root": "raw"}, "model": None}
    here = _moved(ours)
    for path in (here.run("student-1").config, here.sweep("kd_lambda-1").best):
        assert settings_at(path, recorded) == {
            "dataset": {"name": "btcv", "root": str(here.folder / "raw")},
            "model": None,
        }
    assert not raw.exists()
    assert settings_at(here.folder / "raw" / "config.yaml", recorded) == recorded  # anybody's recipe


def test_an_experiment_is_read_back_from_a_moved_workspace(ours: Workspace, tmp_path: Path) -> None:
    teacher, raw = _file(ours.run("teacher-1").model_card).parent, _file(ours.folder / "raw" / "a.nii").parent
    experiment = Experiment.model_validate(
        {"dataset": {"name": "btcv", "root": raw}, "distillation": {"teacher": str(teacher), "kd_lambda": 0.25}}
    )
    recorded = ours.run("student-1").write_experiment(experiment)
    assert recorded["dataset"]["root"] == "raw" and recorded["distillation"]["teacher"] == "runs/teacher-1/model"
    assert ours.run("student-1").experiment == experiment
    here = _moved(ours)
    again = here.run("student-1").experiment
    assert again.dataset.root == here.folder / "raw"
    assert again.distillation.teacher == str(here.run("teacher-1").model)
    assert (
        again.distillation.kd_lambda == 0.25 and again.model_dump()["training"] == experiment.model_dump()["training"]
    )


def test_a_name_of_a_dataset_or_teacher_stays_a_name(ours: Workspace) -> None:
    experiment = Experiment.model_validate({"distillation": {"teacher": "demo"}})
    ours.run("student-1").write_experiment(experiment)
    assert ours.run("student-1").experiment.dataset.name == "phantom"
    assert ours.run("student-1").experiment.distillation.teacher == "demo"


@pytest.mark.parametrize("text", ["", "[1, 2]", "training: {epochs: many}", "a: b: c", "dataset: phantom"])
def test_a_config_that_is_none_is_named(ours: Workspace, text: str) -> None:
    run = ours.run("broken-1")
    with pytest.raises(RunFolderError, match=r"broken-1/config\.yaml"):
        _ = run.experiment
    run.folder.mkdir(parents=True)
    run.config.write_text(text)
    with pytest.raises(RunFolderError, match=r"broken-1/config\.yaml"):
        _ = run.experiment


def test_runs_are_found_in_order(ours: Workspace) -> None:
    assert ours.run_folders == ours.finished_runs == ours.sweeps == []
    for name in ("b-1", "a-1", "c-1"):
        ours.run(name).folder.mkdir(parents=True)
    for age, name in enumerate(("a-1", "c-1")):
        card = _file(ours.run(name).model_card)
        card.touch()
        os.utime(card, (age, age))
    assert [run.name for run in ours.run_folders] == ["a-1", "b-1", "c-1"]
    assert [run.name for run in ours.finished_runs] == ["c-1", "a-1"]
    assert not ours.run("b-1").finished and not ours.run("d-1").finished


def test_a_run_of_another_workspace_keeps_that_workspace(ours: Workspace, tmp_path: Path) -> None:
    other = Workspace(tmp_path / "other")
    assert ours.run_at(other.run("x-1").folder) == other.run("x-1")
    assert ours.run_at(ours.run("x-1").folder) == ours.run("x-1")
    assert ours.run_at(tmp_path / "x-1").paths == ours


def test_a_prediction_is_found_with_its_scan_after_a_move(ours: Workspace) -> None:
    scan = _file(ours.uploads / "abc" / "ct.1.nii.gz")
    made = ours.new_prediction("ct-run", scan)
    assert (made.label.name, made.picture.name, made.organs.name) == ("ct.1.nii.gz", "ct.1.png", "ct.1.label.json")
    assert ours.prediction("ct-run") is None
    made.write_record(scan, "run-1")
    here = _moved(ours)
    found = here.prediction("ct-run")
    assert found is not None and found.label == here.predictions / "ct-run" / "ct.1.nii.gz"
    assert found.scan_and_run() == (here.uploads / "abc" / "ct.1.nii.gz", "run-1")
    found.record.write_text("[]")
    with pytest.raises(PredictionFolderError, match=r"ct\.1\.scan\.json"):
        found.scan_and_run()
    assert PredictionFolder.find(here.predictions / "nothing", here) is None


def test_records_of_cases_are_found_by_their_ids_whatever_their_files_are_called(tmp_path: Path) -> None:
    folder = Workspace(tmp_path).run("demo").evaluation()
    for case_id in ("b03", "b03.label", "B03", "x" * 240):
        write_json(folder.record(case_id), {"case_id": case_id})
    write_json(folder.records / "Old.1.json", {"case_id": "Old.1"})  # as earlier versions named it
    assert folder.case_ids == ["B03", "Old.1", "b03", "b03.label", "x" * 240]
    assert len({folder.prediction(case_id) for case_id in folder.case_ids}) == 5
    assert [folder.recorded(case_id) for case_id in ("b03", "b03.label", "Old.1", "old.1", "Old*")] == [
        folder.records / "b03.json", folder.record("b03.label"), folder.records / "Old.1.json", None, None,
    ]  # fmt: skip
    assert folder.has_cases and not Workspace(tmp_path).run("other").evaluation().has_cases


def test_a_scan_of_any_name_has_a_place_for_its_prediction(tmp_path: Path) -> None:
    for name in ("CT Abdomen", "x" * 240, "ü" * 120):
        scan = _file(tmp_path / f"{name}.nii.gz")
        place = Workspace(tmp_path).new_prediction(Workspace(tmp_path).prediction_name(scan, "demo-01234567"), scan)
        for path in (place.label, place.organs, place.itk_snap_labels, place.picture, place.seconds, place.record):
            _file(path)
    assert _file(tmp_path / "CT Abdomen.nii.gz").is_file()
    assert next(tmp_path.glob("predictions/CT Abdomen-*")).joinpath("CT Abdomen.nii.gz").is_file()
