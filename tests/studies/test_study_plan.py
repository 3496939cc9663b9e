"""From a study and a recipe to the experiments of its cells."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_sam import save_hollow_sam

from autosam_models import find_model
from autosam_platform.command_line import load_recipe
from autosam_platform.experiment import ConfigError, Experiment
from autosam_platform.studies.asked import Asked, changed
from autosam_platform.studies.description import Study, StudyError, load_study
from autosam_platform.studies.plan import plan_study

ROOT = Path(__file__).parents[2]
RECIPES, STUDIES = ROOT / "jobs" / "recipes", ROOT / "jobs" / "studies"
SHIPPED = sorted(path.stem for path in STUDIES.glob("*.yaml"))


def _study(**fields: Any) -> Study:
    columns = {"btcv": {"title": "BTCV", "recipe": "btcv"}, "amos": {"recipe": "amos", "demo": AMOS}}
    rows = {"ours": {}, "nnunet": {"title": "nnU-Net", "changes": {"model.name": "nnunet"}}}
    return Study.model_validate({"title": "A table", "columns": columns, "rows": rows} | fields)


AMOS = {"dataset.name": "phantom_amos", "training.epochs": 4}


def _asked(recipe: str = "demo", **more: Any) -> Asked:
    return Asked(recipe, RECIPES, **more)


def test_a_cell_is_the_recipe_as_its_column_and_then_its_row_change_it() -> None:
    plan = plan_study("t", _study(demo={"training.epochs": 2}), _asked())
    (ours,), (other,) = plan.cell("ours", "amos").members, plan.cell("nnunet", "amos").members
    assert ours.experiment.dataset.name == "phantom_amos"
    assert ours.experiment.training.epochs == 4  # the column comes after the study
    assert ours.experiment.model.options["apg"] is True  # the recipe's
    assert (other.experiment.model.name, other.experiment.model.options) == ("nnunet", {})  # another model has its own
    assert other.experiment.model.patch_DHW == ours.experiment.model.patch_DHW == (64, 64, 64)


def test_what_is_the_recipes_own_run_has_its_name_and_all_else_is_called_by_dataset_and_model() -> None:
    plan = plan_study("t", _study(), _asked())
    names = {(cell.row, cell.column): cell.members[0].experiment.name for cell in plan.cells}
    assert names["ours", "btcv"] == "demo"
    assert names["nnunet", "btcv"] == "phantom-nnunet"
    assert names["ours", "amos"] == "phantom-amos-autosam-demo"


def test_the_command_line_goes_before_all_else_but_for_what_another_model_has_not(tmp_path: Path) -> None:
    checkpoint = tmp_path / "sam.pth"
    save_hollow_sam(checkpoint)
    told = {"training.epochs": 9, "model.options": {"upsample": 2}, "model.checkpoint": str(checkpoint)}
    plan = plan_study("t", _study(), _asked("btcv", told=told, roots={"btcv": tmp_path}))
    ours, other = (plan.cell(row, "btcv").members[0].experiment for row in ("ours", "nnunet"))
    assert ours.training.epochs == other.training.epochs == 9
    assert (ours.model.options, ours.model.checkpoint) == ({"upsample": 2}, checkpoint)
    assert (other.model.options, other.model.checkpoint) == ({}, None)


def test_what_the_study_varies_cannot_be_told() -> None:
    with pytest.raises(StudyError, match=r"--model\.name is what the study itself says"):
        plan_study("t", _study(), _asked(told={"model.name": "unetr"}))


def test_what_a_row_varies_at_demo_size_cannot_be_told_there(tmp_path: Path) -> None:
    study = _study(rows={"ours": {}, "wide": {"demo": {"training.batch": 2}}})
    with pytest.raises(StudyError, match=r"--training\.batch is what the study itself says"):
        plan_study("t", study, _asked(told={"training.batch": 3}))
    study = _study(rows={"ours": {}, "wide": {"changes": {"training.epochs": 9}, "demo": {"training.batch": 2}}})
    told = plan_study("t", study, _asked("btcv", told={"dataset.root": str(tmp_path), "training.batch": 3}))
    assert [each.experiment.training.batch for each in told.cell("wide", "btcv").members] == [3]


def test_what_makes_a_study_small_does_not_hide_what_a_row_varies() -> None:
    study = _study(demo={"training.places": 0.1}, rows={"with": {}, "without": {"changes": {"training.places": 0.0}}})
    plan = plan_study("t", study, _asked())
    places = [plan.cell(row, "btcv").members[0].experiment.training.places for row in ("with", "without")]
    assert places == [0.1, 0.0]


def test_two_rows_that_are_one_experiment_are_refused() -> None:
    rows = {"ours": {}, "six": {"changes": {"training.epochs": 6}}}  # which the recipe has anyway
    with pytest.raises(StudyError, match="ours and six come to the same experiment in the column btcv"):
        plan_study("t", _study(rows=rows), _asked())


@pytest.mark.parametrize(
    "changes",
    [
        {"distillation.temperature": 8.0},  # the squared error has none
        {"distillation.unlabelled_share": 0.8},  # there are no scans without labels
        {"training.momentum": 0.9},  # the recipe has Muon
        {"training.loader_workers": 2},
        {"model.options.deep_supervision": False},  # which it is anyway
    ],
)
def test_rows_that_differ_in_what_has_no_influence_are_refused(changes: dict[str, Any]) -> None:
    columns = {"a": {"taught": True, "changes": {"model.name": "swin_unetr_tiny"}}}
    study = _study(teacher={}, columns=columns, rows={"one": {}, "other": {"changes": changes}})
    with pytest.raises(StudyError, match="the rows one and other come to the same experiment in the column a, since"):
        plan_study("t", study, _asked())


def test_labels_alone_and_a_teacher_without_a_say_are_one_experiment() -> None:
    alone, silent = {}, {"taught": True, "changes": {"distillation.kd_lambda": 1.0}}
    with pytest.raises(StudyError, match="the rows alone and silent come to the same"):
        plan_study("t", _study(teacher={}, columns={"a": {}}, rows={"alone": alone, "silent": silent}), _asked())
    with pytest.raises(StudyError, match="the columns alone and silent come to the same experiment in the row a, "):
        plan_study("t", _study(teacher={}, columns={"alone": alone, "silent": silent}, rows={"a": {}}), _asked())


def test_columns_with_one_teacher_under_two_names_are_one_experiment() -> None:
    columns, rows = {"a": {"taught": True}, "b": {"taught": True}}, {"ours": {"changes": {"model.name": "unet_nano"}}}
    with pytest.raises(StudyError, match="the columns a and b come to the same experiment in the row ours"):
        plan_study("t", _study(teacher={}, columns=columns, rows=rows), _asked())
    columns["b"]["demo"] = {"dataset.labelled": 8}
    assert len(plan_study("t", _study(teacher={}, columns=columns, rows=rows), _asked()).cells) == 2


@pytest.mark.parametrize("name", ["dataset.folds", "dataset.fold"])
def test_a_row_with_folds_has_its_own(name: str) -> None:
    with pytest.raises(StudyError, match=f"--{name} is what the study itself says in the row autosam, as its folds"):
        plan_study("five_fold", load_study("five_fold", STUDIES), _asked(told={name: 4}))


def test_options_that_would_take_the_place_of_a_rows_cannot_be_told() -> None:
    """Told options are all of a model's, so the row's own would go."""
    told = {"model.options": {"upsample": 2}}
    with pytest.raises(StudyError, match=r"--model\.options is .* in the row no_apg, as model\.options\.apg"):
        plan_study("table3", load_study("table3", STUDIES), _asked(told=told))
    plan = plan_study("table1", load_study("table1", STUDIES), _asked(told=told))  # whose rows set those of others
    options = {row: plan.cell(row, "btcv").members[0].experiment.model.options for row in ("nnunet", "autosam")}
    assert options == {"nnunet": {"width": 16}, "autosam": {"upsample": 2}}


def test_another_network_does_not_stand_under_the_name_of_the_papers() -> None:
    with pytest.raises(StudyError, match=r"five_fold, autosam, btcv has to be .* of role teacher, and unet_nano is"):
        plan_study("five_fold", load_study("five_fold", STUDIES), _asked(told={"model.name": "unet_nano"}))
    for name in ("table1", "table3", "table4", "few_labels", "distances", "figure4"):
        with pytest.raises(StudyError, match="has to be the paper's own network, of role teacher, and unet_nano is"):
            plan_study(name, load_study(name, STUDIES), _asked("torso_student"))


def test_what_only_refuses_is_not_in_a_studys_name() -> None:
    """Else a study that is finished would be made anew, for nothing."""
    marked, plain = (_study(rows={"ours": row}) for row in ({"role": "teacher"}, {}))
    assert plan_study("t", marked, _asked()).name == plan_study("t", plain, _asked()).name


def test_what_makes_students_of_the_rows_does_not_reach_the_teacher(tmp_path: Path) -> None:
    told = {"dataset.labelled": 4, "training.epochs": 7, "distillation.loss": "kl", "dataset.root": str(tmp_path)}
    plan = plan_study("table4", load_study("table4", STUDIES), _asked("btcv", told=told))
    row, teacher = plan.cell("lambda_0", "btcv").members[0].experiment, plan.teachers["btcv"]
    assert (row.dataset.labelled, teacher.dataset.labelled) == (4, None)
    assert (row.distillation.loss, teacher.distillation.loss) == ("kl", "mse")
    assert row.training.epochs == teacher.training.epochs == 7
    assert row.dataset.root == teacher.dataset.root == tmp_path


def test_at_demo_size_the_teacher_keeps_what_makes_only_the_rows_small() -> None:
    told = {"dataset.labelled": 4, "training.epochs": 32, "dataset.spacing_xyz": (8.0, 8.0, 8.0), "training.seed": 5}
    plan = plan_study("figure4", load_study("figure4", STUDIES), _asked(told=told))
    row, teacher = plan.cell("tiny", "distilled").members[0].experiment, plan.teachers["distilled"]
    assert (row.dataset.labelled, row.training.epochs) == (4, 32)
    assert (teacher.dataset.labelled, teacher.training.epochs) == (None, 3)  # the study's own
    assert row.dataset.spacing_xyz == teacher.dataset.spacing_xyz == (8.0, 8.0, 8.0)  # which they have in common
    assert row.training.seed == teacher.training.seed == 5
    plan = plan_study("distances", load_study("distances", STUDIES), _asked(told={"training.epochs": 2}))
    assert plan.cell("mse", "few").members[0].experiment.training.epochs == 2
    assert (plan.teachers["few"].name, plan.teachers["few"].training.epochs) == ("demo", 6)  # it is the demo's


def test_another_dataset_does_not_stand_under_a_columns_name(tmp_path: Path) -> None:
    table4, told = load_study("table4", STUDIES), {"dataset.root": str(tmp_path), "dataset.name": "amos"}
    with pytest.raises(StudyError, match=r"--dataset\.name amos would stand under the name of BTCV.* --recipe amos,"):
        plan_study("table4", table4, _asked("btcv", told=told))
    plan = plan_study("table4", table4, _asked("amos", told=told))
    assert (list(plan.columns), plan.columns["amos"].title) == (["amos"], "amos")
    with pytest.raises(StudyError, match=r"phantom_torso would stand under the name of BTCV, .* with --recipe FILE"):
        plan_study("table4", table4, _asked(told={"dataset.name": "phantom_torso"}))
    with pytest.raises(StudyError, match=r"--dataset\.root: at demo size BTCV is made of synthetic .* --recipe btcv"):
        plan_study("table4", table4, _asked(told={"dataset.root": str(tmp_path)}))
    told = {"dataset.name": "phantom_torso"}  # under a column that is no dataset
    plan = plan_study("figure4", load_study("figure4", STUDIES), _asked(told=told))
    assert {each.dataset.name for _, each in plan.experiments} == {"phantom_torso"}


@pytest.mark.parametrize(("row", "recipe"), [("sam", "sam"), ("medsam_pm", "medsam")])
def test_the_recipes_of_table_2_are_its_rows(row: str, recipe: str, tmp_path: Path) -> None:
    told = {"dataset.root": str(tmp_path)}
    made = plan_study("table2", load_study("table2", STUDIES), _asked("btcv", told=told)).cell(row, "btcv").members[0]
    settings = load_recipe(recipe, RECIPES)
    changed(settings, told)
    described = Experiment.model_validate(settings)
    assert made.experiment.decisive() == described.decisive()
    assert (made.experiment.asking, made.experiment.dataset) == (described.asking, described.dataset)


@pytest.mark.parametrize("name", ["dataset.name", "dataset.root"])
def test_one_dataset_cannot_stand_under_the_names_of_several(name: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=f"--{name} would be that of each of btcv, amos"):
        plan_study("t", _study(), _asked(told={name: "phantom_torso"}))
    with pytest.raises(StudyError, match=f"--{name} would be that of each of amos"):
        plan_study("t", _study(), _asked(roots={"amos": tmp_path}, told={name: "phantom_torso"}))


def test_a_recipe_makes_its_own_column_and_says_how_to_make_the_others(tmp_path: Path) -> None:
    plan = plan_study("t", _study(), _asked("btcv", told={"dataset.root": tmp_path}))
    assert plan.cell("ours", "btcv").members[0].experiment.dataset.root == tmp_path
    assert plan.cell("ours", "amos").reason == "not asked for: --recipe amos makes it"


def test_folders_make_each_column_with_its_own_recipe(tmp_path: Path) -> None:
    plan = plan_study("t", _study(), _asked(roots={"amos": tmp_path}))
    made = plan.cell("ours", "amos").members[0].experiment
    assert (made.dataset.name, made.dataset.root, made.name) == ("amos", tmp_path, "amos")
    assert made.training.epochs == 200  # not the demo's
    assert plan.cell("ours", "btcv").reason == "no folder of its scans was given: --roots btcv FOLDER"
    with pytest.raises(StudyError, match="--roots names ct_org, which is no dataset of the study"):
        plan_study("t", _study(), _asked(roots={"ct_org": tmp_path}))


def test_a_recipe_of_no_column_has_one_of_its_own() -> None:
    plan = plan_study("t", _study(), _asked("torso"))
    assert list(plan.columns) == ["torso"]
    assert plan.cell("ours", "torso").members[0].experiment.dataset.name == "phantom_torso"


def test_a_column_for_another_recipe_is_taught_as_the_studys_own_is() -> None:
    """Else every λ would be the same training without a teacher, and the curve would say that λ does nothing."""
    plan = plan_study("table4", load_study("table4", STUDIES), _asked("torso"))
    sections = [cell.members[0].experiment.distillation for cell in plan.cells]
    assert [each.kd_lambda for each in sections] == [0, 0.2, 0.5, 0.8, 1]
    assert all(cell.taught for cell in plan.cells) and all(each.teacher for each in sections)
    assert plan.teachers["torso"].model.name == "autosam_demo"


def test_folds_and_seeds_are_trainings_of_one_cell() -> None:
    plan = plan_study("t", _study(rows={"ours": {"folds": 3}}), _asked(seeds=2))
    members = plan.cell("ours", "btcv").members
    assert [each.label for each in members[:3]] == ["fold 1 seed 0", "fold 1 seed 1", "fold 2 seed 0"]
    found = [(each.experiment.dataset.fold, each.experiment.training.seed) for each in members]
    assert found == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]


def test_what_is_taught_has_the_teacher_of_its_column_and_λ_of_its_row() -> None:
    rows = {"a": {"changes": {"model.name": "unet_nano", "distillation.kd_lambda": 0.2}}}
    columns = {"alone": {}, "taught": {"taught": True, "demo": {"distillation.unlabelled": "rest"}}}
    plan = plan_study("t", _study(teacher={}, columns=columns, rows=rows), _asked("distill"))
    alone, taught = (plan.cell("a", column).members[0].experiment for column in columns)
    assert alone.distillation.teacher is None
    assert taught.distillation.teacher is not None
    assert (taught.distillation.kd_lambda, taught.distillation.unlabelled) == (0.2, None)  # not at demo size
    assert list(plan.teachers) == ["taught"]


def test_the_name_follows_from_what_is_made() -> None:
    names = [
        plan_study("t", study, asked).name
        for study, asked in (
            (_study(), _asked()),
            (_study(about="other words"), _asked()),
            (_study(), _asked(seeds=2)),
            (_study(), _asked(told={"training.epochs": 3})),
            (_study(), _asked(told={"compute.cpus_per_worker": 1})),
        )
    ]
    assert names[0] == names[1] == names[4]
    assert len(set(names)) == 3
    assert names[0].startswith("t-demo-")


def test_another_models_options_go_unless_they_are_given() -> None:
    settings = {"model": {"name": "a", "options": {"x": 1}, "checkpoint": "sam.pth", "patch_DHW": [1, 2, 3]}}
    changed(settings, {"model.name": "b", "model.options.y": 2, "training.epochs": 5})
    assert settings == {
        "model": {"name": "b", "options": {"y": 2}, "patch_DHW": [1, 2, 3]},
        "training": {"epochs": 5},
    }


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"starred": "nobody"}, "starred is nobody, which is no row"),
        ({"rows": {"ours": {"taught": True}}}, "ours is taught, and the study names no teacher"),
        ({"figure": "curve"}, "a curve needs `at` in every row"),
        ({"rows": {"ours": {"chnages": {}}}}, "chnages"),
        ({"paper": {"name": "autosam_adapter", "table": "table9"}}, "no table 'table9'"),
    ],
)
def test_a_study_that_cannot_be_is_refused(tmp_path: Path, fields: dict[str, Any], problem: str) -> None:
    path = tmp_path / "study.yaml"
    content = {"title": "A table", "columns": {"btcv": {}}, "rows": {"ours": {}}} | fields
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        load_study(str(path), STUDIES)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_papers_rows_and_columns_have_the_keys_of_its_table(name: str) -> None:
    study = load_study(name, STUDIES)
    if study.paper is not None:
        table = study.paper.find()
        assert set(table.rows) == set(study.rows)
        assert set(table.columns) == set(study.columns)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_study_resolves_every_row_at_demo_size_and_on_btcv(name: str, tmp_path: Path) -> None:
    study = load_study(name, STUDIES)
    checkpoint = tmp_path / "sam.pth"
    save_hollow_sam(checkpoint)
    told = {"dataset.root": tmp_path, "model.checkpoint": str(checkpoint)}
    for recipe, settings in (("demo", {}), ("btcv", told)):
        plan = plan_study(name, study, _asked(recipe, told=settings))
        made = [cell for cell in plan.cells if not cell.reason]
        assert {cell.row for cell in made} == set(study.rows)
        for _, experiment in plan.experiments:
            takes = "checkpoint" in find_model(experiment.model.name).options
            assert (experiment.model.checkpoint is not None) == (takes and recipe == "btcv")


def test_the_job_prints_every_training_and_trains_none(tmp_path: Path) -> None:
    checkpoint = tmp_path / "sam.pth"
    save_hollow_sam(checkpoint)
    command = [sys.executable, str(ROOT / "jobs" / "study.py"), "table4", "--recipe", "btcv", "--dataset.root"]
    command += [str(tmp_path), "--model.checkpoint", str(checkpoint), "--training.epochs=7", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    told = yaml.safe_load(done.stdout)
    assert [each["training"]["epochs"] for each in told["trainings"].values()] == [7] * 6
    assert [each["distillation"]["kd_lambda"] for each in told["trainings"].values()][1:] == [0, 0.2, 0.5, 0.8, 1]
    assert {each["model"]["name"] for each in told["trainings"].values()} == {"autosam_vit_b", "swin_unetr_small"}
    assert not list(tmp_path.glob("workspace/*"))
