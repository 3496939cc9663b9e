"""Ray tasks over items, and how a Ray of our own is started."""

import json
import os
import stat
import time
from pathlib import Path

import pytest

from autosam_platform import cluster


def _double(value: int) -> int:
    return 2 * value


def _refuse_three(value: int) -> int:
    if value == 3:
        raise ValueError("three is refused")
    return value


def test_results_come_in_the_order_of_the_items(ray_local: None) -> None:
    assert cluster.map_tasks(_double, [3, 1, 2], label="doubling") == [6, 2, 4]
    assert cluster.map_tasks(_double, [], label="nothing") == []


def test_more_items_than_ray_is_told_of_at_a_time(ray_local: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "MOST_IN_QUEUE", 2)
    assert cluster.map_tasks(_double, range(5), label="doubling") == [0, 2, 4, 6, 8]


def test_a_failure_is_raised_as_it_was_raised_there(ray_local: None) -> None:
    with pytest.raises(ValueError, match="three is refused"):
        cluster.map_tasks(_refuse_three, [1, 2, 3, 4], label="refusing")


def _refuse_as_a_person_reads_it(path: str) -> None:
    raise cluster.ClusterError(f"{path} is damaged: copy it again")


def test_what_a_person_can_put_right_is_said_without_where_it_was_raised(ray_local: None) -> None:
    with pytest.raises(cluster.ClusterError) as refused:
        cluster.map_tasks(_refuse_as_a_person_reads_it, ["a.nii"], label="refusing")
    assert str(refused.value) == "a.nii is damaged: copy it again"


def _note_or_fail(item: tuple[int, Path]) -> None:
    number, folder = item
    if number == 0:
        raise ValueError("the first is refused")
    time.sleep(0.2)
    (folder / str(number)).touch()


def test_after_a_failure_what_waits_does_nothing_and_the_next_tasks_run(ray_local: None, tmp_path: Path) -> None:
    """Twelve times, since what ended this process here before did so in one of three."""
    for turn in range(12):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with pytest.raises(ValueError, match="the first is refused"):
            cluster.map_tasks(_note_or_fail, [(number, folder) for number in range(30)], label="failing")
        assert cluster.map_tasks(_double, [1, 2], label="after it") == [2, 4]
        assert len(list(folder.iterdir())) < 20  # those that ran on the two cores meanwhile; 29 without it


def test_what_needs_more_memory_than_any_node_has_still_runs(ray_local: None) -> None:
    assert cluster.map_tasks(_double, [1, 2], label="large", memory=lambda _: 1 << 60) == [2, 4]


def test_processes_of_a_cluster_know_its_address(ray_local: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it Ray Train's cleaner fails where another Ray runs on the machine."""
    import ray

    address = ray.get_runtime_context().gcs_address
    (known,) = cluster.map_tasks(os.getenv, ["RAY_ADDRESS"], label="asking")
    assert known is not None and known.split(":")[1] == address.split(":")[1]
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert cluster._joined_address() == {"RAY_ADDRESS": address}
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert cluster._joined_address() == {}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", r"no Ray cluster answers at RAY_ADDRESS=127\.0\.0\.1:9 .*unset RAY_ADDRESS"),
        ("ray://127.0.0.1:9", r"no Ray cluster answers at RAY_ADDRESS=ray://127"),
        ("no-such-host.invalid:6379", r"no Ray cluster answers at RAY_ADDRESS=no-such-host\.invalid:6379"),
        ("head", r"no Ray cluster answers at RAY_ADDRESS=head "),
        ("http://127.0.0.1:8265", r"where jobs are submitted to"),
    ],
)
def test_a_cluster_that_is_not_there_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(cluster.ClusterError, match=message):
        cluster._require_answer()


def test_rays_sockets_get_a_short_folder_where_the_temporary_one_is_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert cluster._short_folder() == {}
    monkeypatch.setenv("TMPDIR", "/scratch/project_465000123/users/somebody/tmp")
    assert cluster._short_folder() == {"_temp_dir": "/tmp/ray"}


def test_a_ray_of_our_own_has_a_token_that_nobody_else_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    cluster._use_own_token()
    token = tmp_path / "ray" / "auth_token"
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(token)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    first = token.read_text()
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    cluster._use_own_token()
    assert token.read_text() == first and len(first) == 64


def test_a_submitted_job_knows_its_id_and_so_do_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_JOB_CONFIG_JSON_ENV_VAR", "AUTOSAM_RAY_JOB"):
        monkeypatch.delenv(name, raising=False)
    assert cluster.submission_id() == ""
    monkeypatch.setenv("AUTOSAM_RAY_JOB", "raysubmit_1")  # what a worker is given
    assert cluster.submission_id() == "raysubmit_1"
    told = {"runtime_env": {}, "metadata": {"job_submission_id": "raysubmit_2"}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(told))  # what Ray gives a driver
    assert cluster.submission_id() == "raysubmit_2"


def test_a_crashed_cluster_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import utils

    file = Path(utils.get_ray_address_file(str(tmp_path)))
    file.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(utils, "read_ray_address", lambda: file.read_text() if file.exists() else None)
    assert not cluster._runs_here()
    file.write_text("127.0.0.1:9")  # the discard port: nobody listens
    assert not cluster._runs_here()
