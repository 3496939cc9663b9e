"""A finished run is found by its name, with or without the hash, by its folder, or as the newest."""

from pathlib import Path

import pytest

from autosam_platform.experiment import ConfigError
from autosam_platform.pipeline.steps import finished_run
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


@pytest.mark.parametrize("name", ["few", "demo-00000009", "demo-0000", ""])
def test_a_piece_of_a_name_is_no_name(ours: Workspace, name: str) -> None:
    with pytest.raises(ConfigError, match="is no finished run"):
        finished_run(name)
