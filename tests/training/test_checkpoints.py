"""Which checkpoints count, and what is done about the list that Ray keeps of them."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from autosam_platform.training import checkpoints
from autosam_platform.training.checkpoints import SNAPSHOT, Position
from autosam_platform.training.reporter import LocalReporter


def _write(storage: Path, name: str, position: Position) -> tuple[Path, nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(position.epoch)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    folder = storage / name
    folder.mkdir(parents=True)
    checkpoints.save(folder, position, model, optimizer)
    return folder, model, optimizer


def _snapshot(storage: Path, *names: str) -> None:
    results = [{"checkpoint_dir_name": name, "metrics": {}} for name in names]
    content = {"checkpoint_results": results, "latest_checkpoint_result": results[-1]}
    (storage / SNAPSHOT).write_text(json.dumps(content))


def test_load_gives_back_weights_moments_and_position(tmp_path: Path) -> None:
    position = Position(epoch=4, step=2, score=0.5)
    folder, model, optimizer = _write(tmp_path, "checkpoint_a", position)
    other = nn.Linear(3, 2)
    other_optimizer = torch.optim.AdamW(other.parameters())
    assert checkpoints.load(folder, other, other_optimizer) == position
    assert torch.equal(other.weight, model.weight)
    moments = other_optimizer.state[other.weight]["exp_avg"]
    assert torch.equal(moments, optimizer.state[model.weight]["exp_avg"]) and moments.abs().sum() > 0


def test_a_checkpoint_cut_short_is_not_whole(tmp_path: Path) -> None:
    for name in ("weights.safetensors", "optimizer.pt", "position.json"):
        folder, _, _ = _write(tmp_path, f"checkpoint_{name}", Position(1, 0))
        assert checkpoints.whole(folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:-9])
        assert not checkpoints.whole(folder), name


def test_what_a_step_draws_is_decided_by_the_step() -> None:
    drawn = []
    for place in (0, 2, 0):
        torch.rand(5)
        checkpoints.seed_step(7, 3, place)
        drawn.append(torch.rand(4).tolist())
    assert drawn[0] == drawn[2] != drawn[1]


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.pt", "curve.json", "position.json"])
def test_a_changed_byte_is_told_with_its_file(tmp_path: Path, name: str) -> None:
    folder, _, _ = _write(tmp_path, "checkpoint_1", Position(3, 0))
    content = (folder / name).read_bytes()
    for at in (len(content) // 2, len(content) * 3 // 4):  # inside the states, where the file is a zip
        (folder / name).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        problem = checkpoints.damage(folder)
        assert problem is not None and name in problem
        (folder / name).write_bytes(content)
        assert checkpoints.whole(folder)


def test_a_checkpoint_of_an_earlier_version_counts_by_its_lengths(tmp_path: Path) -> None:
    folder, _, _ = _write(tmp_path, "checkpoint_1", Position(3, 0))
    sizes = {each.name: each.stat().st_size for each in folder.iterdir() if each.name != "position.json"}
    (folder / "position.json").write_text(json.dumps({"epoch": 3, "step": 0, "world": 1, "files": sizes}))
    assert checkpoints.whole(folder) and checkpoints.read_position(folder) == Position(3, 0)
    (folder / "curve.json").write_text("[")
    assert checkpoints.damage(folder) == f"{folder / 'curve.json'} is not as long as it was written"


def test_best_is_the_highest_score_and_newest_the_furthest(tmp_path: Path) -> None:
    first, _, _ = _write(tmp_path, "checkpoint_1", Position(2, 0, score=0.8))
    _write(tmp_path, "checkpoint_2", Position(4, 0, score=0.7))
    last, _, _ = _write(tmp_path, "checkpoint_3", Position(4, 3))
    assert checkpoints.best(tmp_path) == first
    assert checkpoints.newest(tmp_path) == last


def test_without_a_score_the_best_is_the_newest(tmp_path: Path) -> None:
    _write(tmp_path, "checkpoint_1", Position(2, 0))
    last, _, _ = _write(tmp_path, "checkpoint_2", Position(3, 0))
    assert checkpoints.best(tmp_path) == last
    assert checkpoints.best(tmp_path / "nothing") is None


def test_tidy_removes_what_a_killed_run_left_and_keeps_the_rest(tmp_path: Path) -> None:
    kept, _, _ = _write(tmp_path, "checkpoint_1", Position(2, 0))
    stray, _, _ = _write(tmp_path, "checkpoint_2", Position(3, 0))
    _snapshot(tmp_path, "checkpoint_1")
    assert checkpoints.tidy(tmp_path) is None
    assert kept.exists() and not stray.exists() and (tmp_path / SNAPSHOT).exists()


def test_tidy_keeps_the_best_which_the_list_that_was_begun_anew_does_not_know(tmp_path: Path) -> None:
    best, _, _ = _write(tmp_path, "checkpoint_1", Position(2, 0, score=0.8))
    stray, _, _ = _write(tmp_path, "checkpoint_2", Position(3, 0))
    (tmp_path / SNAPSHOT).write_text('{"checkpoint_results": [{"chec')
    assert checkpoints.tidy(tmp_path) == stray  # the first interruption
    later, _, _ = _write(tmp_path, "checkpoint_3", Position(4, 0, score=0.7))
    _snapshot(tmp_path, "checkpoint_3")
    assert checkpoints.tidy(tmp_path) is None  # the second
    assert checkpoints.best(tmp_path) == best and later.exists() and not stray.exists()
    _write(tmp_path, "checkpoint_4", Position(6, 0, score=0.9))
    _snapshot(tmp_path, "checkpoint_4")
    assert checkpoints.tidy(tmp_path) is None
    assert not best.exists() and not later.exists()


def test_tidy_sets_a_damaged_list_aside_and_goes_on_from_the_newest(tmp_path: Path) -> None:
    _write(tmp_path, "checkpoint_1", Position(2, 0))
    last, _, _ = _write(tmp_path, "checkpoint_2", Position(3, 0))
    (tmp_path / SNAPSHOT).write_text('{"checkpoint_results": [{"chec')
    assert checkpoints.tidy(tmp_path) == last
    assert not (tmp_path / SNAPSHOT).exists() and (tmp_path / f"{SNAPSHOT}.broken").exists()


def test_tidy_goes_on_from_the_newest_that_nothing_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, _, _ = _write(tmp_path, "checkpoint_1", Position(2, 0))
    last, _, _ = _write(tmp_path, "checkpoint_2", Position(3, 0))
    _snapshot(tmp_path, "checkpoint_1", "checkpoint_2")
    weights = bytearray((last / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (last / "weights.safetensors").write_bytes(weights)
    assert checkpoints.tidy(tmp_path) == first
    assert f"{last / 'weights.safetensors'} was damaged or changed since it was written: it is not used" in caplog.text


def test_tidy_does_not_trust_a_list_that_names_a_lost_checkpoint(tmp_path: Path) -> None:
    first, _, _ = _write(tmp_path, "checkpoint_1", Position(2, 0))
    _snapshot(tmp_path, "checkpoint_1", "checkpoint_2")
    assert checkpoints.tidy(tmp_path) == first


def test_what_was_begun_on_ray_goes_on_in_this_process(tmp_path: Path) -> None:
    """Ray's checkpoints are called by date and time, and are left to its list."""
    on_ray, model, optimizer = _write(tmp_path, "checkpoint_2026-11-29_10-00-00.123456", Position(2, 0))
    _write(tmp_path, "checkpoint_000007", Position(3, 0))
    reporter = LocalReporter(tmp_path, lambda curve: None, torch.device("cpu"))
    position = Position(4, 0)
    reporter.keep([], position, lambda folder: checkpoints.save(folder, position, model, optimizer))
    assert sorted(tmp_path.iterdir()) == [tmp_path / "checkpoint_000008", on_ray]
