"""The jobs as a person launches them: commands in, exit status, messages and files out."""

import errno
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from patience import HANG_S
from synthetic_scans import make_scan, write_btcv, write_btcv_case

from autosam_platform.command_line import CommandLine
from autosam_platform.pipeline.ending import Outcome, run_job
from autosam_platform.tracking.writing import read_curves
from autosam_platform.training import on_ray
from autosam_platform.training.in_process import InProcess
from autosam_platform.workspace import Workspace

JOBS = Path(__file__).parents[1] / "jobs"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scans, two to train on, and a recipe beside them."""
    folder = write_btcv(tmp_path_factory.mktemp("raw"), 4)
    (folder / "tiny.yaml").write_text(
        "extends: btcv\nname: tiny\ntitle: tiny\nspacing_xyz: [2.0, 2.0, 3.0]\n"
        "split: {rule: in_order, parts: [{split: train, cases: 2}, {split: val, cases: 1}, {split: test, cases: 1}]}\n"
    )
    recipe = {
        "name": "tiny",
        "dataset": {"name": str(folder / "tiny.yaml"), "root": str(folder)},
        "model": {"name": "autosam_demo", "patch_DHW": [16, 16, 16], "options": {"embed_dim": 16, "window": 2}},
        "training": {"epochs": 2, "warmup_epochs": 1, "patches_per_case": 2, "loader_workers": 0},
        "inference": {"overlap": 0.25},
        "compute": {"cpus_per_worker": 1},
    }
    (folder / "recipe.json").write_text(json.dumps(recipe))  # JSON is YAML
    return folder


@pytest.fixture(scope="module")
def job(ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run ``jobs/NAME.py`` in an empty folder, with a workspace for all tests of this module."""
    workspace, home = tmp_path_factory.mktemp("jobs"), tmp_path_factory.mktemp("home")
    environment = {**os.environ, "AUTOSAM_WORKSPACE": str(workspace), "RAY_ADDRESS": ray_local}

    def run(name: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(JOBS / f"{name}.py"), *map(str, arguments)]
        own = environment | variables
        return subprocess.run(command, env=own, cwd=home, capture_output=True, text=True, timeout=HANG_S)

    run.workspace = str(workspace)  # type: ignore[attr-defined]
    return run


@pytest.fixture
def job_here(
    job: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same in this process, which has joined Ray: saves seconds of imports where the start is not the question."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(JOBS / f"{name}.py"), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.syspath_prepend(str(JOBS))
        capfd.readouterr()
        status = 0
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
        return subprocess.CompletedProcess(command, status, *capfd.readouterr())

    monkeypatch.setenv("AUTOSAM_WORKSPACE", job.workspace)  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def trained(job: Run, scans: Path) -> dict[str, object]:
    """What training the recipe printed on its last line."""
    done = job("train_teacher", "--recipe", scans / "recipe.json", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_trained_run_leaves_model_metrics_pictures_and_curves(trained: dict[str, object]) -> None:
    folder = Path(str(trained["place"]))
    assert folder.name == trained["run"]
    for part in ("config.yaml", "curves.png", "model/model.safetensors", "model/model.json", "evaluation/metrics.csv"):
        assert (folder / part).stat().st_size > 0, part
    assert len(list((folder / "evaluation" / "pictures").glob("*.png"))) == trained["n_cases"] == 1
    assert len(list((folder / "evaluation" / "predictions").glob("*.nii.gz"))) == 1


def test_the_seconds_of_each_phase_are_printed_and_in_the_runs_record(
    job_here: Run, trained: dict[str, object]
) -> None:
    done = job_here("evaluate")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("Seconds per case, median of 1: ")]
    phases = ["read", "resample", "network", "write", "score", "picture", "total"]
    assert [each.split()[0] for each in line.partition(": ")[2].split(", ")] == phases
    folder = Path(str(trained["place"]))
    recorded = {name: points[-1][1] for name, points in read_curves(Workspace(folder.parents[1]), folder.name).items()}
    seconds = json.loads((folder / "evaluation" / "summary.json").read_text())["seconds_per_case"]
    assert list(seconds) == phases
    assert {name: recorded[f"test/seconds/{name}"] for name in phases} == seconds == trained["seconds_per_case"]


def test_the_same_command_again_finds_the_run(job_here: Run, scans: Path, trained: dict[str, object]) -> None:
    done = job_here("train_teacher", "--recipe", scans / "recipe.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was trained before and is found" in done.stdout
    assert done.stdout.splitlines()[-1] == f"Result: {trained['place']}"


def test_a_workspace_that_was_moved_works_in_full_and_leaves_the_old_place_alone(
    job_here: Run, trained: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved with the raw data in it: by what is recorded, all else than Ray's own files leads to the new place."""
    old, moved = Path(str(trained["place"])).parents[1], tmp_path / "moved"
    shutil.copytree(old, moved)
    files = {path: path.stat().st_mtime_ns for path in old.rglob("*") if path.is_file()}
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(moved))
    done = job_here("evaluate", "--run", trained["run"], "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["place"] == str(moved / "runs" / str(trained["run"]))
    assert {name: result[name] for name in ("mean_dice", "n_cases", "seconds_per_case")} == {
        name: trained[name] for name in ("mean_dice", "n_cases", "seconds_per_case")
    }, "what was evaluated is found"
    assert {path: path.stat().st_mtime_ns for path in old.rglob("*") if path.is_file()} == files
    for record in (path for path in moved.rglob("*") if path.suffix in (".json", ".yaml", ".csv", ".txt", ".db")):
        if "ray" not in record.relative_to(moved).parts:
            assert str(old).encode() not in record.read_bytes(), record


def test_evaluate_takes_another_split(job: Run, trained: dict[str, object]) -> None:
    done = job("evaluate", "--split", "val", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["n_cases"] == 1
    assert (Path(str(trained["place"])) / "evaluation-val" / "metrics.csv").exists()


def test_evaluate_takes_a_dataset_that_the_run_never_saw(
    job_here: Run, trained: dict[str, object], scans: Path, tmp_path: Path
) -> None:
    """Beside the run's own scores, which stay; at the run's spacing, whatever the other dataset would choose."""
    other = tmp_path / "other.yaml"
    other.write_text(
        "extends: btcv\nname: other\nspacing_xyz: [5.0, 5.0, 5.0]\nsplit: {rule: every_case, splits: [test]}\n"
    )
    own = (Path(str(trained["place"])) / "evaluation" / "metrics.csv").read_bytes()
    refused = job_here("evaluate", "--run", trained["run"], "--dataset", other, "--root", scans)
    assert refused.returncode == 1 and "3 of the 4 test cases that other has now: img0001, img0002" in refused.stderr
    for number in range(1, 5):
        write_btcv_case(tmp_path, number, make_scan(10 + number))
    done = job_here("evaluate", "--run", trained["run"], "--dataset", other, "--root", tmp_path, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["dataset"], result["n_cases"]) == ("other", 4)
    (place,) = Path(str(trained["place"])).glob("evaluation-other-*-test")
    assert len(list((place / "predictions").glob("*.nii.gz"))) == 4
    assert (Path(str(trained["place"])) / "evaluation" / "metrics.csv").read_bytes() == own
    run = Path(str(trained["place"]))
    assert f"{place.name}/mean_dice" in read_curves(Workspace(run.parents[1]), run.name)


def test_predict_answers_on_the_scans_grid(job: Run, scans: Path, trained: dict[str, object], tmp_path: Path) -> None:
    scan, target = scans / "imagesTr" / "img0001.nii.gz", tmp_path / "labels.nii.gz"
    done = job("predict", "--input", scan, "--output", target)
    assert done.returncode == 0, done.stdout + done.stderr
    image, label = nib.load(scan), nib.load(target)
    assert label.shape == image.shape
    assert nib.aff2axcodes(label.affine) == nib.aff2axcodes(image.affine)
    np.testing.assert_allclose(label.affine, image.affine)
    assert (tmp_path / "labels.png").exists()
    header, line = ((tmp_path / "labels.seconds.csv").read_text()).splitlines()
    assert header == "case,read,coarse,resample,network,write,total"
    assert line.startswith("img0001,") and all(float(value) > 0 for value in line.split(",")[1:])


def test_a_student_is_distilled_and_compared_with_its_twin_and_its_teacher(
    job_here: Run, scans: Path, trained: dict[str, object]
) -> None:
    """The teacher is of the student's own size here, so that the twin is the run which teaches: found, not trained."""
    settings = ["--recipe", scans / "recipe.json", "--student", "autosam_demo", "--teacher", trained["run"]]
    done = job_here("distill_student", *settings, "--kd-lambda", 0.5, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["twin"] == trained["run"] != result["run"]
    assert set(result["models"]) == {"teacher", "student without distillation", "student"}
    assert result["models"]["student without distillation"]["mean_dice"] == trained["mean_dice"]
    folder = Path(result["place"])
    card = json.loads((folder / "model" / "model.json").read_text())
    assert card["lineage"]["teacher"] == trained["run"] and card["lineage"]["kd_lambda"] == "0.5"
    assert card["split"]["train"] == ["img0001", "img0002"] and len(card["lineage"]["teacher_hash"]) == 16
    assert {path.name for path in (folder / "report").iterdir()} == {"report.csv", "report.json", "report.png"}
    curves = read_curves(Workspace(folder.parents[1]), folder.name)
    total, labels, teacher = (
        [value for _, value in curves[f"train/{name}"]] for name in ("loss", "segmentation_loss", "distillation_loss")
    )
    assert total == pytest.approx([0.5 * one + 0.5 * other for one, other in zip(labels, teacher, strict=True)])
    again = job_here("distill_student", *settings)
    assert again.returncode == 0 and again.stdout.splitlines()[-1] == f"Result: {folder}"
    assert "teacher's probabilities" not in again.stdout


def test_several_seeds_are_trained_in_turn_and_compared_together(
    job_here: Run, scans: Path, trained: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first seed's student and twin are those of the test before, and are found."""
    monkeypatch.setattr(on_ray, "OnRay", InProcess)
    settings = ["--recipe", scans / "recipe.json", "--student", "autosam_demo", "--teacher", trained["run"]]
    done = job_here("distill_student", *settings, "--kd-lambda", 0.5, "--seeds", 2, "--concurrent", 1, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    found, folder = result["over_seeds"], Path(result["place"])
    assert found["runs"][0] == result["run"] == folder.name != found["runs"][1]
    second = json.loads((folder.with_name(found["runs"][1]) / "report" / "report.json").read_text())
    pair = "student vs student without distillation"
    differences = [each["wilcoxon"][pair]["dice"]["mean_difference"] for each in (result, second)]
    assert found["dice"]["per_seed"] == pytest.approx(differences) and found["dice"]["n"] == 1
    assert found["dice"]["mean"] == pytest.approx(sum(differences) / 2)
    assert json.loads((folder / "report" / "over_seeds.json").read_text()) == found
    assert f"{pair} over 2 seeds, NSD: " in done.stdout
    ours, theirs = (
        [result["run"], found["runs"][1]],
        [result["twin"], second["models"][pair.partition(" vs ")[2]]["run"]],
    )
    again = job_here("evaluate", "--run", ",".join(ours), "--against", ",".join(theirs), "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["gain"] == {name: found[name] for name in ("dice", "nsd")}
    for named, message in (
        (theirs[0], "--run names 2 and --against 1"),
        (",".join(ours), f"{ours[0]} stands against itself"),
    ):
        refused = job_here("evaluate", "--run", ",".join(ours), "--against", named)
        assert refused.returncode == 1 and message in refused.stderr and "Traceback" not in refused.stderr
    twice = job_here("evaluate", "--run", f"{ours[0]},{ours[0]}", "--against", ",".join(theirs))
    assert twice.returncode == 1 and f"--run names {ours[0]} twice" in twice.stderr


def test_student_and_twin_are_trained_beside_one_another_where_the_cluster_holds_both(
    job: Run, job_here: Run, scans: Path, trained: dict[str, object]
) -> None:
    """What each says goes into a file of its run; the same command finds both."""
    settings = ["--recipe", scans / "recipe.json", "--student", "unet_nano", "--teacher", trained["run"], "--json"]
    done = job("distill_student", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 trainings: 2 trainings at a time, 1 core each" in done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    runs = Path(result["place"]).parent
    for name in (result["run"], result["twin"]):
        told = (runs / name / "training.log").read_text(encoding="utf-8")
        assert f"{name} is trained: {runs / name / 'model'}" in told
        assert done.stdout.index(f"{name} begins") < done.stdout.index(f"{name} is trained")
    both = sorted(done.stdout.index(f"{result[name]} begins") for name in ("run", "twin"))
    assert both[1] < min(done.stdout.index(f"{result[name]} is trained") for name in ("run", "twin"))
    again = job_here("distill_student", *settings)
    assert again.returncode == 0 and "at a time" not in again.stdout
    assert json.loads(again.stdout.splitlines()[-1])["models"] == result["models"]


def test_a_student_that_cannot_be_built_is_told_of_before_its_teacher_is_trained(job_here: Run, scans: Path) -> None:
    student = [*("--student", "swin_unetr_tiny"), *("--model.patch-DHW", 16, 16, 16), *("--teacher", "demo")]
    done = job_here("distill_student", "--recipe", scans / "recipe.json", *student)
    assert done.returncode == 1 and "patch" in done.stderr and "Traceback" not in done.stderr
    assert "training" not in done.stdout


@pytest.mark.parametrize(
    ("parts", "tolerance_mm", "message"),
    [
        ("test: 1, val: 1, train: 2", 2.0, "the test cases of {} (other, 1) are not those of {}"),
        ("train: 2, val: 1, test: 1", 1.0, "{} (other) and {} (tiny) differ in classes or in the tolerance of NSD"),
    ],
)
def test_runs_that_are_tested_otherwise_are_not_compared(
    parts: str,
    tolerance_mm: float,
    message: str,
    job_here: Run,
    scans: Path,
    trained: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the order is another, the other run's test case is one that this one was trained on."""
    monkeypatch.setattr(on_ray, "OnRay", InProcess)
    split = [{"split": name, "cases": int(cases)} for name, cases in (part.split(": ") for part in parts.split(", "))]
    description = {"extends": "btcv", "name": "other", "spacing_xyz": [2.0, 2.0, 3.0], "nsd_tolerance_mm": tolerance_mm}
    file = tmp_path / "other.yaml"
    file.write_text(json.dumps(description | {"split": {"rule": "in_order", "parts": split}}))  # JSON is YAML
    settings = ["--dataset.name", file, "--training.seed", 2]  # a tolerance alone is no other training
    other = job_here("train_teacher", "--recipe", scans / "recipe.json", *settings, "--json")
    assert other.returncode == 0, other.stdout + other.stderr
    name = json.loads(other.stdout.splitlines()[-1])["run"]
    refused = job_here("evaluate", "--run", trained["run"], "--against", name)
    assert refused.returncode == 1 and message.format(name, trained["run"]) in refused.stderr, refused.stderr


def test_a_student_is_trained_by_the_same_loop(job_here: Run, scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: tests/training/test_fit.py holds a worker on Ray equal to it, bit for bit."""
    monkeypatch.setattr(on_ray, "OnRay", InProcess)
    settings = ["--model.patch-DHW", 64, 32, 32, "--training.epochs", 1, "--training.warmup-epochs", 0]
    done = job_here(
        "train_baseline", "--model", "swin_unetr_tiny", "--recipe", scans / "recipe.json", *settings, "--json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert str(result["run"]).startswith("tiny-swin_unetr_tiny-") and result["n_cases"] == 1
    assert "4.08 M of 4.08 M parameters are trained" in done.stdout and "SAM" not in done.stdout
    assert "could not be estimated" not in done.stdout


def test_a_teacher_is_no_baseline(job_here: Run) -> None:
    done = job_here("train_baseline", "--model", "autosam_demo")
    assert done.returncode == 2
    assert "jobs/train_teacher.py trains it; --model is one of nnformer, nnunet, nnunet_resenc_l, " in done.stderr


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("train_teacher", ["--recipe", "one_scan", "--dataset.root", "/nowhere"], "/nowhere"),
        ("distill_student", ["--teacher", "no-such-run"], "'no-such-run' is no finished run"),
        ("train_baseline", ["--recipe", "distill"], "start jobs/distill_student.py, or add --kd-lambda 1"),
        ("train_baseline", ["--model.patch-DHW", "32", "32", "32"], "take 64 × 32 × 32 or more"),
        ("evaluate", ["--run", "no-such-run"], "'no-such-run' is no finished run"),
        ("evaluate", ["--root", "/data"], "name its description with --dataset"),
        ("evaluate", ["--dataset", "amos", "--root", "/nowhere"], "/nowhere"),
        ("predict", ["--input", "missing.nii.gz"], "missing.nii.gz"),
        ("predict", ["--output", "labels.png"], "labels.png must end in .nii.gz"),
    ],
)
def test_what_a_person_can_put_right_is_said_without_a_traceback(
    job_here: Run, trained: dict[str, object], name: str, arguments: list[str], message: str
) -> None:
    done = job_here(name, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_rejected_case_stops_the_training_before_it_begins(job_here: Run, scans: Path, tmp_path: Path) -> None:
    broken = write_btcv(tmp_path, 4)
    whole = (broken / "imagesTr" / "img0002.nii.gz").read_bytes()
    (broken / "imagesTr" / "img0002.nii.gz").write_bytes(whole[: len(whole) // 2])
    done = job_here("train_teacher", "--recipe", scans / "recipe.json", "--dataset.root", broken)
    assert done.returncode == 1
    assert "img0002" in done.stderr and "--dataset.allow-rejected" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_job_may_be_submitted_with_variables_that_we_set_too(job: Run, scans: Path, tmp_path: Path) -> None:
    """`ray job submit --runtime-env-json` puts its variables into the environment, and itself into one of Ray's."""
    variables = {"AUTOSAM_WORKSPACE": str(tmp_path), "RAY_TRAIN_V2_ENABLED": "1"}
    submitted = json.dumps({"runtime_env": {"env_vars": variables}})
    recipe = scans / "recipe.json"
    done = job("prepare", "--recipe", recipe, RAY_JOB_CONFIG_JSON_ENV_VAR=submitted, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "prepared").glob("tiny-*/dataset-*.json"))


def test_a_check_prints_the_resolved_settings_and_does_nothing(job_here: Run) -> None:
    done = job_here("train_teacher", "--training.epochs", "7", "--check")
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load(done.stdout)
    assert settings["training"]["epochs"] == 7 and settings["recipe"] == "demo"


def test_a_full_disk_is_said_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> Outcome:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/case.b2nd")

    with pytest.raises(SystemExit, match="1"):
        run_job(full, CommandLine())
    assert "The disk is full (/data/case.b2nd): make room" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("suite", "options", "same_within"),
    [
        ("teacher", ("--model", "autosam_demo", "--patch", 32, "--step-patch", 32), 5e-4),
        ("window", ("--size-DHW", 48, 64, 64, "--patch", 32), 1e-3),
        ("metrics", ("--size-DHW", 50, 128, 128), 1e-6),
    ],
)
def test_a_benchmark_compares_ours_with_the_plain_way(
    job_here: Run, suite: str, options: tuple[object, ...], same_within: float
) -> None:
    done = job_here("benchmark", suite, *options, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert Path(result["place"]).read_text() and "torch" in result["machine"]
    for row in result["rows"]:
        assert row["ours_s"] > 0 and row["ratio"] == pytest.approx(row["reference_s"] / row["ours_s"])
        assert row["ours_peak_mb"] is None or row["ours_peak_mb"] >= 0
        if "bf16" not in row["name"]:
            assert row["max_difference"] < same_within, row["name"]


def test_a_benchmark_of_a_suite_that_is_not_there_is_refused(job_here: Run) -> None:
    done = job_here("benchmark", "speed")
    assert done.returncode == 2 and "teacher" in done.stderr


def test_a_study_finds_what_is_trained_trains_the_rest_and_continues(
    job: Run, job_here: Run, scans: Path, trained: dict[str, object], tmp_path: Path
) -> None:
    """A row without changes is the run that is there; one that cannot be built is a dash with the reason."""
    study = {
        "title": "Two systems",
        "figure": "slices",
        "starred": "same",
        "columns": {"tiny": {"title": "Tiny scans"}},
        "rows": {
            "same": {"title": "as it was"},
            "other": {"title": "without APG", "changes": {"model.options.apg": False}},
            "lost": {"title": "diverged", "changes": {"training.learning_rate": 0.99, "training.clip_norm": 1e30}},
        },
    }
    (tmp_path / "systems.yaml").write_text(yaml.safe_dump(study))
    command = ["study", tmp_path / "systems.yaml", "--recipe", scans / "recipe.json", "--concurrent", "2", "--json"]
    done = job(*command)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    folder = Path(told["place"])
    results = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    cells = {cell["row"]: cell for cell in results["cells"]}
    assert cells["same"]["members"][0]["run"] == trained["run"]
    assert cells["same"]["members"][0]["dice"] == pytest.approx(trained["mean_dice"])
    assert cells["other"]["members"][0]["run"] != trained["run"]
    assert (done.returncode, told["done"]) == (0, 3) if cells["lost"]["members"] else (3, 2)
    assert "of training and evaluation" in done.stdout
    assert {path.name for path in folder.glob("*.*")} >= {
        "table.md",
        "table.csv",
        "table.tex",
        "report.html",
        "figure.png",
    }
    assert (folder / "logs" / "other-tiny.log").read_text(encoding="utf-8")
    again = job_here(*command)
    assert json.loads(again.stdout.splitlines()[-1])["study"] == told["study"]
    assert "trainings for" not in again.stdout
