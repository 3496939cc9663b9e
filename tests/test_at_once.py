"""Works that are made beside one another: results, failures and what they say."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import ray

from autosam_inference.errors import UserError
from autosam_platform.experiment import ComputeSection
from autosam_platform.pipeline.at_once import Work, at_once, shared_cluster
from autosam_platform.tuning.plan import PlanError


class OwnError(UserError):
    """Of this test."""


def _number(number: int) -> int:
    print(f"number {number}")
    return number


def _fails() -> int:
    raise OwnError("the file a.nii is damaged: copy it again")


def _dies() -> int:
    os._exit(1)


def _works(folder: Path, *made: Callable[[], int]) -> list[Work[int]]:
    return [Work(f"work {i}", make, folder / "logs" / f"{i}.log", ()) for i, make in enumerate(made)]


def test_each_has_its_result_and_its_log(ray_local: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    works = _works(tmp_path, *(partial(_number, 10 * each) for each in range(4)))
    assert {index: result_of() for index, result_of in at_once(works, 2)} == {0: 0, 1: 10, 2: 20, 3: 30}
    assert [work.log.read_text(encoding="utf-8") for work in works] == [f"number {10 * each}\n" for each in range(4)]
    assert [line.split(" begins")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"work {i}" for i in range(4)
    ]


def test_a_failure_is_the_works_own_and_the_others_are_made(ray_local: str, tmp_path: Path) -> None:
    found = dict(at_once(_works(tmp_path, _fails, _dies, partial(_number, 7)), 3))
    with pytest.raises(OwnError, match=r"^the file a\.nii is damaged: copy it again$"):
        found[0]()
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        found[1]()
    assert found[2]() == 7


def _waits(folder: Path, number: int) -> int:
    (folder / f"begun-{number}").touch()
    while not all((folder / f"begun-{each}").exists() for each in range(2)):
        time.sleep(0.01)
    return number


def test_as_many_run_at_a_time_as_are_asked_for(ray_local: str, tmp_path: Path) -> None:
    """Each of two waits until the other one runs, too."""
    works = _works(tmp_path, partial(_waits, tmp_path, 0), partial(_waits, tmp_path, 1))
    assert sorted(result_of() for _, result_of in at_once(works, 2)) == [0, 1]


def test_the_clusters_two_cores_are_shared(ray_local: str) -> None:
    both = shared_cluster(ComputeSection(), 6, None, "cell")
    assert (both.at_a_time, both.compute.cpus_per_worker, both.compute.gpu) == (2, 1, False)
    one = shared_cluster(ComputeSection(), 6, 1, "cell")
    assert (one.at_a_time, one.compute.cpus_per_worker) == (1, 2)
    assert shared_cluster(ComputeSection(workers=2), 6, None, "cell").at_a_time == 1
    with pytest.raises(PlanError, match=r"a cell of 3 worker.* does not fit on 2 cores"):
        shared_cluster(ComputeSection(workers=3), 6, None, "cell")
