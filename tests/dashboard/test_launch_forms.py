"""Forms out of the jobs' own schemas, and command lines out of what is filled in."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from autosam_platform.command_line import Job, parse_job
from dashboard.components.base.places import PROJECT, ReadingError
from dashboard.components.jobs.forms import Setting, arguments, settings
from dashboard.components.jobs.job_kinds import (
    KINDS,
    JobKind,
    asked_schema,
    checked_settings,
    file_stamps,
    names_in,
    refuse_outside,
)
from dashboard.components.jobs.repeat_command import terminal

RECIPES = PROJECT / "jobs" / "recipes"


def _asked(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Setting]:
    with pytest.raises(SystemExit, match="0"):
        parse_job([*words, "--schema"], RECIPES, description="test")
    told = json.loads(capsys.readouterr().out)
    return {setting.name: setting for setting in settings(told["schema"], told["values"])}


@pytest.fixture
def known(capsys: pytest.CaptureFixture[str]) -> dict[str, Setting]:
    """Settings of a training with the demo's recipe."""
    return _asked(capsys)


def test_a_setting_has_the_type_bounds_choices_and_words_of_the_jobs_own(known: dict[str, Setting]) -> None:
    epochs, overlap, decay = (known[name] for name in ("training.epochs", "inference.overlap", "training.decay"))
    assert (epochs.kind, epochs.bounds, epochs.value, epochs.optional) == ("integer", (1, None), 6, False)
    assert (overlap.kind, overlap.bounds, overlap.value) == ("number", (0, 0.9), 0.5)
    assert (decay.choices, decay.value) == (("exponential", "linear", "cosine", "poly"), "linear")
    assert epochs.section == "training" and known["name"].section == ""
    assert known["training.learning_rate"].label == "Learning rate"
    assert known["training.clip_norm"].about == "Largest norm of the gradient."


def test_lists_paths_and_what_may_be_left_out_are_told_apart(known: dict[str, Setting]) -> None:
    root, patch, spacing = (known[name] for name in ("dataset.root", "model.patch_DHW", "dataset.spacing_xyz"))
    assert (root.kind, root.optional, root.value) == ("path", True, None)
    assert (patch.kind, patch.length, patch.optional, patch.value) == ("integer", 3, False, [64, 64, 64])
    assert (spacing.kind, spacing.length, spacing.optional) == ("number", 3, True)
    assert (known["compute.gpu"].kind, known["compute.gpu"].optional) == ("boolean", True)
    assert "swin_unetr_tiny" in known["model.name"].examples
    assert (known["model.options.apg"].kind, known["model.options.adapter_ratio"].kind) == ("boolean", "number")


def test_every_setting_is_in_the_form_and_nothing_else(known: dict[str, Setting]) -> None:
    job = parse_job([], RECIPES, description="test").settings()
    flat = {f"{part}.{name}" for part, values in job.items() if isinstance(values, dict) for name in values}
    flat |= {name for name, value in job.items() if not isinstance(value, dict)}
    flat = flat - {"model.options"} | {f"model.options.{name}" for name in job["model"]["options"]}
    assert set(known) == flat and "recipe" in known and "check" not in known
    assert all(setting.about for setting in known.values())


def test_a_recipe_that_lacks_a_setting_can_be_filled_in(capsys: pytest.CaptureFixture[str]) -> None:
    known = _asked(capsys, "--recipe", "btcv")  # the command line alone would be refused: it has no folder
    assert known["dataset.name"].value == "btcv" and known["dataset.root"].value is None


CHANGES = {
    "training.epochs": 7,
    "training.learning_rate": 1e-5,
    "training.deterministic": True,
    "compute.memory_check": False,
    "compute.gpu": False,
    "dataset.spacing_xyz": None,
    "dataset.root": str(PROJECT / "docs"),
    "model.patch_DHW": [32, 64, 64],
    "model.options.apg": False,
    "training.decay": "exponential",
    "distillation.teacher_overlap": 0.25,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_filled_in_is_what_the_job_understands(known: dict[str, Setting], name: str) -> None:
    words = arguments(list(known.values()), {name: CHANGES[name]})
    value: object = parse_job(words, RECIPES, description="test").settings()
    for part in name.split("."):
        assert isinstance(value, dict)
        value = value[part]
    assert value == CHANGES[name]


def test_only_what_differs_from_the_recipe_becomes_an_argument(known: dict[str, Setting]) -> None:
    filled = {name: setting.value for name, setting in known.items()} | {"training.epochs": 7}
    assert arguments(list(known.values()), filled) == ["--training.epochs", "7"]


def test_no_text_reaches_a_shell_unquoted(known: dict[str, Setting]) -> None:
    text = "x; rm -rf ~ $(id) `id` '\" | tee"
    words = arguments(list(known.values()), {"dataset.name": text})
    assert words == ["--dataset.name", text]
    assert shlex.split(terminal("prepare", words))[-3:] == ["jobs/prepare.py", "--dataset.name", text]


def test_a_copied_command_works_in_a_plain_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = tmp_path / "our work"
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(workspace))
    command = terminal("export", ["--run", "no such run"])
    done = subprocess.run(["sh", "-c", command], cwd="/", env={"PATH": os.defpath}, capture_output=True, text=True)
    assert f"'no such run' is no finished run; in {workspace} there are: none" in done.stderr


def test_names_are_in_words_that_people_of_the_field_write(known: dict[str, Setting]) -> None:
    names = ("compute.gpu", "distillation.kd_lambda", "training.ema", "compute.cpus_per_worker", "model.patch_DHW")
    labels = [
        "GPUs",
        "Weight of the labels (λ)",
        "Running mean of the weights (EMA)",
        "CPU cores per worker",
        "Patch DHW",
    ]
    assert [known[name].label for name in names] == labels
    assert known["model.options.apg"].label == "Options: APG"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dataset.name", "--dataset.root=/etc", "begins with a dash"),
        ("name", "a\nb", "odd characters"),
        ("dataset.root", "/etc", "outside the folders"),
        ("dataset.root", "../..", "outside the folders"),
        ("model.name", None, "must not be left empty"),
        ("model.patch_DHW", [32, None, 32], "nor a part of it"),
    ],
)
def test_what_could_be_another_setting_or_lies_elsewhere_is_refused(
    known: dict[str, Setting], name: str, value: object, message: str
) -> None:
    with pytest.raises(ReadingError, match=message):
        arguments(list(known.values()), {name: value})


def test_a_recipe_may_not_name_files_elsewhere_either(tmp_path: Path) -> None:
    for value in ("/etc/passwd", "../secret", "~/other", str(tmp_path), "fold-1,/etc", "fold-1, ../../secret"):
        with pytest.raises(ReadingError, match="outside the folders"):
            refuse_outside({"dataset": {"roots": [value]}, "name": "demo"})
    refuse_outside(
        {"name": "demo", "root": str(RECIPES), "epochs": 3, "none": None, "recipe": "jobs/recipes/demo.yaml"}
    )


def test_a_recipe_that_is_edited_is_asked_anew(tmp_path: Path) -> None:
    recipe = tmp_path / "own.yaml"
    words = ["--recipe", str(recipe)]
    stamps = set()
    for epochs in (50, 500):
        recipe.write_text(f"training: {{epochs: {epochs}}}")
        stamps.add(file_stamps(words))
        assert asked_schema(KINDS["prepare"], words)["values"]["training"]["epochs"] == epochs
        assert checked_settings(KINDS["prepare"], words)["training"]["epochs"] == epochs
    assert len(stamps) == 2 and file_stamps(["--recipe", "demo"]) == ()


def test_a_check_is_never_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a description or a folder named in a recipe holds may be another by now."""
    script = tmp_path / "prepare.py"
    monkeypatch.setattr(JobKind, "script", script)
    for value in (1, 2):
        script.write_text(f"print('answer: {value}')")
        assert checked_settings(KINDS["prepare"], []) == {"answer": value}


def test_every_common_setting_is_one_and_every_job_has_a_script(known: dict[str, Setting]) -> None:
    jobs_own = {"run", "split", "overlap", "trials", "grid", "output"}
    for kind in KINDS.values():
        assert kind.script.is_file()
        assert set(kind.common) <= set(known) | jobs_own
        assert kind.recipe in ("", *names_in("recipes"))
    assert set(Job.model_fields) >= {"check", "as_schema"}
