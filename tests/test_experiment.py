"""What names a run: all that decides its result, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from autosam_models import find_model, model_names
from autosam_platform.command_line import parse_job
from autosam_platform.experiment import IDENTITY, ConfigError, Experiment, ModelSection, TrainingSection
from autosam_platform.workspace import workspace
from autosam_platform.workspace.root import WorkspaceError

RECIPES = Path(__file__).parent.parent / "jobs" / "recipes"
DEFAULTS = Path(__file__).parent / "experiment_defaults.json"


def _job(*arguments: str):
    return parse_job(arguments, RECIPES, description="test")


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


def test_a_momentum_that_nothing_has_makes_no_other_run() -> None:
    def run_id(*flags: str) -> str:
        return _job(*flags).experiment().run_id("data")

    momentum, sgd = ("--training.momentum", "0.9"), ("--training.optimizer", "sgd")
    assert run_id(*momentum) == run_id()
    assert len({run_id(), run_id(*sgd), run_id(*sgd, *momentum)}) == 3


class _MoreOfTraining(TrainingSection):
    dampening: float = 0.9


class _MoreOfModels(ModelSection):
    dropout: tuple[float, float] = (0.0, 0.1)


class _More(Experiment):
    """The description as it may be one day."""

    model: _MoreOfModels = _MoreOfModels()
    training: _MoreOfTraining = _MoreOfTraining()
    extra: _MoreOfTraining = _MoreOfTraining()


def test_a_new_setting_renames_no_run_and_decides_once_it_is_changed() -> None:
    for changed in ({}, {"training": {"epochs": 7}}, {"model": {"name": "autosam_demo", "options": {"apg": False}}}):
        now, later = Experiment.model_validate(changed), _More.model_validate(changed)
        assert later.run_id("data") == now.run_id("data")
    name = _More().run_id("data")
    for other in ({"training": {"dampening": 0.5}}, {"model": {"dropout": (0, 0)}}, {"extra": {"epochs": 7}}):
        assert _More.model_validate(other).run_id("data") != name
    assert _More.model_validate({"training": {"dampening": 0.9}}).run_id("data") == name


def test_what_is_said_and_is_the_default_all_the_same_is_the_same_run() -> None:
    said = {
        "training": {"learning_rate": 5e-4, "batch": 1},
        "model": {"name": "autosam_vit_b", "options": {"adapter_ratio": 0.5, "apg": True}},
        "inference": {"overlap": 0.75},
    }
    assert Experiment.model_validate(said).run_id("data") == Experiment().run_id("data")
    without = {"model": {"options": {"apg": False}}}
    assert Experiment.model_validate(without).run_id("data") != Experiment().run_id("data")


def test_a_description_of_the_data_counts_through_the_datas_fingerprint_alone() -> None:
    base = Experiment().run_id("data")
    elsewhere = {"dataset": {"name": "btcv", "root": "/elsewhere", "allow_rejected": True}}
    assert Experiment.model_validate(elsewhere).run_id("data") == base


def test_a_name_is_made_the_same_way_as_yesterday() -> None:
    """These stand in people's workspaces."""
    assert Experiment().run_id("data") == "autosam-6620a295"
    changed = {"name": "mine", "training": {"epochs": 7, "batch": 2}, "model": {"options": {"apg": False}}}
    assert Experiment.model_validate(changed).run_id("data") == "mine-44c8c736"


def _by_names(values: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{part}.{name}": value
        for part, section in values.items()
        if isinstance(section, dict)
        for name, value in section.items()
    }


def test_the_defaults_are_those_that_the_names_of_runs_were_made_with() -> None:
    """Names say what differs from the defaults: after a change of one, the same name would be another run.

    So a change of a default, or a setting that goes, raises ``IDENTITY`` and writes the file anew; a new setting is
    added to the file.
    """
    kept = json.loads(DEFAULTS.read_text(encoding="utf-8"))
    assert kept["identity"] == IDENTITY
    now = {
        "settings": _by_names(Experiment().model_dump(mode="json", exclude={"dataset", "compute"})),
        "models": _by_names({name: json.loads(json.dumps(find_model(name).defaults)) for name in model_names()}),
    }
    for part, values in now.items():
        changed = {name: value for name, value in kept[part].items() if values.get(name, "gone") != value}
        assert not changed, f"raise IDENTITY, or put these back: {changed}"
        assert values == kept[part], f"add to {DEFAULTS.name}: {sorted(set(values) - set(kept[part]))}"


def test_a_checkpoint_counts_by_its_bytes(tmp_path: Path) -> None:
    one, copy, other = (tmp_path / f"{name}.pth" for name in ("one", "copy", "other"))
    for path, number in ((one, 1), (copy, 1), (other, 2)):
        torch.save(torch.tensor(number), path)
    copy.write_bytes(one.read_bytes())

    def run_id(path: Path | None) -> str:
        return Experiment.model_validate({"model": {"checkpoint": path}}).run_id("data")

    assert run_id(one) == run_id(copy)
    assert len({run_id(one), run_id(other), run_id(None)}) == 3
    before = run_id(one)
    one.write_bytes(other.read_bytes() + b"more")  # the hash of a file is kept as long as the file stays as it is
    assert run_id(one) != before


def test_a_record_may_outlive_its_checkpoint_and_a_training_may_not_begin_without(tmp_path: Path) -> None:
    described = Experiment.model_validate({"model": {"checkpoint": tmp_path / "gone.pth"}})
    with pytest.raises(ConfigError, match=r"gone\.pth: there is no SAM checkpoint here\. Download"):
        described.require_files()
    Experiment().require_files()


def test_a_batch_has_whole_parts() -> None:
    described = {"training": {"batch": 6}, "compute": {"accumulate": 3}}
    assert Experiment.model_validate(described).batch_at_once == 2
    with pytest.raises(ValidationError, match=r"a batch of 6 cannot be computed in 4 equal parts: choose"):
        Experiment.model_validate(described | {"compute": {"accumulate": 4}})


def test_the_least_workers_are_no_more_than_the_most() -> None:
    assert Experiment.model_validate({"compute": {"workers": 4, "min_workers": 4}}).compute.min_workers == 4
    with pytest.raises(ValidationError, match=r"--compute.min-workers 5 is more than --compute.workers 4"):
        Experiment.model_validate({"compute": {"workers": 4, "min_workers": 5}})


@pytest.mark.parametrize("place", ["s3://bucket/scans", "gs://bucket", "https://example.org/scans", "hdfs://a/b"])
def test_an_address_is_not_taken_for_a_folder(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match=r"is an address \(\w+:\).*mount it on every machine and name the folder"):
        Experiment.model_validate({"model": {"checkpoint": place}})
    if not place.startswith("s3:"):  # where scans may be
        with pytest.raises(ValidationError, match=r"is an address \(\w+:\), and of addresses only s3:// is read"):
            Experiment.model_validate({"dataset": {"name": "btcv", "root": place}})
    monkeypatch.setenv("AUTOSAM_WORKSPACE", place)
    with pytest.raises(WorkspaceError, match=r"AUTOSAM_WORKSPACE: .* is an address"):
        workspace()


@pytest.mark.parametrize(
    ("spacing", "allowed"), [(0.1, True), (20.0, True), (0.09, False), (20.1, False), (float("nan"), False)]
)
def test_a_spacing_may_be_on_its_bounds(spacing: float, allowed: bool) -> None:
    described = {"dataset": {"spacing_xyz": (1.0, 1.0, spacing)}}
    if allowed:
        assert Experiment.model_validate(described).dataset.spacing_xyz == (1.0, 1.0, spacing)
    else:
        with pytest.raises(ValidationError, match="spacing_xyz"):
            Experiment.model_validate(described)


@pytest.mark.parametrize("dataset", [{"name": "btcv", "root": "/scans"}, {"name": "phantom", "root": "/scans"}])
def test_a_number_of_phantoms_is_for_phantoms_that_are_made(dataset: dict[str, str]) -> None:
    assert Experiment.model_validate({"dataset": {"phantoms": 6}}).dataset.phantoms == 6
    with pytest.raises(ValidationError, match=r"--dataset\.phantoms is for phantoms, .*: leave it out"):
        Experiment.model_validate({"dataset": dataset | {"phantoms": 6}})
