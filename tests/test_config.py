"""The experiment description: what it refuses, how a recipe and a command line fill it, what names a run."""

import json
from pathlib import Path

import pytest

from autosam_platform.command_line import load_recipe, parse_job
from autosam_platform.experiment import ConfigError, Experiment

RECIPES = Path(__file__).parent.parent / "jobs" / "recipes"


def _job(*arguments: str):
    return parse_job(arguments, RECIPES, description="test")


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
        (("--training.epochs", "-3"), "greater than 0"),
        (("--training.epoch", "3"), "--training.epochs"),
        (("--training.warmup-epochs", "900"), "warm-up epochs leave nothing"),
        (("--recipe", "btcv"), "--dataset.root FOLDER"),
        (("--recipe", "nothing"), "no recipe 'nothing': name one of amos, btcv"),
        (("--model.name", "resnet"), "There is no model named 'resnet'"),
        (("--inference.overlap", "1.5"), "less than or equal to 0.9"),
        (("--name", "../elsewhere"), "match pattern"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_remedy(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        _job(*arguments)
    captured = capsys.readouterr()
    unwrapped = " ".join((captured.err + captured.out).replace("│", " ").split())
    assert stopped.value.code == 2
    assert message in unwrapped


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epoch: 3}", "no setting 'training.epoch'"),
        ("training: {epochs: many}", "training.epochs: .*given: 'many'"),
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
    import re

    assert re.search(message, capsys.readouterr().err)


def test_load_recipe_names_what_there_is() -> None:
    with pytest.raises(ConfigError, match="demo"):
        load_recipe("dem", RECIPES)


def test_a_run_is_named_by_what_decides_its_result() -> None:
    base = _job().experiment()
    name = base.run_id("data")
    assert name.startswith("demo-") and base.run_id("data") == name
    assert base.run_id("other data") != name
    assert _job("--training.seed", "1").experiment().run_id("data") != name
    assert _job("--compute.max-failures", "9").experiment().run_id("data") == name
    assert _job("--training.loader-workers", "3").experiment().run_id("data") == name


def test_workers_that_share_the_same_global_batch_are_the_same_run() -> None:
    one = _job("--training.batch", "4").experiment()
    two = _job("--training.batch", "2", "--compute.workers", "2").experiment()
    assert one.run_id("data") == two.run_id("data")


def test_a_stored_description_is_read_back_whole() -> None:
    experiment = _job().experiment()
    assert Experiment.model_validate(experiment.model_dump(mode="json")) == experiment


def test_another_model_takes_the_place_of_the_recipes_and_of_its_options() -> None:
    job = parse_job((), RECIPES, description="test", model="swin_unetr_tiny")
    assert (job.name, job.model.name, job.model.options) == ("demo-swin_unetr_tiny", "swin_unetr_tiny", {})
    assert job.model.patch_DHW == _job().model.patch_DHW and job.training == _job().training
    assert parse_job((), RECIPES, description="test", model="autosam_demo") == _job()


def test_what_can_be_set_is_told_as_json_before_the_command_line_is_complete(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        _job("--recipe", "btcv", "--schema")  # which has no --dataset.root
    told = json.loads(capsys.readouterr().out)
    epochs = told["schema"]["$defs"]["TrainingSection"]["properties"]["epochs"]
    assert (epochs["type"], epochs["exclusiveMinimum"], epochs["description"]) == ("integer", 0, "Epochs.")
    assert told["values"]["compute"]["workers"] == 8 and told["values"]["recipe"] == "btcv"


def test_what_a_job_can_be_asked_is_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _job("--help")
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("--check", "--schema", "--json"))


def test_a_model_without_sams_encoder_refuses_sams_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_job(("--model.checkpoint", "sam.pth"), RECIPES, description="test", model="nnunet")
    captured = capsys.readouterr()
    assert "nnunet cannot start from SAM's checkpoint" in " ".join(
        (captured.err + captured.out).replace("│", " ").split()
    )


def _teacher(folder: Path, weights: str = "w") -> str:
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    (folder / "model.safetensors").write_text(weights)
    return str(folder)


def test_without_a_teachers_influence_a_run_is_the_one_without_a_teacher(tmp_path: Path) -> None:
    plain = _job().experiment()
    teacher = _teacher(tmp_path / "a")
    for flags in (("--kd-lambda", "0.2"), ("--kd-lambda", "1", "--teacher", teacher)):
        experiment = _job(*flags).experiment()
        assert not experiment.distils and experiment.run_id("data") == plain.run_id("data")
    assert _job("--teacher", teacher).experiment().run_id("data") != plain.run_id("data")


def test_a_teacher_counts_by_its_files_and_only_what_is_used_of_it(tmp_path: Path) -> None:
    one, copy, other = (_teacher(tmp_path / name, weights) for name, weights in (("a", "w"), ("b", "w"), ("c", "x")))

    def run_id(teacher: str, *flags: str) -> str:
        return _job("--teacher", teacher, *flags).experiment().run_id("data")

    assert run_id(one) == run_id(copy) != run_id(other)
    assert run_id(one) == run_id(one, "--distillation.temperature", "5")  # the mean squared error has none
    kinds = [(), ("--kd-lambda", "0.4"), ("--distillation.loss", "kl"), ("--distillation.teacher-overlap", "0.25")]
    assert run_id(one) == run_id(one, "--distillation.teacher-overlap", "0.5")  # the demo is evaluated so
    assert len({run_id(one, *flags) for flags in kinds}) == 4
    softened = ("--distillation.loss", "kl", "--distillation.temperature", "5")
    assert run_id(one, *softened) != run_id(one, "--distillation.loss", "kl")


@pytest.mark.parametrize("weight", ["-0.1", "1.5", "nan"])
def test_a_lambda_outside_0_to_1_is_refused(weight: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _job("--kd-lambda", weight)
    captured = capsys.readouterr()
    assert "kd_lambda" in captured.err + captured.out


def test_an_online_teacher_needs_the_loop_to_make_the_patches(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--teacher", "some-run", "--teacher-mode", "online")
    assert _job(*flags).distillation.teacher_mode == "online"  # the demo makes its patches in the loop
    with pytest.raises(SystemExit):
        _job(*flags, "--training.loader-workers", "2")
    assert "add --training.loader-workers 0" in " ".join(capsys.readouterr().err.replace("│", " ").split())
