"""A finished run is found by its name, with or without the hash, by its folder, or as the newest."""

import os
from pathlib import Path

import pytest
from small_bundles import SYNTHETIC, WARNING, bare_bundle
from small_cards import organs, small_card

from autosam_inference import included
from autosam_inference.card import ModelFolderError
from autosam_inference.files import write_sealed
from autosam_inference.included import INCLUDED
from autosam_platform.experiment import ConfigError
from autosam_platform.pipeline.steps import finished_run, named_model
from autosam_platform.workspace import Workspace


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(tmp_path))
    for name in ("demo-00000001", "few-teacher-00000002", "few-teacher-00000003"):
        run = Workspace(tmp_path).run(name)
        run.model_card.parent.mkdir(parents=True)
        run.model_card.touch()
    Workspace(tmp_path).run("demo-00000009").folder.mkdir()  # was begun
    return Workspace(tmp_path)


@pytest.mark.parametrize("name", ["demo-00000001", "demo"])
def test_the_hash_may_be_left_out_of_a_name_that_one_run_has(ours: Workspace, name: str) -> None:
    assert finished_run(name).name == "demo-00000001"
    assert finished_run(str(ours.run(name).folder.parent / "demo-00000001")).name == "demo-00000001"


def test_a_name_of_several_runs_is_refused_with_their_names(ours: Workspace) -> None:
    with pytest.raises(
        ConfigError, match=r"'few-teacher' may be any of few-teacher-0000000[23], few-teacher-0000000[23]"
    ):
        finished_run("few-teacher")
    assert finished_run("few-teacher-00000003").name == "few-teacher-00000003"


def test_the_name_that_a_student_shares_with_its_twin_is_the_students(ours: Workspace) -> None:
    """Whoever names what was distilled wants what was distilled; of two such none is guessed."""
    _finish(ours, "distill-00000004", teacher="demo-00000001")
    _finish(ours, "distill-00000005")
    assert finished_run("distill").name == "distill-00000004"
    _finish(ours, "distill-00000006", teacher="demo-00000001")
    with pytest.raises(ConfigError, match=r"'distill' may be any of (distill-0000000[456](, )?){3}: name one"):
        finished_run("distill")


def _finish(ours: Workspace, name: str, network: str | None = None, **lineage: str) -> None:
    run = ours.run(name)
    run.model.mkdir(parents=True)
    card = small_card(organs(1), run_id=name, lineage=lineage).model_dump(mode="json")
    write_sealed(run.model_card, card | ({"model": {"name": network, "options": {}}} if network else {}))


def test_a_run_that_needs_prompts_is_not_what_a_scan_is_predicted_with_by_default(ours: Workspace) -> None:
    _finish(ours, "student-00000004")
    _finish(ours, "sam-00000005", "sam_demo")
    os.utime(ours.run("student-00000004").model_card, (2e9, 2e9))
    os.utime(ours.run("sam-00000005").model_card, (3e9, 3e9))
    assert finished_run(None).name == "sam-00000005"
    assert named_model(None).name == "student-00000004"


@pytest.fixture
def included_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle in the place of the one that comes with the project."""
    monkeypatch.setattr(included, "FOLDER", tmp_path / "package")
    return bare_bundle(tmp_path / "package" / "small.zip", **SYNTHETIC)


def test_the_newest_run_is_the_default_and_the_included_model_asked_for(ours: Workspace, included_model: Path) -> None:
    _finish(ours, "new-00000007")
    os.utime(ours.run("new-00000007").model_card, (2e9, 2e9))
    assert named_model(None).name == "new-00000007"
    found = named_model(INCLUDED)
    assert found.place == included_model and found.name.startswith("small-01234567-bundle-")
    assert found.card.warning == WARNING


def test_without_a_run_the_included_model_is_the_default(
    included_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(tmp_path / "fresh"))
    assert named_model(None).place == included_model
    with pytest.raises(ConfigError, match="there is no finished run in"):
        finished_run(None)  # which evaluates and exports: a bundle is no run
    included_model.unlink()
    with pytest.raises(ConfigError, match="there is no finished run in"):
        named_model(None)
    with pytest.raises(ConfigError, match="'included' is no finished run"):
        named_model(INCLUDED)


def test_several_runs_answer_as_one_in_whatever_order_they_are_named(ours: Workspace) -> None:
    for name in ("fold-00000001", "fold-00000002"):
        _finish(ours, name)
        ours.run(name).weights.write_text(name)
    found = named_model("fold-00000001, fold-00000002")
    assert {found.place, *found.others} == {ours.run(name).model for name in ("fold-00000001", "fold-00000002")}
    assert found == named_model("fold-00000002,fold-00000001,fold-00000002")
    assert found.name.startswith("mean-of-2-")
    assert found.card.run_id == "mean of fold-00000001, fold-00000002"


def test_runs_that_do_not_go_together_have_no_mean(ours: Workspace) -> None:
    _finish(ours, "one-00000001")
    other = ours.run("other-00000001")
    other.model.mkdir(parents=True)
    write_sealed(other.model_card, small_card(organs(2), run_id=other.name).model_dump(mode="json"))
    for name in ("one-00000001", "other-00000001"):
        ours.run(name).weights.write_text(name)
    with pytest.raises(ModelFolderError, match="no mean: name runs of one dataset"):
        named_model("one-00000001,other-00000001")


@pytest.mark.parametrize("name", ["few", "demo-00000009", "demo-0000", ""])
def test_a_piece_of_a_name_is_no_name(ours: Workspace, name: str) -> None:
    with pytest.raises(ConfigError, match="is no finished run"):
        finished_run(name)
