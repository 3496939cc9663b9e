"""How recipes and command lines fill a description, and what they refuse."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import tyro
from small_sam import save_hollow_sam

from autosam_platform.command_line import Job, load_recipe, parse_job, parse_kind_of_job, told_first
from autosam_platform.experiment import ConfigError

RECIPES = Path(__file__).parent.parent / "jobs" / "recipes"


class _NetworkJob(Job):
    network: Annotated[str, tyro.conf.arg(name="model")] = "swin_unetr_tiny"
    """Which network."""


def _job(*arguments: str) -> Job:
    return parse_job(arguments, RECIPES, description="test")


def _network_job(*arguments: str) -> _NetworkJob:
    return parse_kind_of_job(_NetworkJob, arguments, RECIPES, description="test", network="--model")


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without the frame and the line breaks of the terminal."""
    captured = capsys.readouterr()
    return " ".join((captured.err + captured.out).replace("│", " ").split())


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_a_valid_experiment(path: Path) -> None:
    job = _job("--recipe", path.stem, "--dataset.root", "/data")
    assert job.experiment().name == path.stem.replace("_", "-") or job.experiment().name == path.stem


def test_paper_recipe_is_the_papers() -> None:
    experiment = _job("--recipe", "btcv", "--dataset.root", "/data").experiment()
    training, model = experiment.training, experiment.model
    assert (model.name, model.patch_DHW) == ("autosam_vit_b", (128, 128, 128))
    assert (training.learning_rate, training.weight_decay, training.epochs, training.warmup_epochs) == (
        5e-4,
        1e-5,
        200,
        5,
    )
    assert (training.batch, experiment.compute.workers, experiment.inference.overlap) == (1, 8, 0.75)


def test_the_command_line_comes_after_the_recipe() -> None:
    job = _job("--training.epochs", "7", "--model.options.no-apg", "--json")
    assert (job.training.epochs, job.model.options["apg"], job.as_json) == (7, False, True)
    assert job.training.batch == load_recipe("demo", RECIPES)["training"]["batch"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--training.epochs", "-3"), "--training.epochs: must be more than 0"),
        (("--training.epoch", "3"), "--training.epochs"),
        (("--training.warmup-epochs", "900"), "warm-up epochs leave nothing"),
        (("--recipe", "btcv"), "--dataset.root FOLDER"),
        (("--recipe", "nothing"), "no recipe 'nothing': name one of amos, btcv"),
        (("--model.name", "resnet"), "There is no model named 'resnet'"),
        (("--inference.overlap", "1.5"), "--inference.overlap: must be at most 0.9"),
        (("--name", "../elsewhere"), "match pattern"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_remedy(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        _job(*arguments)
    assert stopped.value.code == 2
    assert message in _said(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--training.epochs", "0"), "--training.epochs: must be more than 0 (given: 0)\n"),
        (("--model.patch-DHW", "8", "0", "8"), "--model.patch-DHW.1: must be more than 0 (given: 0)\n"),
        (("--training.epochs", "0", "--training.batch", "-1"), "--training.batch: must be more than 0 (given: -1)\n"),
        (
            ("--dataset.root", "s3://AKIAME:pass@bucket/scans"),
            "--dataset.root: s3://…@bucket/scans has keys before an '@', which would be kept in records: put them into "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials\n",
        ),
        (
            ("--distillation.unlabelled", "gs://bucket/scans"),
            "--distillation.unlabelled: gs://bucket/scans is an address (gs:), and of addresses only s3:// is read: "
            "mount it on every machine and name the folder\n",
        ),
    ],
)
def test_a_wrong_value_is_told_of_in_a_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not in pydantic's words, with what was given: that may be a secret."""
    with pytest.raises(SystemExit) as stopped:
        _job(*arguments)
    told = capsys.readouterr().err
    assert stopped.value.code == 2
    assert told.endswith(message) and "pydantic" not in told and "AKIAME" not in told and "╭" not in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epoch: 3}", "no setting 'training.epoch'"),
        ("training: {epochs: many}", "training.epochs: .*given: 'many'"),
        ("dataset: {spacing_xyz: [1, 2, 0.01]}", r"dataset.spacing_xyz: 2: .*given: 0\.01"),
        ("training: 3", "training is a section, not a value: give its settings"),
        ("- a\n- b", "holds no settings"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_place(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(text)
    with pytest.raises(SystemExit):
        _job("--recipe", str(recipe))
    assert re.search(message, capsys.readouterr().err)


def test_load_recipe_names_what_there_is() -> None:
    with pytest.raises(ConfigError, match="demo"):
        load_recipe("dem", RECIPES)


def test_another_model_takes_the_place_of_the_recipes_and_of_its_options() -> None:
    for job in (_network_job(), _network_job("--model", "swin_unetr_tiny")):
        assert (job.name, job.model.name, job.model.options) == ("demo-swin_unetr_tiny", "swin_unetr_tiny", {})
        assert job.model.patch_DHW == _job().model.patch_DHW and job.training == _job().training
    assert _network_job("--model", "autosam_demo").experiment() == _job().experiment()  # the recipe's own


def test_a_recipes_own_student_is_trained_where_none_is_named() -> None:
    job = _network_job("--recipe", "distill", "--kd-lambda", "1")
    assert (job.name, job.network, job.model.name) == ("distill", "unet_nano", "unet_nano")
    other = _network_job("--recipe", "distill", "--model", "swin_unetr_tiny", "--kd-lambda", "1")
    assert (other.name, other.model.name) == ("distill-swin_unetr_tiny", "swin_unetr_tiny")


def test_a_network_and_the_section_of_its_settings_go_together() -> None:
    job = _network_job("--model=nnunet", "--model.patch-DHW", "64", "32", "32")
    assert (job.network, job.model.name, job.model.patch_DHW) == ("nnunet", "nnunet", (64, 32, 32))


def test_resolved_settings_are_a_recipe_for_the_same(tmp_path: Path) -> None:
    """What --check prints; the network in it is not replaced by the job's usual one."""
    job, recipe = _network_job("--model", "nnunet"), tmp_path / "mine.yaml"
    recipe.write_text(json.dumps(job.settings()))
    assert _network_job("--recipe", str(recipe)).experiment() == job.experiment()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--recipe", "btcv"), "btcv"),
        (("--recipe=btcv", "--json"), "btcv"),
        (("--training.epochs", "3"), "demo"),
        (("--recipes", "btcv"), "demo"),
        (("--recipe",), "demo"),
    ],
)
def test_a_setting_may_be_read_before_the_others(arguments: tuple[str, ...], told: str) -> None:
    assert told_first(arguments, "--recipe", "demo") == told


def test_what_can_be_set_is_told_as_json_before_the_command_line_is_complete(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        _job("--recipe", "btcv", "--schema")  # which has no --dataset.root
    told = json.loads(capsys.readouterr().out)
    epochs = told["schema"]["$defs"]["TrainingSection"]["properties"]["epochs"]
    assert (epochs["type"], epochs["exclusiveMinimum"], epochs["description"]) == ("integer", 0, "Epochs.")
    assert told["values"]["compute"]["workers"] == 8 and told["values"]["recipe"] == "btcv"


@pytest.mark.parametrize("asked", ["--help", "--check", "--schema"])
def test_a_reader_who_has_seen_enough_ends_a_job_without_an_error(asked: str) -> None:
    command = [sys.executable, str(RECIPES.parent / "train_teacher.py"), asked]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        assert job.stdout is not None and job.stderr is not None
        job.stdout.close()
        assert (job.stderr.read(), job.wait()) == (b"", 1)


def test_what_a_job_can_be_asked_is_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _job("--help")
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("--check", "--schema", "--json"))


def test_a_model_without_sams_encoder_refuses_sams_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _network_job("--model", "nnunet", "--model.checkpoint", "sam.pth")
    assert "nnunet cannot start from SAM's checkpoint" in _said(capsys)


def test_a_model_that_is_asked_for_one_organ_at_a_time_refuses_to_weigh_organs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        _network_job("--model", "sam_demo", "--training.places", "0.1")
    said = _said(capsys)
    assert "sam_demo is asked for one organ at a time" in said and "leave --training.places out" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no SAM checkpoint here"),
        (b"not a checkpoint", "is no file of torch weights"),
        (pickle.dumps(Path("/"), protocol=2), r"refused, it holds more than tensors (it would run pathlib.PosixPath)"),
    ],
)
def test_a_checkpoint_that_is_none_is_refused_at_once_with_where_there_are_some(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sam.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        _job("--model.checkpoint", str(path), "--check")
    said = _said(capsys)
    assert stopped.value.code == 2
    assert f"--model.checkpoint: {path}: {message}" in said and "sam_vit_b_01ec64.pth" in said


def test_paths_are_absolute_before_they_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_hollow_sam(tmp_path / "sam.pth")
    flags = ("--model.checkpoint", "sam.pth", "--dataset.root", "raw", "--dataset.name", "mine.yaml")
    experiment = _job("--recipe", "btcv", *flags).experiment()
    assert experiment.model.checkpoint == tmp_path / "sam.pth"
    assert experiment.dataset.root == tmp_path / "raw"
    assert experiment.dataset.name == str(tmp_path / "mine.yaml")
    assert _job("--dataset.root", "~/raw").dataset.root == Path.home() / "raw"
    assert _job("--dataset.name", "btcv", "--dataset.root", "raw").dataset.name == "btcv"


@pytest.mark.parametrize("weight", ["-0.1", "1.5", "nan"])
def test_a_lambda_outside_0_to_1_is_refused(weight: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _job("--kd-lambda", weight)
    captured = capsys.readouterr()
    assert "--distillation.kd-lambda: must be at " in captured.err


def test_an_online_teacher_needs_the_loop_to_make_the_patches(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--teacher", "some-run", "--teacher-mode", "online")
    assert _job(*flags).distillation.teacher_mode == "online"  # the demo makes its patches in the loop
    with pytest.raises(SystemExit):
        _job(*flags, "--training.loader-workers", "2")
    assert "add --training.loader-workers 0" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_terminal_that_lacks_a_sign_gets_another_one() -> None:
    """In a job, such as one that a scheduler starts, the encoding is often plain ASCII."""
    code = (
        "from autosam_platform.command_line import speak_plainly\n"
        r"speak_plainly(); print('128 \u00d7 64, \u03bb = 0.5 \u2013 \u00fc, \udc80')"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "128 x 64, lambda = 0.5 - ?, ?\n"
