"""Spaces: what can be swept, what is refused before anything starts, and what a point makes of an experiment."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autosam_platform.command_line import load_recipe, parse_job
from autosam_platform.experiment import Experiment
from autosam_platform.tuning import space as spaces
from autosam_platform.tuning.space import Space, SpaceError, load_space, require_sound, require_untold
from autosam_platform.tuning.sweep import require_buildable

ROOT = Path(__file__).parents[2]
RECIPES, SPACES = ROOT / "jobs" / "recipes", ROOT / "jobs" / "spaces"
RATE = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}


@pytest.fixture(scope="module")
def base() -> Experiment:
    return parse_job([], RECIPES, description="").experiment()


def _space(**parameters: Any) -> Space:
    return Space.model_validate({"parameters": {name.replace("__", "."): each for name, each in parameters.items()}})


@pytest.mark.parametrize("name", sorted(path.stem for path in SPACES.glob("*.yaml")))
def test_every_space_of_the_project_goes_with_its_recipe(name: str) -> None:
    space = load_space(name, SPACES)
    recipe = Experiment.model_validate(load_recipe(space.recipe, RECIPES))
    require_sound(space, recipe)
    require_buildable(space, recipe)
    assert space.about and all(each.help and each.unit for each in space.parameters.values())


def test_the_papers_grid_over_lambda() -> None:
    space = load_space("kd_lambda", SPACES)
    assert [point["distillation.kd_lambda"] for point in space.grid()] == [0.0, 0.2, 0.5, 0.8, 1.0]
    assert space.objectives == {"dice": "max"}


def test_a_grid_is_the_product_of_the_parameters_grids_and_choices() -> None:
    two = {"type": "int", "low": 1, "high": 9, "grid": [1, 2]}
    space = _space(training__batch=two, training__decay={"type": "choice", "choices": ["linear", "exponential"]})
    assert [tuple(point.values()) for point in space.grid()] == [
        (1, "linear"),
        (1, "exponential"),
        (2, "linear"),
        (2, "exponential"),
    ]


def test_a_parameter_without_a_grid_has_none() -> None:
    with pytest.raises(SpaceError, match=r"training\.learning_rate has no `grid`"):
        _space(training__learning_rate=RATE).grid()


def test_a_point_changes_what_it_names_and_nothing_else(base: Experiment) -> None:
    sizes = {"type": "choice", "choices": [[32, 32, 32], [64, 64, 64]]}
    ratio = {"type": "choice", "choices": [0.25, 0.5]}
    space = _space(model__patch_DHW=sizes, model__options__adapter_ratio=ratio)
    point = {"model.patch_DHW": "[32, 32, 32]", "model.options.adapter_ratio": 0.25}
    assert point in space.grid()
    changed = space.experiment(base, point)
    assert changed.model.patch_DHW == (32, 32, 32)
    assert changed.model.options == base.model.options | {"adapter_ratio": 0.25}
    model = base.model.model_copy(
        update={"patch_DHW": (32, 32, 32), "options": base.model.options | {"adapter_ratio": 0.25}}
    )
    assert changed == base.model_copy(update={"model": model})


@pytest.mark.parametrize(
    ("name", "parameter", "message"),
    [
        ("training__learning_rat", RATE, "no setting 'training.learning_rat'; did you mean training.learning_rate"),
        ("model__options__adapter_rato", RATE, "did you mean model.options.adapter_ratio"),
        ("training__learning_rate", RATE | {"high": 2.0}, "learning_rate cannot be 2.0: .*less than 1"),
        ("training__epochs", {"type": "int", "low": 0, "high": 3}, "training.epochs cannot be 0"),
        ("training__decay", {"type": "choice", "choices": ["linear", "stairs"]}, "cannot be 'stairs'"),
        ("distillation__kd_lambda", {"type": "float", "low": 0, "high": 1}, "no difference without a teacher"),
        ("dataset__phantom_seed", {"type": "int", "low": 1, "high": 3}, "cannot be swept: .* same data"),
        ("compute__workers", {"type": "int", "low": 1, "high": 3}, "`compute` changes no result"),
        ("inference__overlap", {"type": "float", "low": 0, "high": 0.5}, "it measures trials and trains none"),
        ("training__loader_workers", {"type": "int", "low": 0, "high": 2}, "cannot be swept: it changes no training"),
    ],
)
def test_what_the_experiment_cannot_be_is_refused(
    base: Experiment, name: str, parameter: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        require_sound(_space(**{name: parameter}), base)


TEMPERATURE = {"type": "float", "low": 1, "high": 8, "grid": [2]}
SHARE = {"type": "float", "low": 0.2, "high": 0.8}
MOMENTUM = {"type": "choice", "choices": [0.9, 0.99]}


def _taught(**changes: Any) -> Experiment:
    """A student of a U-Net's size, which learns from a teacher as the recipe says but for some settings."""
    settings = load_recipe("distill", RECIPES)
    settings["distillation"] = settings["distillation"] | changes
    return Experiment.model_validate(settings)


@pytest.mark.parametrize(
    ("experiment", "name", "parameter"),
    [
        (_taught(), "distillation.temperature", TEMPERATURE),
        (_taught(), "training.momentum", MOMENTUM),
        (_taught(unlabelled=None), "distillation.unlabelled_share", SHARE),
        (_taught(unlabelled=None, kd_lambda=1), "distillation.loss", {"type": "choice", "choices": ["mse", "kl"]}),
    ],
)
def test_what_makes_no_difference_is_refused(experiment: Experiment, name: str, parameter: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match=f"^{name} makes no difference: .* come to the same run, since"):
        require_sound(Space.model_validate({"parameters": {name: parameter}}), experiment)


@pytest.mark.parametrize(
    ("name", "parameter", "other", "values"),
    [
        ("distillation__temperature", TEMPERATURE, "distillation__loss", ["mse", "kl"]),
        ("training__momentum", MOMENTUM, "training__optimizer", ["adamw", "muon", "sgd"]),
    ],
)
def test_what_makes_a_difference_together_with_another_parameter_may_be_swept(
    name: str, parameter: dict[str, Any], other: str, values: list[str]
) -> None:
    require_sound(_space(**{name: parameter, other: {"type": "choice", "choices": values}}), _taught())
    with pytest.raises(SpaceError, match=f"{name.replace('__', '.')} makes no difference"):
        require_sound(_space(**{name: parameter, other: {"type": "choice", "choices": values[:-1]}}), _taught())


def test_teachers_may_be_swept_and_a_constant_may_stand_beside_them() -> None:
    teachers = {"type": "choice", "choices": ["one", "other"]}
    constant = {"type": "choice", "choices": [3.0]}
    require_sound(_space(distillation__teacher=teachers, distillation__temperature=constant), _taught())


def test_what_cannot_be_tried_in_all_combinations_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    space = _space(distillation__temperature=TEMPERATURE, training__batch={"type": "choice", "choices": [1, 2]})
    with pytest.raises(SpaceError, match=r"distillation\.temperature makes no difference: 1\.0, 8\.0, 2\.0 come to"):
        require_sound(space, _taught())
    monkeypatch.setattr(spaces, "_MOST", 1)
    require_sound(space, _taught())


def test_what_is_swept_cannot_be_told_too() -> None:
    space = _space(distillation__kd_lambda=SHARE, model__options__adapter_ratio=SHARE)
    require_untold(space, {"training.epochs": 3, "model.options": {"upsample": 2}})
    for name, told in (
        ("distillation.kd_lambda", {"distillation.kd_lambda": 0.3}),
        ("model.options.adapter_ratio", {"model.options": {"upsample": 2, "adapter_ratio": 0.5}}),
    ):
        with pytest.raises(SpaceError, match=f"{name} is what the space sweeps: do not tell it too"):
            require_untold(space, told)


def test_the_job_refuses_what_is_told_and_swept(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "jobs" / "sweep.py"), "--grid", "--kd-lambda", "0.3", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Space kd_lambda: distillation.kd_lambda is what the space sweeps" in done.stderr


def test_values_that_no_model_can_be_built_with_are_refused(base: Experiment) -> None:
    space = _space(model__options__adapter_kernel={"type": "choice", "choices": [3, 4]})
    with pytest.raises(SpaceError, match=r"adapter_kernel cannot be 4: .* has no centre"):
        require_buildable(space, base)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("parameters: {training.batch: {type: int, low: 3, high: 3}}", r"low \(3\) must be below high \(3\)"),
        ("parameters: {training.batch: {type: int, low: 0, high: 3, log: true}}", "needs a low above 0"),
        ("parameters: {training.batch: {type: int, low: 1, high: 3, grid: [4]}}", "4 of the grid is not among"),
        ("parameters: {training.batch: {type: int, low: 1, high: 5, step: 2, grid: [2]}}", "2 of the grid is not"),
        ("parameters: {training.decay: {type: choice, choices: [linear, linear]}}", "there twice"),
        ("parameters: {training.batch: {type: integer, low: 1, high: 3}}", "training.batch"),
        ("parameters: {}", "parameters"),
        ("parameter: {}", "parameter"),
        ("objectives: {dice: min}\nparameters: {training.batch: {type: int, low: 1, high: 3}}", "objectives are"),
        ("[1, 2]", "a space is a YAML mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_space_that_is_none_is_refused_with_its_name(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(SpaceError, match=message) as refused:
        load_space(str(path), SPACES)
    assert "mine.yaml" in str(refused.value)


def test_a_space_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(SpaceError, match="no space 'lambda': name one of adapter, kd_lambda"):
        load_space("lambda", SPACES)


def test_numbers_may_be_written_as_yaml_reads_them_as_text(tmp_path: Path) -> None:
    """PyYAML takes 1e-4 for a word, since it has no point."""
    path = tmp_path / "rates.yaml"
    path.write_text("parameters: {training.learning_rate: {type: float, low: 1e-4, high: 1e-2}}")
    (parameter,) = load_space(str(path), SPACES).parameters.values()
    assert parameter.examples() == [1e-4, 1e-2]
